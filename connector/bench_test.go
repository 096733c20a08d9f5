package connector_test

import (
	"slices"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
	"departures/connector/walk"
)

// # How the benchmarks are run
//
// Each of them measures whole runs of programs, so one time is enough, and more give medians. On two cores they take:
//
//	go test ./connector -run '^$' -benchtime 1x -timeout 1h -bench NAME
//
//	Backfill/100k    10 s    the departures of 364 days, from a DingTalk that answers at once
//	Backfill/1M      2 min   ten times as many
//	Backfill/delayed 1 min   the first, where a page takes 20 ms and a produce request 5 ms
//	Backfill/limited 1 min   at 20 calls a second, with a page in 200 ms
//	Start            1 s     from the start of the process to the first event
//	Latency          2 min   from a departure that shows to the event that can be read
//	Poll             1 min   what a poll costs that finds nothing new
//	Idle             80 s    what a minute costs in which nobody leaves
//	Organisations    4 min   what a thousand organisations cost in one process
//	Restore          20 s    from the start of the process to the first call for leave records
//
// With KAFKA_TEST_BROKERS they run on those brokers instead of on kfake; .ci/kafka/start starts one. With BENCH_PROFILE every
// child leaves a CPU profile and one of its allocations in that folder.
//
// # What is measured
//
// Whatever is measured is a process of its own: this test binary, run again in a role (bench_child_test.go). It meets the simulated
// DingTalk over loopback HTTP, and Kafka; both are in this process, unless the brokers are elsewhere. So cpu-s, MB-peak and allocs are its
// own, and a time begins when the process is started. The cores are shared, and whatever else they do shows in every time: what counts are
// the ratios between children of one run, x-… in the connector's row: its rate as a multiple of the other's. A run that did not publish
// every departure once fails.

// BenchmarkBackfill publishes a history from its beginning.
func BenchmarkBackfill(b *testing.B) {
	const ago = 25 * time.Hour // then no poll meets the history
	year := walk.History - 2*ago
	slow := dingtalktest.Switches{QPS: -1, Latency: 20 * time.Millisecond}
	limited := dingtalktest.Switches{QPS: 20, Latency: 200 * time.Millisecond}
	for _, f := range []struct {
		name     string
		records  int
		span     time.Duration
		switches dingtalktest.Switches
		rate     string
		produce  time.Duration // that a produce request takes
		rivals   []rival
	}{
		{name: "100k", records: 100_000, span: year, switches: noLimits, rate: unlimited, rivals: rivals},
		{name: "1M", records: 1_000_000, span: year, switches: noLimits, rate: unlimited, rivals: rivals},
		{
			name: "delayed", records: 100_000, span: year, switches: slow, rate: unlimited, produce: 5 * time.Millisecond,
			rivals: rivals[len(rivals)-1:],
		},
		// Windows of twenty full pages, so that DingTalk's limit is 1,000 records a second, less one call in ten seconds for the poll.
		{name: "limited", records: 51 * 1000, span: 51 * walk.MaxSpan, switches: limited, rate: "20"},
	} {
		b.Run(f.name, func(b *testing.B) {
			s := newSite(b, f.records, f.span, ago, f.switches)
			backfill(b, s, f.records, f.rivals, "DINGTALK_RATE="+f.rate, setting(produceTimeEnv, f.produce))
		})
	}
}

// rival is a child beside which the connector is measured. Its name is its metric's, too.
type rival struct {
	name, role string
	batch      int // records a transaction, for transactions
}

var rivals = []rival{
	{"tx50", "transactions", 50},
	{"tx1000", "transactions", 1000},
	{"tx5000", "transactions", 5000},
	{"pages", "pages", 0},
	{"poller", "poller", 0},
}

// mostTransacted bounds the records of a rival that only writes: its rate does not depend on them.
const mostTransacted = 200_000

// backfill measures the rivals and the connector, one after the other.
func backfill(b *testing.B, s *site, records int, rivals []rival, settings ...string) {
	rates := map[string]float64{}
	for _, v := range append(slices.Clone(rivals), rival{name: "connector", role: "connector"}) {
		b.Run(v.name, func(b *testing.B) {
			n := records
			if v.role == "transactions" {
				n = min(n, mostTransacted)
			}
			f := figures{}
			for b.Loop() {
				newBenchRig(b, s, kafkatest.Brokers(b)).measure(v, n, settings).add(f)
			}
			f.report(b)
			rates[v.name] = f.median("rec/s")
			for _, other := range rivals {
				if rate, measured := rates[other.name]; measured && v.role == "connector" {
					b.ReportMetric(rates[v.name]/rate, "x-"+other.name)
				}
			}
		})
	}
}

// run is one child's way through a backfill.
type run struct {
	usage
	records int
	pages   int64
	others  time.Duration // CPU of this process meanwhile: DingTalk's, the reader's, and kfake's
	took    time.Duration // from its start to the last event that a reader sees, or to its own end where it writes none
	opening time.Duration // of which passed before the first event
}

// measure lets a child do its work on the rig, and checks that it did.
func (r *benchRig) measure(v rival, records int, settings []string) run {
	r.b.Helper()
	settings = append(slices.Clone(settings), setting(recordsEnv, records), setting(batchEnv, v.batch))
	others := cpu()
	if v.role == "pages" {
		c := r.startChild(v.role, settings...)
		u := c.done()
		took, others := time.Since(c.began), cpu()-others
		if u.Records != records {
			r.b.Fatalf("%d records were read, want %d", u.Records, records)
		}
		c.stop()
		return run{usage: u, records: records, pages: r.pages.Load(), others: others, took: took}
	}
	t := newTides(r.b, r.brokers, r.events)
	c := r.startChild(v.role, settings...)
	c.await("nothing more comes", func() bool { return t.still(records) })
	u, pages, others := c.used(), r.pages.Load(), cpu()-others
	w := newWatch(r.b, r.brokers, r.events, records, nil)
	c.await("every event can be read", w.complete)
	c.stop()
	w.check()
	first, last := t.moved()
	return run{usage: u, records: records, pages: pages, others: others, took: last.Sub(c.began), opening: first.Sub(c.began)}
}

// add adds the run's figures.
func (r run) add(f figures) {
	n := float64(r.records)
	f.add("rec/s", n/r.took.Seconds())
	f.add("cpu-s/100k", r.CPU.Seconds()*100_000/n)
	f.add("others-cpu-s/100k", r.others.Seconds()*100_000/n)
	f.add("MB-peak", r.megabytes())
	f.add("allocs/rec", float64(r.Mallocs)/n)
	if r.pages > 0 {
		f.add("pages/50rec", float64(r.pages)*50/n)
	}
	if r.opening > 0 {
		f.add("s-to-first", r.opening.Seconds())
	}
}

// figures are what some runs gave, by unit.
type figures map[string][]float64

func (f figures) add(unit string, value float64) { f[unit] = append(f[unit], value) }

// median is the middle of what the runs gave.
func (f figures) median(unit string) float64 {
	all := slices.Sorted(slices.Values(f[unit]))
	return all[len(all)/2]
}

// report reports the medians, and no ns/op: the fixture's time is in it.
func (f figures) report(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	for unit := range f {
		b.ReportMetric(f.median(unit), unit)
	}
}
