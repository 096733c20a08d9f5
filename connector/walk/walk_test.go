package walk

import (
	"fmt"
	"testing"
	"time"

	"departures/schema"
)

const hour = time.Hour

var noon = time.Date(2024, 6, 15, 12, 0, 0, 0, time.UTC)

// session is a connector without its I/O, at noon, with the default settings and a mark an hour old.
type session struct {
	*testing.T
	cp  schema.Checkpoint
	pr  Progress
	led *Ledger
	c   Clock
	l   Limits
}

func newSession(t *testing.T) *session {
	return &session{
		T:   t,
		cp:  schema.Checkpoint{HighWaterMark: noon.Add(-hour), ReconciledThrough: noon.Add(-hour / 2), Floor: noon.Add(-1000 * 24 * hour)},
		led: NewLedger(),
		c:   Clock{Now: noon},
		l:   Limits{PollInterval: 10 * time.Second, Overlap: 24 * hour, ReconcileInterval: hour, Lookback: 720 * hour},
	}
}

func (s *session) pass(d time.Duration) {
	s.c.Now, s.c.Uptime = s.c.Now.Add(d), s.c.Uptime+d
}

func (s *session) next() Window {
	s.Helper()
	w, wait := Next(s.cp, s.pr, s.c, s.l)
	if wait != 0 {
		s.Fatalf("nothing due for %s, want a window", wait)
	}
	return w
}

// plan is what Plan names, given what is being fetched.
func (s *session) plan(fetching ...Window) []Window {
	windows, _ := Plan(s.cp, s.pr, s.c, s.l, fetching)
	return windows
}

// walked is a window that Next names, walked whole and committed.
func (s *session) walked(shown ...Record) Window {
	s.Helper()
	w := s.next()
	s.advance(w, shown...)
	return w
}

func (s *session) advance(w Window, shown ...Record) Step {
	step := Advance(s.cp, s.pr, s.led, w, shown, s.c, s.l)
	for _, r := range append(step.Quarantine, step.Publish...) {
		s.led.Add(r.ID, r.Content)
	}
	s.cp, s.pr = step.Checkpoint, step.Progress
	return step
}

// cut abandons the window that Next names, after it showed what has it cut after this.
func (s *session) cut(after time.Time) Window {
	s.Helper()
	w := s.next()
	t := NewTally(w, s.l)
	bulk := w.Start.Add(time.Second)
	for _, leaveTime := range []time.Time{w.Start, after, after, bulk, bulk, bulk, bulk} { // the fullest second does not count
		t.Add(leaveTime)
	}
	s.pr = Cut(s.pr, w, t)
	return w
}

// noPoll puts off the next poll, so that no fresh walk comes in between.
func (s *session) noPoll() { s.pr.due = s.c.Uptime + 1000*hour }

func (s *session) refused() Window {
	s.Helper()
	w := s.next()
	s.pr = Refused(s.pr, w, s.c)
	return w
}

// kinds walks n windows, each taking d, and names them.
func (s *session) kinds(n int, d time.Duration) string {
	s.Helper()
	var names string
	for range n {
		w := s.next()
		s.pass(d)
		s.advance(w)
		names += w.Kind.String() + " "
	}
	return names
}

func (s *session) same(what string, got, want any) {
	s.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		s.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func (s *session) covers(w Window, k Kind, start, end time.Time) {
	s.Helper()
	s.same("kind", w.Kind, k)
	s.same("start", w.Start, start)
	s.same("end", w.End, end)
}

func record(user string, leaveTime time.Time) Record {
	return Record{ID: IDOf(user + leaveTime.String()), Content: 1, UserID: user, LeaveTime: leaveTime}
}

func each(t *testing.T, cases map[string]func(*session)) {
	for sentence, f := range cases {
		t.Run(sentence, func(t *testing.T) { f(newSession(t)) })
	}
}

// kindsOf names the kinds of windows, in their order.
func kindsOf(windows []Window) (names string) {
	for _, w := range windows {
		names += w.Kind.String() + " "
	}
	return names
}
