package walk

import (
	"cmp"
	"slices"
	"time"

	"departures/schema"
)

// Step is what follows from a window that was walked whole. Publish, Quarantine, their ledger entries and Checkpoint are
// one transaction; Progress is good once it is committed. The caller fills in the checkpoint's ObservedAt and AppKeyDigest.
type Step struct {
	Checkpoint schema.Checkpoint
	Progress   Progress
	Publish    []Record // ordered by leaveTime, then userId
	Quarantine []Record // in the order shown

	Repeated    int // shown again within the window; the last one shown counts
	Known       int // named by the ledger already
	Changed     int // of them, with other content than was published
	BeforeFloor int // left before floor
	Future      int // of Publish, with a leaveTime after now
}

// Advance is the step that w, walked whole and having shown these records, makes. It leaves the ledger alone: the caller
// adds Publish and Quarantine once they are committed. A window that does not go on with its walk (it was made for another
// progress) publishes what it shows and moves nothing.
func Advance(cp schema.Checkpoint, pr Progress, led *Ledger, w Window, shown []Record, c Clock, l Limits) Step {
	s := Step{Checkpoint: cp, Progress: pr}
	now := second(c.Now)
	s.sift(led, shown)
	s.count(now)

	if s.move(w, c, l) {
		s.Progress.learn(w, len(shown), l)
	}
	return s
}

// move brings the marks and the progress to where they are once w is walked. It reports false, and moves nothing, when w does not go on
// with its walk.
func (s *Step) move(w Window, c Clock, l Limits) bool {
	w = w.settled(c)
	walk, ok := s.Progress.of(w.Kind).join(w)
	if !ok {
		return false
	}
	now, poll := second(c.Now), walk.since+l.PollInterval
	if poll <= c.Uptime {
		poll = c.Uptime + l.PollInterval // a walk that takes longer than that leaves others as much time
	}
	switch w.Kind {
	case Head, CatchUp:
		s.head(walk, w, now, poll)
	case Fresh:
		s.fresh(walk, w, poll)
	case Reconcile:
		s.reconcile(walk, w, now)
	}
	return true
}

// sift divides what was shown into Publish, Quarantine and what is dropped.
func (s *Step) sift(led *Ledger, shown []Record) {
	records := s.once(shown)
	publish := records[:0] // in place: they are thousands
	for _, r := range records {
		content, known := led.Content(r.ID)
		switch {
		case known:
			s.Known++
			if content != r.Content {
				s.Changed++
			}
		case r.LeaveTime.IsZero():
			s.Quarantine = append(s.Quarantine, r)
		case r.LeaveTime.Before(s.Checkpoint.Floor):
			// A server may show more than was asked; and where an operator raised floor, the ledger no longer names
			// what was published below it.
			s.BeforeFloor++
		default:
			publish = append(publish, r)
		}
	}
	s.Publish = publish
	slices.SortFunc(s.Publish, func(a, b Record) int {
		return cmp.Or(a.LeaveTime.Compare(b.LeaveTime), cmp.Compare(a.UserID, b.UserID))
	})
}

// once is shown without repeats: each record in the place of its first showing, as it was shown last. A record that was
// amended while the pages were walked, or moved to a later page, is shown twice.
func (s *Step) once(shown []Record) []Record {
	place := make(map[ID]int, len(shown))
	records := make([]Record, 0, len(shown))
	for _, r := range shown {
		if i, again := place[r.ID]; again {
			s.Repeated++
			records[i] = r
			continue
		}
		place[r.ID] = len(records)
		records = append(records, r)
	}
	return records
}

// count brings the checkpoint's figures for people up to date.
func (s *Step) count(now time.Time) {
	cp := &s.Checkpoint
	cp.Published += int64(len(s.Publish))
	cp.Quarantined += int64(len(s.Quarantine))
	for _, r := range s.Publish {
		if r.LeaveTime.After(now) {
			s.Future++
		}
	}
	if len(s.Publish) == 0 {
		return
	}
	last := s.Publish[len(s.Publish)-1].LeaveTime
	if cp.LastLeaveTime == nil || last.After(*cp.LastLeaveTime) {
		cp.LastLeaveTime = &last
	}
}

// head moves highWaterMark to the window's end, and writes the gap before a clamped window: only now is it certain that
// its start was what DingTalk refused.
func (s *Step) head(walk span, w Window, now time.Time, poll time.Duration) {
	cp, pr := &s.Checkpoint, &s.Progress
	pr.refusals, pr.freshLast, pr.headLast, pr.stuck = 0, false, true, false
	if w.from.After(latest(cp.HighWaterMark.Add(time.Second), cp.Floor, epoch)) {
		// It leaves out what is right after the mark: the walk was begun with another checkpoint.
		pr.head, pr.due = span{}, poll
		return
	}
	if w.from.Before(w.Start) {
		cp.Gaps = withGap(cp.Gaps, schema.Gap{Start: w.from, End: w.Start})
	}
	first := !cp.HighWaterMark.After(cp.Floor) // a floor that an operator raised may lie behind the mark
	if first && cp.ReconciledThrough.Equal(cp.Floor) && w.from.Equal(cp.Floor) {
		cp.ReconciledThrough = latest(cp.ReconciledThrough, earliest(w.target, now))
	}
	cp.HighWaterMark = latest(cp.HighWaterMark, earliest(w.End, now))
	if pr.head = walk.past(w.End); pr.head.over() {
		pr.due = poll
	}
}

// fresh moves no mark.
func (s *Step) fresh(walk span, w Window, poll time.Duration) {
	pr := &s.Progress
	if pr.fresh = walk.past(w.End); pr.fresh.over() {
		pr.due, pr.freshLast = poll, true
	}
}

// reconcile moves reconciledThrough with the last window of its walk.
func (s *Step) reconcile(walk span, w Window, now time.Time) {
	cp, pr := &s.Checkpoint, &s.Progress
	pr.freshLast, pr.headLast = false, false
	if pr.reconcile = walk.past(w.End); pr.reconcile.over() {
		cp.ReconciledThrough = latest(cp.ReconciledThrough, earliest(w.target, now))
	}
}

// withGap is a new list of gaps with g among them, in order of time, those that overlap or touch being one.
func withGap(gaps []schema.Gap, g schema.Gap) []schema.Gap {
	all := append(slices.Clone(gaps), g)
	slices.SortFunc(all, func(a, b schema.Gap) int { return a.Start.Compare(b.Start) })
	merged := all[:1]
	for _, g := range all[1:] {
		last := &merged[len(merged)-1]
		if g.Start.After(last.End.Add(time.Second)) {
			merged = append(merged, g)
			continue
		}
		last.End = latest(last.End, g.End)
	}
	return merged
}
