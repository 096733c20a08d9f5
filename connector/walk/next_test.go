package walk

import (
	"testing"
	"time"
)

const days = 24 * hour

func TestHead(t *testing.T) {
	each(t, map[string]func(*session){
		"a head window goes from OVERLAP before the mark through now": func(s *session) {
			s.covers(s.next(), Head, noon.Add(-25*hour), noon)
		},
		"it does not start before floor": func(s *session) {
			s.cp.Floor = noon.Add(-2 * hour)
			s.covers(s.next(), Head, noon.Add(-2*hour), noon)
		},
		"it is asked one second wider on each side, but never beyond now": func(s *session) {
			w := s.next()
			s.same("start asked", w.AskStart, w.Start.Add(-time.Second))
			s.same("end asked", w.AskEnd, noon)
			s.cp.HighWaterMark = noon.Add(-100 * days)
			w = s.next()
			s.same("end asked", w.AskEnd, w.End.Add(time.Second))
		},
		"parts of a second are not asked for": func(s *session) {
			s.c.Now = noon.Add(999 * time.Millisecond)
			s.same("end", s.next().End, noon)
		},
		"with floor ahead of now the second now is polled and the mark stays": func(s *session) {
			s.cp.Floor = noon.Add(hour)
			s.cp.HighWaterMark, s.cp.ReconciledThrough = s.cp.Floor, s.cp.Floor
			s.covers(s.walked(), Head, noon, noon)
			s.same("mark", s.cp.HighWaterMark, noon.Add(hour))
			s.same("reconciled", s.cp.ReconciledThrough, noon.Add(hour))
			_, wait := Next(s.cp, s.pr, s.c, s.l)
			s.same("wait", wait, 10*time.Second)
		},
		"with the mark ahead of now the overlap is polled and the mark stays": func(s *session) {
			s.cp.HighWaterMark = noon.Add(hour)
			s.covers(s.walked(), Head, noon.Add(-23*hour), noon)
			s.same("mark", s.cp.HighWaterMark, noon.Add(hour))
		},
		"walked whole it moves the mark to its end, and the next is due after POLL_INTERVAL": func(s *session) {
			s.walked()
			s.same("mark", s.cp.HighWaterMark, noon)
			s.pass(3 * time.Second)
			_, wait := Next(s.cp, s.pr, s.c, s.l)
			s.same("wait", wait, 7*time.Second)
			s.pass(7 * time.Second)
			s.covers(s.next(), Head, noon.Add(-24*hour), noon.Add(10*time.Second))
		},
		"the mark is the window's end, whatever was shown": func(s *session) {
			s.walked(record("early", noon.Add(-20*hour)), record("future", noon.Add(days)))
			s.same("mark", s.cp.HighWaterMark, noon)
		},
		"the mark stays at the window's end when its walk took time": func(s *session) {
			w := s.next()
			s.pass(hour)
			s.advance(w)
			s.same("mark", s.cp.HighWaterMark, noon)
		},
		"the mark never passes a clock that went back": func(s *session) {
			w := s.next()
			s.pass(-hour / 2)
			s.advance(w)
			s.same("mark", s.cp.HighWaterMark, noon.Add(-hour/2))
		},
		"a clock that went back under an unfinished walk begins it again": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-20 * days)
			s.walked()
			s.same("mark", s.cp.HighWaterMark, noon.Add(-14*days))
			s.c.Now = noon.Add(-19 * days)
			s.covers(s.walked(), Head, noon.Add(-19*days), noon.Add(-19*days))
			_, wait := Next(s.cp, s.pr, s.c, s.l)
			s.same("wait", wait, 10*time.Second)
		},
	})
}

func TestCatchUp(t *testing.T) {
	each(t, map[string]func(*session){
		"seven days are one head window": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-6 * days)
			s.covers(s.next(), Head, noon.Add(-7*days), noon)
		},
		"a second more is caught up with in windows of seven days, without waiting, OVERLAP subtracted once": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-15 * days)
			s.l.PollInterval, s.l.ReconcileInterval = hour, 0
			s.covers(s.walked(), CatchUp, noon.Add(-16*days), noon.Add(-9*days))
			s.same("mark", s.cp.HighWaterMark, noon.Add(-9*days))
			s.covers(s.walked(), Fresh, noon.Add(-days), noon)
			s.covers(s.walked(), CatchUp, noon.Add(-9*days+time.Second), noon.Add(-2*days+time.Second))
			s.covers(s.walked(), CatchUp, noon.Add(-2*days+2*time.Second), noon)
			s.same("mark", s.cp.HighWaterMark, noon)
			_, wait := Next(s.cp, s.pr, s.c, s.l)
			s.same("wait", wait, hour)
		},
		"a window inside the overlap does not take the mark back": func(s *session) {
			s.l.Overlap = 20 * days
			s.walked()
			s.same("mark", s.cp.HighWaterMark, noon.Add(-hour))
		},
		"the walk ends at the now of its begin": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-7 * days)
			s.walked()
			s.noPoll()
			s.pass(2 * days)
			s.same("end", s.walked().End, noon)
			s.same("mark", s.cp.HighWaterMark, noon)
		},
		"an Advance without records foretells the windows to come": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-30 * days)
			s.walked()
			s.noPoll()
			foretold := *s
			var windows []Window
			for range 4 {
				windows = append(windows, foretold.walked())
			}
			for i, w := range windows {
				s.same("window", w, s.next())
				s.advance(w, record("a", w.Start))
				s.same("published", s.cp.Published, i+1)
			}
			s.same("mark", s.cp.HighWaterMark, noon)
		},
		"a restart begins the walk again from the mark": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-15 * days)
			s.walked()
			s.pr = Progress{}
			s.covers(s.next(), CatchUp, noon.Add(-10*days), noon.Add(-3*days))
		},
	})
}

func TestFresh(t *testing.T) {
	begin := func(s *session) {
		s.cp.HighWaterMark = noon.Add(-100 * days)
		s.walked()
	}
	each(t, map[string]func(*session){
		"while a catch-up lasts, the last OVERLAP comes first whenever a poll is due": func(s *session) {
			begin(s)
			s.covers(s.walked(), Fresh, noon.Add(-days), noon)
			s.same("next", s.kinds(4, 5*time.Second), "catch-up catch-up fresh catch-up ")
		},
		"it moves no mark": func(s *session) {
			begin(s)
			before := s.cp
			s.walked()
			s.same("checkpoint", s.cp, before)
		},
		"it does not start before floor": func(s *session) {
			begin(s)
			s.cp.Floor = noon.Add(-hour)
			s.covers(s.next(), Fresh, noon.Add(-hour), noon)
		},
		"never two in succession, however slow the API": func(s *session) {
			begin(s)
			s.same("next", s.kinds(6, hour), "fresh catch-up fresh catch-up fresh catch-up ")
		},
		"not when no more than OVERLAP remains": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-7 * days)
			s.l.Overlap = 6 * days
			s.l.PollInterval = 0
			s.same("next", s.kinds(2, time.Second), "catch-up catch-up ")
			s.same("mark", s.cp.HighWaterMark, noon)
		},
		"cut, it is finished through the now of its begin before anything else": func(s *session) {
			begin(s)
			s.cut(noon.Add(-hour))
			s.covers(s.walked(), Fresh, noon.Add(-days), noon.Add(-hour))
			s.pass(hour)
			s.covers(s.walked(), Fresh, noon.Add(-hour+time.Second), noon)
			s.same("next", s.next().Kind, CatchUp)
		},
		"also while a head that was cut is unfinished": func(s *session) {
			s.l.Overlap = hour
			s.cut(noon.Add(-90 * time.Minute))
			s.covers(s.next(), Fresh, noon.Add(-hour), noon)
		},
	})
}

func TestReconcile(t *testing.T) {
	due := func(s *session) {
		s.cp.ReconciledThrough = noon.Add(-hour)
		s.l.Lookback = 10 * days
	}
	each(t, map[string]func(*session){
		"it is due RECONCILE_INTERVAL after the last, from LOOKBACK before it, in windows of seven days": func(s *session) {
			s.l.PollInterval = hour
			s.l.Lookback = 10 * days
			s.walked()
			_, wait := Next(s.cp, s.pr, s.c, s.l)
			s.same("wait", wait, 30*time.Minute)
			s.pass(30 * time.Minute)
			now := s.c.Now
			s.covers(s.walked(), Reconcile, noon.Add(-10*days-30*time.Minute), noon.Add(-3*days-30*time.Minute))
			s.covers(s.walked(), Reconcile, noon.Add(-3*days-30*time.Minute+time.Second), now)
		},
		"not even a window that ends beyond it moves reconciledThrough before the last": func(s *session) {
			s.cp.ReconciledThrough, s.l.Lookback, s.l.PollInterval = noon.Add(-20*days), days, 100*hour
			s.walked()
			for range 2 {
				s.same("kind", s.walked().Kind, Reconcile)
				s.same("reconciled", s.cp.ReconciledThrough, noon.Add(-20*days))
			}
			s.same("end", s.walked().End, noon)
			s.same("reconciled", s.cp.ReconciledThrough, noon)
		},
		"only its last window moves reconciledThrough, to the now of its begin": func(s *session) {
			due(s)
			s.l.PollInterval = 100 * hour
			s.walked()
			s.walked()
			s.same("reconciled", s.cp.ReconciledThrough, noon.Add(-hour))
			s.pass(hour)
			s.same("end", s.walked().End, noon)
			s.same("reconciled", s.cp.ReconciledThrough, noon)
			s.same("mark", s.cp.HighWaterMark, noon)
		},
		"it does not start before floor": func(s *session) {
			due(s)
			s.cp.Floor = noon.Add(-2 * days)
			s.walked()
			s.covers(s.next(), Reconcile, noon.Add(-2*days), noon)
		},
		"nor further back than 364 days, however long it stands": func(s *session) {
			due(s)
			s.l.Lookback = 1000 * days
			s.walked()
			s.same("start", s.next().Start, noon.Add(-364*days))
			s.walked()
			s.walked()
			s.pass(20 * days)
			s.noPoll()
			s.same("start", s.next().Start, noon.Add(-344*days))
		},
		"zero turns it off": func(s *session) {
			s.l.ReconcileInterval = 0
			s.walked()
			_, wait := Next(s.cp, s.pr, s.c, s.l)
			s.same("wait", wait, 10*time.Second)
		},
		"a due head comes first": func(s *session) {
			due(s)
			s.same("next", s.kinds(1, time.Second), "head ")
			s.walked()
			s.pass(hour)
			s.same("next", s.next().Kind, Head)
		},
		"after a head it has a turn even though the head is due again": func(s *session) {
			due(s)
			s.l.Lookback = 28 * days
			s.l.PollInterval = time.Second
			s.same("next", s.kinds(7, 3*time.Second), "head reconcile head reconcile head reconcile head ")
		},
		"a reconcile window that had to be cut had its turn": func(s *session) {
			due(s)
			s.walked()
			s.pass(hour)
			s.cut(noon.Add(-8 * days))
			s.same("next", s.kinds(2, 0), "head reconcile ")
		},
		"it waits while a head walk of several windows is unfinished": func(s *session) {
			due(s)
			s.l.PollInterval = 100 * hour
			s.cut(noon.Add(-2 * hour))
			s.noPoll()
			s.same("next", s.kinds(3, time.Second), "head head reconcile ")
		},
		"cut, it goes on through both halves": func(s *session) {
			due(s)
			s.l.PollInterval = 100 * hour
			s.walked()
			s.cut(noon.Add(-5 * days))
			s.covers(s.walked(), Reconcile, noon.Add(-10*days-hour), noon.Add(-5*days))
			s.covers(s.walked(), Reconcile, noon.Add(-5*days+time.Second), noon.Add(-3*days-hour))
			s.same("reconciled", s.cp.ReconciledThrough, noon.Add(-hour))
			s.covers(s.walked(), Reconcile, noon.Add(-3*days-hour+time.Second), noon)
			s.same("reconciled", s.cp.ReconciledThrough, noon)
		},
	})
}

func TestFirstCatchUp(t *testing.T) {
	first := func(s *session, floor time.Time) {
		s.cp.Floor, s.cp.HighWaterMark, s.cp.ReconciledThrough = floor, floor, floor
		s.l.PollInterval = 100 * hour
	}
	each(t, map[string]func(*session){
		"its window at floor sets reconciledThrough to the moment the catch-up began": func(s *session) {
			first(s, noon.Add(-20*days))
			w := s.next()
			s.pass(hour)
			s.advance(w)
			s.same("reconciled", s.cp.ReconciledThrough, noon)
		},
		"so it does when it was cut, and begun again after a restart": func(s *session) {
			first(s, noon.Add(-20*days))
			s.cut(noon.Add(-19 * days))
			s.pr = Progress{}
			s.pass(hour)
			s.cut(noon.Add(-19 * days))
			s.noPoll()
			s.pass(hour)
			s.covers(s.walked(), CatchUp, noon.Add(-20*days), noon.Add(-19*days))
			s.same("reconciled", s.cp.ReconciledThrough, noon.Add(hour))
		},
		"so it does when floor is older than DingTalk's history": func(s *session) {
			first(s, noon.Add(-500*days))
			s.refused()
			s.noPoll()
			s.refused()
			s.walked()
			s.same("reconciled", s.cp.ReconciledThrough, noon)
		},
		"a clock that goes back does not take it back": func(s *session) {
			first(s, noon.Add(-hour))
			w := s.next()
			s.c.Now = noon.Add(-2 * hour)
			s.advance(w)
			s.same("reconciled", s.cp.ReconciledThrough, noon.Add(-hour))
		},
		"never again once reconcile has a place of its own": func(s *session) {
			first(s, noon.Add(-hour))
			s.walked()
			s.pass(hour / 2)
			s.pr = Progress{}
			s.covers(s.walked(), Head, noon.Add(-hour), noon.Add(hour/2))
			s.same("reconciled", s.cp.ReconciledThrough, noon)
		},
	})
}

func TestCut(t *testing.T) {
	each(t, map[string]func(*session){
		"a head that is too full is walked in parts, without waiting, and stays a head": func(s *session) {
			s.l.Overlap = 10 * hour
			s.cut(noon.Add(-5 * hour))
			s.noPoll()
			s.cut(noon.Add(-8 * hour))
			s.covers(s.walked(), Head, noon.Add(-11*hour), noon.Add(-8*hour))
			s.same("mark", s.cp.HighWaterMark, noon.Add(-hour))
			s.covers(s.walked(), Head, noon.Add(-8*hour+time.Second), noon.Add(-5*hour))
			s.covers(s.walked(), Head, noon.Add(-5*hour+time.Second), noon)
			s.same("mark", s.cp.HighWaterMark, noon)
		},
		"of a catch-up window that was cut both parts come before the next": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-19 * days)
			s.cut(noon.Add(-15 * days))
			s.noPoll()
			s.covers(s.walked(), CatchUp, noon.Add(-20*days), noon.Add(-15*days))
			s.covers(s.walked(), CatchUp, noon.Add(-15*days+time.Second), noon.Add(-13*days))
			s.covers(s.walked(), CatchUp, noon.Add(-13*days+time.Second), noon.Add(-6*days+time.Second))
		},
		"a window of one second stays as it is": func(s *session) {
			s.cp.Floor = noon
			w := s.next()
			before := s.pr
			s.same("progress", Cut(s.pr, w, NewTally(w, s.l)), before)
		},
		"a copy of the progress does not see what becomes of the original": func(s *session) {
			s.cut(noon.Add(-5 * hour))
			s.noPoll()
			s.cut(noon.Add(-8 * hour))
			s.cut(noon.Add(-10 * hour))
			s.walked()
			copied := *s
			copied.cut(noon.Add(-9 * hour))
			s.cut(noon.Add(-9*hour - time.Minute))
			copied.same("end", copied.next().End, noon.Add(-9*hour))
		},
	})
}

func TestEndless(t *testing.T) {
	each(t, map[string]func(*session){
		"a window reaches now, however long, and is not cut": func(s *session) {
			s.l.Endless = true
			s.cp.HighWaterMark = noon.Add(-99 * days)
			before := s.pr
			s.covers(s.cut(noon.Add(-50*days)), CatchUp, noon.Add(-100*days), noon)
			s.same("progress", s.pr, before)
			s.covers(s.walked(), CatchUp, noon.Add(-100*days), noon)
			s.same("mark", s.cp.HighWaterMark, noon)
			s.pass(10 * time.Second)
			s.same("next", s.next().Kind, Head)
		},
		"a window goes to the now of each request": func(s *session) {
			s.l.Endless = true
			s.cp.HighWaterMark = noon.Add(-400 * days)
			s.refused()
			s.pass(hour)
			s.covers(s.next(), CatchUp, noon.Add(-401*days), noon.Add(hour))
			s.refused()
			s.pass(days)
			s.covers(s.walked(), CatchUp, noon.Add(-363*days+hour+time.Minute), noon.Add(days+hour))
		},
		"there is no fresh walk": func(s *session) {
			s.l.Endless = true
			s.cp.HighWaterMark = noon.Add(-400 * days)
			s.refused()
			s.same("next", s.next().Kind, CatchUp)
		},
		"reconcile is one window": func(s *session) {
			s.l.Endless = true
			s.cp.ReconciledThrough = noon.Add(-hour)
			s.walked()
			s.covers(s.walked(), Reconcile, noon.Add(-30*days-hour), noon)
			s.same("reconciled", s.cp.ReconciledThrough, noon)
		},
	})
}

func TestRefused(t *testing.T) {
	start := noon.Add(-400 * days)
	clamp := noon.Add(-364*days + time.Minute)
	each(t, map[string]func(*session){
		"an old start is asked for as it is, and again when refused once": func(s *session) {
			s.cp.HighWaterMark, s.l.Overlap = start, 0
			s.covers(s.refused(), CatchUp, start, start.Add(7*days))
			s.noPoll()
			s.covers(s.next(), CatchUp, start, start.Add(7*days))
		},
		"refused twice it is clamped to 364 days and a margin": func(s *session) {
			s.cp.HighWaterMark, s.l.Overlap = start, 0
			s.refused()
			s.noPoll()
			s.refused()
			s.covers(s.next(), CatchUp, clamp, clamp.Add(7*days))
			s.same("gaps", len(s.cp.Gaps), 0)
		},
		"only the clamped window walked whole writes the gap, and the mark passes it": func(s *session) {
			s.cp.HighWaterMark = start
			s.refused()
			s.walked() // fresh
			s.refused()
			s.walked()
			s.same("gaps", s.cp.Gaps, "[{"+start.Add(-s.l.Overlap).String()+" "+clamp.String()+"}]")
			s.same("mark", s.cp.HighWaterMark, clamp.Add(7*days))
			s.noPoll()
			s.same("start", s.next().Start, clamp.Add(7*days+time.Second))
		},
		"refused as well, the original start comes again and is counted again": func(s *session) {
			s.cp.HighWaterMark, s.l.Overlap = start, 0
			for range 2 {
				s.refused()
				s.noPoll()
				s.same("start", s.refused().Start, start)
				s.same("start", s.refused().Start, clamp)
			}
			s.same("start", s.next().Start, start)
		},
		"refusals of different starts are not added up": func(s *session) {
			s.cp.HighWaterMark, s.l.Overlap = start, 0
			s.refused()
			s.noPoll()
			s.walked()
			s.refused()
			s.same("start", s.next().Start, start.Add(7*days+time.Second))
		},
		"a refusal of a young window is no sign of age": func(s *session) {
			w := s.next()
			s.same("old", w.Old(s.c), false)
			s.refused()
			s.refused()
			s.covers(s.next(), Head, noon.Add(-25*hour), noon)
		},
		"a clamped window is old enough to be refused": func(s *session) {
			s.cp.HighWaterMark = start
			s.refused()
			s.noPoll()
			s.refused()
			s.same("old", s.next().Old(s.c), true)
		},
		"a clamped window that is too full is cut, and the gap is written once": func(s *session) {
			s.cp.HighWaterMark = start
			s.refused()
			s.noPoll()
			s.refused()
			s.cut(clamp.Add(days))
			s.pass(hour)
			s.covers(s.walked(), CatchUp, clamp.Add(hour), clamp.Add(days))
			s.covers(s.walked(), CatchUp, clamp.Add(days+time.Second), clamp.Add(116*hour+time.Second))
			s.same("gaps", s.cp.Gaps, "[{"+start.Add(-s.l.Overlap).String()+" "+clamp.Add(hour).String()+"}]")
		},
		"the overlap before the mark is part of the gap: who showed late in it was not seen": func(s *session) {
			s.cp.HighWaterMark, s.l.Overlap = noon.Add(-360*days), 6*days
			s.refused()
			s.noPoll()
			s.refused()
			s.same("start", s.walked().Start, clamp)
			s.same("gaps", s.cp.Gaps, "[{"+noon.Add(-366*days).String()+" "+clamp.String()+"}]")
		},
		"a refused head had its turn: fresh walks go on": func(s *session) {
			s.cp.HighWaterMark = start
			s.refused()
			s.same("next", s.walked().Kind, Fresh)
			s.pass(hour)
			s.same("next", s.refused().Kind, CatchUp)
			s.same("next", s.walked().Kind, Fresh)
		},
		"a refused reconcile window had its turn: a due head comes next": func(s *session) {
			s.cp.ReconciledThrough = noon.Add(-hour)
			s.walked()
			s.pass(hour)
			s.same("next", s.refused().Kind, Reconcile)
			s.same("next", s.next().Kind, Head)
		},
	})
}

func TestGivenUp(t *testing.T) {
	catchingUp := func(s *session) {
		s.cp.HighWaterMark = noon.Add(-60 * days)
		s.walked() // the first window of catch-up; a fresh walk is due
	}
	each(t, map[string]func(*session){
		"a catch-up window that cannot be had lets fresh walks by, again and again": func(s *session) {
			catchingUp(s)
			for range 3 {
				s.same("kind", s.walked().Kind, Fresh)
				s.pass(hour)
				w := s.next()
				s.same("kind", w.Kind, CatchUp)
				s.pr = GivenUp(s.pr, w)
			}
		},
		"the first window of a catch-up lets fresh walks by as well": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-60 * days)
			w := s.next()
			s.same("kind", w.Kind, CatchUp)
			s.pr = GivenUp(s.pr, w)
			s.same("kind", s.walked().Kind, Fresh)
			s.same("start", s.next().Start, w.Start)
		},
		"it is asked for again where it stood": func(s *session) {
			catchingUp(s)
			s.walked() // fresh
			w := s.next()
			s.pr = GivenUp(s.pr, w)
			s.covers(s.next(), CatchUp, w.Start, w.End)
		},
		"a fresh walk that cannot be had lets the catch-up by": func(s *session) {
			catchingUp(s)
			w := s.next()
			s.same("kind", w.Kind, Fresh)
			s.pr = GivenUp(s.pr, w)
			s.same("kind", s.walked().Kind, CatchUp)
			s.same("kind", s.next().Kind, Fresh)
		},
		"a reconcile window that cannot be had lets heads by": func(s *session) {
			s.cp.ReconciledThrough = noon.Add(-days)
			s.walked()
			w := s.next()
			s.same("kind", w.Kind, Reconcile)
			s.pass(hour)
			s.same("kind", s.next().Kind, Reconcile)
			s.pr = GivenUp(s.pr, w)
			s.same("kind", s.next().Kind, Head)
		},
		"a head that cannot be had lets a fresh walk of its end by, and then comes again": func(s *session) {
			w := s.next()
			s.pr = GivenUp(s.pr, w)
			s.covers(s.walked(), Fresh, noon.Add(-24*hour), noon)
			s.covers(s.next(), Head, w.Start, w.End)
		},
	})
}
