package walk

import (
	"testing"
	"time"

	"departures/schema"
)

func TestAdvance(t *testing.T) {
	left := noon.Add(-2 * hour)
	users := func(records []Record) (names string) {
		for _, r := range records {
			names += r.UserID
		}
		return names
	}
	each(t, map[string]func(*session){
		"what the ledger does not name is published in order of leaveTime, then userId": func(s *session) {
			step := s.advance(s.next(), record("d", left.Add(time.Second)), record("c", left), record("b", left), record("a", left.Add(time.Minute)))
			s.same("published", users(step.Publish), "bcda")
			s.same("count", s.cp.Published, 4)
			s.same("last", s.cp.LastLeaveTime, left.Add(time.Minute))
		},
		"of a record shown twice the last one counts": func(s *session) {
			a := record("a", left)
			amended := a
			amended.Content, amended.Index = 2, 7
			step := s.advance(s.next(), a, record("b", left), amended)
			s.same("repeated", step.Repeated, 1)
			s.same("published", users(step.Publish), "ab")
			s.same("index", step.Publish[0].Index, 7)
		},
		"what the ledger names is dropped, and counted as changed when its content is another": func(s *session) {
			a, b := record("a", left), record("b", left)
			s.walked(a, b)
			s.pass(hour)
			b.Content = 2
			step := s.advance(s.next(), a, b)
			s.same("published", len(step.Publish), 0)
			s.same("known", step.Known, 2)
			s.same("changed", step.Changed, 1)
			s.same("count", s.cp.Published, 2)
		},
		"the ledger is the caller's to change": func(s *session) {
			Advance(s.cp, s.pr, s.led, s.next(), []Record{record("a", left)}, s.c, s.l)
			s.same("ledger", s.led.Len(), 0)
		},
		"every walk publishes, also what is outside its window": func(s *session) {
			s.cp.ReconciledThrough = noon.Add(-2 * hour)
			s.walked()
			s.same("published", users(s.advance(s.next(), record("a", noon.Add(-500*24*hour))).Publish), "a")
		},
		"what left before floor is counted and not published": func(s *session) {
			s.cp.Floor = left
			step := s.advance(s.next(), record("a", left.Add(-time.Second)), record("b", left))
			s.same("published", users(step.Publish), "b")
			s.same("before floor", step.BeforeFloor, 1)
		},
		"what the ledger names is known even before floor": func(s *session) {
			a := record("a", left)
			s.led.Add(a.ID, a.Content)
			s.cp.Floor = noon
			s.same("known", s.advance(s.next(), a).Known, 1)
		},
		"a leaveTime after now is published and counted": func(s *session) {
			step := s.advance(s.next(), record("a", noon.Add(time.Second)), record("b", noon))
			s.same("published", users(step.Publish), "ba")
			s.same("future", step.Future, 1)
		},
		"an unreadable record goes to quarantine once, in the order shown": func(s *session) {
			b, a := record("b", time.Time{}), record("a", time.Time{})
			step := s.advance(s.next(), b, record("c", left), a, b)
			s.same("quarantined", users(step.Quarantine), "ba")
			s.same("repeated", step.Repeated, 1)
			s.same("published", users(step.Publish), "c")
			s.same("count", s.cp.Quarantined, 2)
			s.pass(hour)
			step = s.advance(s.next(), b, a)
			s.same("quarantined", len(step.Quarantine), 0)
			s.same("known", step.Known, 2)
		},
		"an earlier departure does not take lastLeaveTime back": func(s *session) {
			s.walked(record("a", left))
			s.pass(hour)
			s.walked(record("b", left.Add(-hour)))
			s.same("last", s.cp.LastLeaveTime, left)
		},
		"the checkpoint given is not touched": func(s *session) {
			gaps := make([]schema.Gap, 1, 8)
			gaps[0] = schema.Gap{Start: noon.Add(-500 * 24 * hour), End: noon.Add(-400 * 24 * hour)}
			last := left.Add(-hour)
			s.cp.Gaps, s.cp.LastLeaveTime = gaps, &last
			s.cp.HighWaterMark = noon.Add(-400 * 24 * hour)
			s.refused()
			s.walked()
			s.refused()
			s.walked(record("a", left))
			s.same("gaps", gaps[:2], []schema.Gap{{Start: noon.Add(-500 * 24 * hour), End: noon.Add(-400 * 24 * hour)}, {}})
			s.same("last", last, left.Add(-hour))
			s.same("gaps now", s.cp.Gaps, []schema.Gap{{Start: noon.Add(-500 * 24 * hour), End: noon.Add(-364*24*hour + time.Minute)}})
			s.same("last now", s.cp.LastLeaveTime, left)
		},
		"a window of another progress publishes what it shows and moves nothing": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-100 * 24 * hour)
			s.l.PollInterval = 100 * hour
			s.walked()
			s.walked()
			w := s.next()
			s.walked()
			before := s.cp.HighWaterMark
			s.same("published", users(s.advance(w, record("a", left)).Publish), "a")
			s.same("mark", s.cp.HighWaterMark, before)
			s.pr = Progress{}
			s.advance(w)
			s.same("mark", s.cp.HighWaterMark, before)
		},
		"the last window of a reconcile walk that was lost does not move reconciledThrough": func(s *session) {
			s.cp.ReconciledThrough, s.l.Lookback, s.l.PollInterval = noon.Add(-hour), 10*days, 100*hour
			s.walked()
			s.walked()
			w := s.next()
			s.pr = Progress{}
			s.same("published", users(s.advance(w, record("a", left)).Publish), "a")
			s.same("reconciled", s.cp.ReconciledThrough, noon.Add(-hour))
		},
		"a head window at a floor that was raised behind the mark is no first catch-up": func(s *session) {
			s.cp.Floor = noon.Add(-3 * days)
			s.cp.ReconciledThrough, s.l.Overlap = s.cp.Floor, 6*days
			s.same("start", s.next().Start, s.cp.Floor)
			s.walked()
			s.same("reconciled", s.cp.ReconciledThrough, s.cp.Floor)
		},
		"a head window that leaves out what is right after the mark does not move it": func(s *session) {
			s.advance(Window{Start: noon.Add(-hour / 2), End: noon})
			s.same("mark", s.cp.HighWaterMark, noon.Add(-hour))
			s.advance(Window{Start: noon.Add(-hour + time.Second), End: noon})
			s.same("mark", s.cp.HighWaterMark, noon)
		},
	})
}

func TestGapsThatOverlapOrTouchAreOne(t *testing.T) {
	s := newSession(t)
	gap := func(from, to int) schema.Gap { return schema.Gap{Start: at(int64(from)), End: at(int64(to))} }
	for _, c := range []struct{ gaps, want []schema.Gap }{
		{nil, []schema.Gap{gap(10, 20)}},
		{[]schema.Gap{gap(1, 8)}, []schema.Gap{gap(1, 8), gap(10, 20)}},
		{[]schema.Gap{gap(1, 9)}, []schema.Gap{gap(1, 20)}},
		{[]schema.Gap{gap(30, 40), gap(1, 15)}, []schema.Gap{gap(1, 20), gap(30, 40)}},
		{[]schema.Gap{gap(1, 40)}, []schema.Gap{gap(1, 40)}},
		{[]schema.Gap{gap(1, 10), gap(12, 13), gap(21, 30)}, []schema.Gap{gap(1, 30)}},
	} {
		s.same("gaps", withGap(c.gaps, gap(10, 20)), c.want)
	}
}

// FuzzAdvance feeds garbage: whatever comes, no function panics or loops, a mark never goes back or beyond now, and a wait
// comes without a window.
func FuzzAdvance(f *testing.F) {
	f.Add(int64(1_700_000_000), int64(0), int64(1_700_000_000), int64(60), int64(24*hour), []byte("0123456789abcdefghij"))
	f.Add(int64(-1<<60), int64(1<<60), int64(0), int64(-1), int64(-hour), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, mark, floor, now, seconds, length int64, script []byte) {
		cp := schema.Checkpoint{HighWaterMark: time.Unix(mark, seconds), ReconciledThrough: time.Unix(floor, 0), Floor: time.Unix(floor, length)}
		if seconds%7 == 0 {
			cp = schema.Checkpoint{}
		}
		c := Clock{Now: time.Unix(now, 0), Uptime: time.Duration(seconds)}
		l := Limits{
			PollInterval: time.Duration(seconds), Overlap: time.Duration(length), ReconcileInterval: time.Duration(length / 2),
			Lookback: time.Duration(length) * 3, Endless: length%5 == 0, maxRecords: int(seconds % 9),
		}
		var pr Progress
		led := NewLedger()
		var kept Window
		for _, b := range script[:min(len(script), 200)] {
			w, wait := Next(cp, pr, c, l)
			if wait < 0 || wait > 0 && w != (Window{}) || wait == 0 && w.End.Before(w.Start) || w.AskEnd.Before(w.AskStart) {
				t.Fatalf("%+v, %s", w, wait)
			}
			plan, pause := Plan(cp, pr, c, l, []Window{kept})
			if pause != wait || len(plan) > 2*MaxAhead || (len(plan) > 0) != (wait == 0) || len(plan) > 0 && !plan[0].Same(w) {
				t.Fatalf("%+v, %s, planned %+v, %s", w, wait, plan, pause)
			}
			switch b % 16 {
			case 0:
				c.Now = c.Now.Add(time.Duration(length))
			case 1:
				c.Uptime += time.Duration(seconds)
			case 2:
				kept = w
			case 3:
				w = kept
			case 4:
				w = Window{Kind: Kind(b / 16), Start: time.Unix(seconds, 0), End: time.Unix(length, 0)}
			case 5:
				w.from, w.target = time.Unix(length, 0), time.Unix(seconds, 0)
			}
			tally := NewTally(w, l)
			var shown []Record
			for i := range int64(b % 12) {
				r := record(string(b), w.Start.Add(time.Duration(i)*time.Duration(seconds)))
				shown = append(shown, r)
				tally.Add(r.LeaveTime)
			}
			switch {
			case b%7 == 0:
				pr = Refused(pr, w, c)
			case tally.Full(), b%11 == 0:
				pr = Cut(pr, w, tally)
			case b%13 == 0:
				pr = GivenUp(pr, w)
			default:
				step := Advance(cp, pr, led, w, shown, c, l)
				was, is := cp.HighWaterMark, step.Checkpoint.HighWaterMark
				if is.Before(was) || is.After(was) && is.After(second(c.Now)) || step.Checkpoint.ReconciledThrough.Before(cp.ReconciledThrough) {
					t.Fatalf("marks moved from %+v to %+v", cp, step.Checkpoint)
				}
				cp, pr = step.Checkpoint, step.Progress
				for _, r := range step.Publish {
					led.Add(r.ID, r.Content)
				}
			}
		}
	})
}
