package connector

import (
	"iter"
	"log/slog"
	"time"

	"departures/connector/kafka"
	"departures/connector/walk"
	"departures/schema"
)

// batchFull is how many departures one transaction takes of several windows; a single window is always taken. While one is committed the
// windows that become whole gather for the next, since a broker answers a few dozen transactions a second, whatever their size. A
// departure takes 2 kB until it is acknowledged.
const batchFull = walk.MaxRecords / 2

// batch is what the next transaction commits: the steps of one window, or of several of one walk that followed each other. The
// checkpoint of the last step goes with them, so the mark never passes what is not committed with it or before.
type batch struct {
	kind       walk.Kind
	start, end time.Time // what its windows cover
	publish    []*sighting
	quarantine []*sighting

	windows, events, quarantined          int // counts
	repairs, future, changed, beforeFloor int // that are zero on an ordinary day
}

// takes reports whether a window's step may go into the same transaction.
func (b *batch) takes(f *fetch) bool {
	return b.windows == 0 || b.kind == f.window.Kind && b.size()+len(f.got.seen) <= batchFull
}

// size is how many records become events or are quarantined.
func (b *batch) size() int { return b.events + b.quarantined }

// add takes a window's step.
func (b *batch) add(w walk.Window, got collected, step walk.Step) {
	if b.windows == 0 {
		b.kind, b.start = w.Kind, w.Start
	}
	b.windows++
	b.end = w.End
	b.publish = b.chosen(b.publish, got, step.Publish)
	b.quarantine = b.chosen(b.quarantine, got, step.Quarantine)
	b.events, b.quarantined = len(b.publish), len(b.quarantine)
	b.future += step.Future
	b.changed += step.Changed
	b.beforeFloor += step.BeforeFloor
}

// chosen is list and what the walk chose of a window.
func (b *batch) chosen(list []*sighting, got collected, records []walk.Record) []*sighting {
	for _, r := range records {
		s := got.seen[r.Index]
		b.repairs += s.repairs
		list = append(list, s)
	}
	return list
}

// take is what goes into the transaction: events, quarantined records, and a ledger entry for each. It leaves nothing but the counts: what
// is being committed is held once.
func (b *batch) take(e encoder, now time.Time) iter.Seq[kafka.Record] {
	publish, quarantine := b.publish, b.quarantine
	b.publish, b.quarantine = nil, nil
	return func(yield func(kafka.Record) bool) {
		var headers []schema.Header
		for _, s := range publish {
			event, entry := e.eventAndEntry(s, now, headers)
			if !yield(event) || !yield(entry) {
				return
			}
			headers = event.Headers[:0]
		}
		for _, s := range quarantine {
			quarantined, entry := e.quarantinedAndEntry(s, now)
			if !yield(quarantined) || !yield(entry) {
				return
			}
		}
	}
}

// attrs is what is said of a committed batch; counts that are zero on an ordinary day are left out where they are.
func (b *batch) attrs(cp schema.Checkpoint) []any {
	attrs := []any{
		"walk", b.kind.String(), slog.Time("window_start", b.start), slog.Time("window_end", b.end), "events", b.events,
		"quarantined", b.quarantined, "high_water_mark", cp.HighWaterMark,
	}
	for _, odd := range []struct {
		name  string
		count int
	}{{"repairs", b.repairs}, {"ahead_of_time", b.future}, {"changed", b.changed}, {"before_floor", b.beforeFloor}} {
		if odd.count > 0 {
			attrs = append(attrs, odd.name, odd.count)
		}
	}
	return attrs
}
