package walk

import (
	"fmt"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	catchingUp := func(s *session) { s.cp.HighWaterMark = noon.Add(-99 * days) }
	each(t, map[string]func(*session){
		"of a catch-up it names eight windows in a row, the one whose turn it is first": func(s *session) {
			catchingUp(s)
			windows := s.plan()
			s.same("windows", len(windows), MaxAhead)
			from := noon.Add(-100 * days)
			for _, w := range windows {
				s.covers(w, CatchUp, from, from.Add(7*days))
				from = w.End.Add(time.Second)
			}
		},
		"it ends with the walk: a new one begins when its turn comes": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-15 * days)
			s.same("kinds", kindsOf(s.plan()), "catch-up catch-up catch-up ")
			s.same("end", s.plan()[2].End, noon)
		},
		"what it names is walked window by window, and more is named behind it": func(s *session) {
			catchingUp(s)
			windows := s.plan()
			for i, w := range windows {
				s.same("next", s.next().Same(w), true)
				s.advance(w)
				s.noPoll()
				for j, later := range s.plan(windows[i+1:]...)[:len(windows)-i-1] {
					s.same("bounds", later, windows[i+1+j])
				}
			}
			s.same("mark", s.cp.HighWaterMark, windows[len(windows)-1].End)
		},
		"a fresh walk that is due comes first, and the catch-up stays": func(s *session) {
			catchingUp(s)
			s.walked()
			windows := s.plan()
			s.same("first", kindsOf(windows[:2]), "fresh catch-up ")
			s.pass(time.Minute)
			again := s.plan(windows...)
			s.same("windows", again, windows)
		},
		"nothing of a walk is fetched before it begins": func(s *session) {
			s.cp.ReconciledThrough = noon.Add(-days)
			s.same("kinds", kindsOf(s.plan()), "head ")
			s.walked()
			s.same("windows", len(s.plan()), 5)
		},
		"a fresh walk of many windows leaves what has been fetched of the catch-up": func(s *session) {
			catchingUp(s)
			s.walked()
			s.noPoll()
			begun := s.plan()
			s.pr.due, s.pr.lengths[Fresh] = 0, hour
			windows := s.plan(begun...)
			s.same("windows", len(windows), 2*MaxAhead)
			s.same("first", windows[0].Kind, Fresh)
			s.same("last", windows[MaxAhead:], begun)
		},
		"a due head between reconcile windows is not fetched ahead of its turn": func(s *session) {
			s.cp.ReconciledThrough = noon.Add(-hour)
			s.walked()
			s.pass(hour)
			s.same("kinds", kindsOf(s.plan()), "reconcile reconcile reconcile reconcile reconcile ")
		},
		"a head that becomes due while a reconcile walk begins leaves that walk what it has": func(s *session) {
			s.cp.ReconciledThrough = noon.Add(-days)
			s.walked()
			begun := s.plan()[0]
			s.pr.headLast = false
			s.pass(hour)
			windows := s.plan(begun)
			s.same("kinds", kindsOf(windows[:2]), "head reconcile ")
			s.same("bounds", windows[1], begun)
		},
		"a walk that is due again at its end is another one": func(s *session) {
			s.walked()
			s.noPoll()
			s.l.ReconcileInterval, s.l.Lookback = time.Minute, 0
			s.pass(time.Hour)
			begun := s.plan()
			s.pass(time.Hour)
			s.same("plan", s.plan(begun...), begun)
			s.advance(begun[0])
			s.same("end", s.plan(begun[1:]...)[0].End, s.c.Now)
		},
		"windows keep the bounds they were fetched with": func(s *session) {
			catchingUp(s)
			windows := s.plan()
			s.pass(hour)
			s.pr.lengths[Head] = days
			s.same("bounds", s.plan(windows[0], windows[1])[1], windows[1])
			s.covers(s.plan(windows[0], windows[1])[2], CatchUp, windows[2].Start, windows[2].Start.Add(days))
		},
		"of a window that was cut both parts come, and then those behind it as they were": func(s *session) {
			catchingUp(s)
			s.walked()
			s.noPoll()
			windows := s.plan()
			s.cut(windows[0].Start.Add(5 * days))
			again := s.plan(windows[1:]...)
			s.covers(again[0], CatchUp, windows[0].Start, windows[0].Start.Add(5*days))
			s.covers(again[1], CatchUp, windows[0].Start.Add(5*days+time.Second), windows[0].End)
			s.same("third", again[2], windows[1])
		},
		"a reconcile window that cannot be had begins anew before DingTalk refuses it": func(s *session) {
			s.walked()
			s.noPoll()
			s.l.Lookback = 370 * days
			s.cp.ReconciledThrough = noon.Add(-hour)
			begun := s.plan()[0]
			s.pass(12 * hour)
			s.same("bounds", s.plan(begun)[0], begun)
			s.pass(time.Second)
			s.same("start", s.plan(begun)[0].Start, s.c.Now.Add(-History))
		},
		"nothing is fetched beyond a window that may be refused as too old": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-380 * days)
			s.same("windows", len(s.plan()), 1)
		},
		"a quiet organisation has one window to fetch, and then none for a while": func(s *session) {
			s.same("kinds", kindsOf(s.plan()), "head ")
			s.walked()
			windows, wait := Plan(s.cp, s.pr, s.c, s.l, nil)
			s.same("windows", fmt.Sprint(len(windows), wait), "0 10s")
		},
		"without an end in the request nothing is fetched ahead": func(s *session) {
			catchingUp(s)
			s.l.Endless = true
			s.same("kinds", kindsOf(s.plan()), "catch-up ")
		},
	})
}

// TestLength: a dense history shall neither be cut again and again nor be asked for in windows that show hardly anybody.
func TestLength(t *testing.T) {
	shown := func(n int) (records []Record) {
		for i := range n {
			records = append(records, record(fmt.Sprint(i), noon.Add(-99*days)))
		}
		return records
	}
	catchingUp := func(s *session) {
		s.cp.HighWaterMark = noon.Add(-300 * days)
		s.walked()
		s.noPoll()
	}
	length := func(s *session) time.Duration {
		w := s.next()
		return w.End.Sub(w.Start)
	}
	each(t, map[string]func(*session){
		"after a cut windows are as short as its first part": func(s *session) {
			catchingUp(s)
			w := s.next()
			s.cut(w.Start.Add(2 * days))
			s.advance(s.next(), shown(1000)...)
			s.same("end", s.next().End, w.Start.Add(4*days+time.Second))
		},
		"they grow towards a fifth of what a window may show, by a factor of two at most, or four where nobody is shown": func(s *session) {
			catchingUp(s)
			s.cut(s.next().Start.Add(hour))
			s.walked()
			s.same("nobody shown", length(s), 4*hour)
			s.walked(shown(10)...)
			s.same("hardly anybody", length(s), 8*hour)
			s.walked(shown(800)...)
			s.same("grown by a quarter", length(s), 10*hour)
		},
		"they grow to seven days and no further": func(s *session) {
			catchingUp(s)
			s.walked()
			s.same("length", length(s), 7*days)
		},
		"they shrink before they have to be cut": func(s *session) {
			catchingUp(s)
			s.walked(shown(1600)...)
			s.same("length", length(s), 105*hour) // five eighths of seven days
		},
		"a window that is short for another reason does not shorten the next": func(s *session) {
			catchingUp(s)
			s.pr.head.target = s.next().Start.Add(hour)
			s.walked(shown(1000)...)
			s.same("length", s.pr.Longest(Head), 7*days)
		},
		"a bulk delete of one second halves them at most, and not below a second": func(s *session) {
			catchingUp(s)
			s.walked(shown(200_000)...)
			s.same("length", length(s), 84*hour)
			s.pr.lengths[Head] = time.Second
			s.walked(shown(200_000)...)
			s.same("length", s.pr.Longest(Head), time.Second)
		},
	})
}
