package connector_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/kafka/kafkatest"
	"departures/schema"
)

const (
	// known is how many departures of the last 24 hours DingTalk shows that were published before, knownStep apart: a page of them, which
	// every poll reads.
	known     = 50
	knownStep = time.Minute
)

// ledger is the size of a ledger.
type ledger struct {
	name    string
	entries int
}

var ledgers = []ledger{{"10k", 10_000}, {"100k", 100_000}, {"1M", 1_000_000}}

// BenchmarkPoll gives what a poll costs that finds nothing new, with ten polls a second. What the connector does beside polls is in it,
// such as the heartbeats of the group.
func BenchmarkPoll(b *testing.B) {
	const span = 10 * time.Second
	for _, ledger := range ledgers {
		b.Run(ledger.name, func(b *testing.B) {
			r, f := newKnownRig(b, ledger.entries), figures{}
			for b.Loop() {
				before, after, pages := r.settled(span, setting(pollEnv, 100*time.Millisecond))
				f.add("cpu-ms/poll", (after.CPU-before.CPU).Seconds()*1000/float64(pages))
				f.add("allocs/poll", float64(after.Mallocs-before.Mallocs)/float64(pages))
				f.add("MB-peak", after.megabytes())
			}
			f.report(b)
		})
	}
}

// BenchmarkIdle gives what seventy seconds cost in which nobody leaves: long enough for the heartbeat that comes once a minute.
func BenchmarkIdle(b *testing.B) {
	const span, interval = 70 * time.Second, 10 * time.Second
	r, f := newKnownRig(b, 10_000), figures{}
	for b.Loop() {
		before, after, pages := r.settled(span, setting("POLL_INTERVAL", interval))
		f.add("calls/poll", float64(pages)*interval.Seconds()/span.Seconds())
		f.add("tx/min", float64(r.checkpoints(before.At, after.At))*time.Minute.Seconds()/span.Seconds())
		f.add("%-of-a-core", (after.CPU-before.CPU).Seconds()/span.Seconds()*100)
		f.add("MB-peak", after.megabytes())
	}
	f.report(b)
}

// BenchmarkRestore gives the time from the start of the process to its first call for leave records, which comes after the ledger is
// restored, and how much longer that is than with a ledger of the known alone.
func BenchmarkRestore(b *testing.B) {
	var least float64
	for _, ledger := range append([]ledger{{"known", known}}, ledgers...) {
		b.Run(ledger.name, func(b *testing.B) {
			r, f := newKnownRig(b, ledger.entries), figures{}
			for b.Loop() {
				r.restore(f)
			}
			f.report(b)
			if ledger.entries == known {
				least = f.median("s-to-first-call")
			} else if least > 0 {
				b.ReportMetric(f.median("s-to-first-call")-least, "s-longer")
			}
		})
	}
}

// restore starts a connector, and stops it after its first poll.
func (r *benchRig) restore(f figures) {
	r.b.Helper()
	c := r.startChild("connector")
	c.await("it asks for leave records", func() bool { return r.firstAt.Load() > 0 })
	u := c.used()
	time.Sleep(time.Second) // for the poll
	c.stop()
	r.nothingPublished()
	f.add("s-to-first-call", time.Unix(0, r.firstAt.Load()).Sub(c.began).Seconds())
	f.add("cpu-s", u.CPU.Seconds())
	f.add("MB-peak", u.megabytes())
}

// newKnownRig has a ledger of so many entries, among them every departure that DingTalk shows.
func newKnownRig(b *testing.B, entries int) *benchRig {
	b.Helper()
	r := newBenchRig(b, newSite(b, known, known*knownStep, time.Hour, noLimits), kafkatest.Brokers(b))
	c := r.startChild("state", setting(recordsEnv, entries))
	c.done()
	c.stop()
	return r
}

// settled runs a connector, waits until it has settled, and gives what it had used at the beginning and at the end of a span, and how many
// pages it asked for in between. Nothing may be published meanwhile: the ledger names everybody.
func (r *benchRig) settled(span time.Duration, settings ...string) (before, after usage, pages int64) {
	r.b.Helper()
	c := r.startChild("connector", settings...)
	c.await("it asks for leave records", func() bool { return r.firstAt.Load() > 0 })
	time.Sleep(4 * time.Second) // its first checkpoint and its first reconcile walk are behind it
	before, pages = c.used(), r.pages.Load()
	time.Sleep(span)
	after, pages = c.used(), r.pages.Load()-pages
	c.stop()
	r.nothingPublished()
	return before, after, pages
}

func (r *benchRig) nothingPublished() {
	r.b.Helper()
	if n := len(r.committed(r.events)); n > 0 {
		r.b.Fatalf("%d departures were published a second time", n)
	}
}

// checkpoints is how many checkpoints were committed in a span of time: one in each transaction.
func (r *benchRig) checkpoints(from, to time.Time) (n int) {
	r.b.Helper()
	for _, rec := range r.committed(r.env["STATE_TOPIC"]) {
		if string(rec.Key) == schema.CheckpointKey(benchCorp) && rec.Timestamp.After(from) && rec.Timestamp.Before(to) {
			n++
		}
	}
	return n
}

func (r *benchRig) committed(topic string) []*kgo.Record {
	r.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), benchPatience)
	defer cancel()
	records, err := kafkatest.ReadCommitted(ctx, r.brokers, topic)
	if err != nil {
		r.b.Fatal(err)
	}
	return records
}
