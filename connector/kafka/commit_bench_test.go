package kafka

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/kafka/kafkatest"
	"departures/schema"
)

// BenchmarkCommit commits transactions of so many departures, each an event with its seven headers and its ledger entry, and a
// checkpoint, by turns through a Session and by a bare kgo loop that does no more than it must: begin, produce, flush, end. The
// bare loop is the measure. CPU and allocations are those of this process, kfake included unless KAFKA_TEST_BROKERS names a
// real broker.
//
//	go test -run '^$' -bench Commit -benchtime 20x ./connector/kafka
func BenchmarkCommit(b *testing.B) {
	for _, departures := range []int{50, 1000, 5000} {
		b.Run(fmt.Sprint(departures), func(b *testing.B) { benchmarkCommit(b, departures) })
	}
}

func benchmarkCommit(b *testing.B, departures int) {
	ctx := b.Context()
	cfg := config(b, kafkatest.Brokers(b))
	s, _ := opened(b, ctx, prepared(b, ctx, cfg), 0)
	bare := outsider(b, cfg, kgo.TransactionalID(kafkatest.Name(b, "bare")), kgo.ProducerBatchCompression(kgo.GzipCompression()))
	records := transaction(cfg, departures)
	var ours, theirs cost
	for b.Loop() {
		ours.of(func() {
			if err := s.Commit(ctx, slices.Values(records)); err != nil {
				b.Fatal(err)
			}
		})
		theirs.of(func() {
			if err := commitBare(ctx, bare, records); err != nil {
				b.Fatal(err)
			}
		})
	}
	n := float64(b.N * departures)
	b.ReportMetric(0, "ns/op")
	ours.report(b, n, "")
	theirs.report(b, n, "bare-")
	b.ReportMetric(ours.cpu.Seconds()/theirs.cpu.Seconds(), "cpu-ratio")
	b.ReportMetric(ours.wall.Seconds()/theirs.wall.Seconds(), "time-ratio")
}

// transaction is what one commit of so many departures consists of.
func transaction(cfg Config, departures int) []Record {
	records := make([]Record, 0, 2*departures+1)
	now := time.Date(2026, 6, 7, 10, 11, 12, 345e6, time.UTC)
	for i := range departures {
		e := leaver(i, now)
		value := e.JSON()
		records = append(records,
			Record{Topic: cfg.EventsTopic, Key: e.Departure().Key(), Value: value, Headers: e.Headers(schema.JSONContent)},
			Record{
				Topic: cfg.StateTopic, Key: schema.PublishedKey(e.Departure()),
				Value: schema.LedgerEntry{Digest: schema.Digest(value), PublishedAt: now}.JSON(),
			})
	}
	return append(records, Record{Topic: cfg.StateTopic, Key: schema.CheckpointKey("ding8f2"), Value: schema.Checkpoint{
		HighWaterMark: now, ReconciledThrough: now, Floor: now, ObservedAt: now, AppKeyDigest: schema.Digest(nil),
	}.JSON()})
}

// leaver is an ordinary departure, unlike every other.
func leaver(i int, now time.Time) schema.EmployeeLeft {
	digits := schema.Digest(fmt.Append(nil, i))
	name, code, reason := "Leaver "+digits[:5], "86", "leave"
	mobile := fmt.Sprintf("1%010d", i*7919)
	return schema.EmployeeLeft{
		UserID: digits[:18], Name: &name, StateCode: &code, Mobile: &mobile, LeaveReason: &reason, CorpID: "ding8f2b3c4d5e6f70",
		LeaveTime: now.Add(-time.Duration(i) * 37 * time.Second), ObservedAt: now.Add(time.Duration(i) * time.Millisecond / 50),
	}
}

// commitBare is one transaction by kgo alone.
func commitBare(ctx context.Context, cl *kgo.Client, records []Record) error {
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	failed := kgo.AbortingFirstErrPromise(cl)
	for _, r := range records {
		record := &kgo.Record{Topic: r.Topic, Key: []byte(r.Key), Value: r.Value, Headers: make([]kgo.RecordHeader, len(r.Headers))}
		for i, h := range r.Headers {
			record.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: []byte(h.Value)}
		}
		cl.Produce(ctx, record, failed.Promise())
	}
	if err := cmp.Or(cl.Flush(ctx), failed.Err()); err != nil {
		return err
	}
	return cl.EndTransaction(ctx, kgo.TryCommit)
}

// cost is what something took in this process, summed up.
type cost struct {
	wall, cpu      time.Duration
	allocs, memory uint64
}

// of adds what f takes.
func (c *cost) of(f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := cpuTime(), time.Now()
	f()
	c.wall += time.Since(began)
	c.cpu += cpuTime() - cpu
	runtime.ReadMemStats(&after)
	c.allocs += after.Mallocs - before.Mallocs
	c.memory += after.TotalAlloc - before.TotalAlloc
}

// report gives the cost of one of n.
func (c *cost) report(b *testing.B, n float64, prefix string) {
	b.ReportMetric(n/c.wall.Seconds(), prefix+"rec/s")
	b.ReportMetric(float64(c.cpu.Microseconds())/n, prefix+"cpu-us/rec")
	b.ReportMetric(float64(c.allocs)/n, prefix+"allocs/rec")
	b.ReportMetric(float64(c.memory)/n, prefix+"B/rec")
}

// cpuTime is what this process has used so far, in user and system mode.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
