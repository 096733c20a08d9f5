package walk

import (
	"testing"
	"time"
)

func TestWindowsFetchedAhead(t *testing.T) {
	each(t, map[string]func(*session){
		"a window that is older than DingTalk surely shows stays as long as none younger comes in its place": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-380 * days)
			begun := s.plan()
			s.pass(hour)
			s.same("plan", s.plan(begun...), begun)
		},
		"behind a due head a reconcile walk that has begun goes on with all its windows": func(s *session) {
			s.cp.ReconciledThrough = noon.Add(-days)
			s.walked()
			begun := s.plan()[0]
			s.pr.headLast = false
			s.pass(hour)
			s.same("kinds", kindsOf(s.plan(begun)), "head reconcile reconcile reconcile reconcile reconcile ")
		},
		"after a cut at its first second windows are as short as that, not as long as at first": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-99 * days)
			s.walked()
			s.noPoll()
			w := s.next()
			s.cut(w.Start)
			s.covers(s.next(), CatchUp, w.Start, w.Start)
			s.advance(s.next(), record("a", w.Start))
			s.same("length", s.pr.Longest(Head), time.Second)
		},
	})
}

func TestAFreshWalkThatIsGivenUpBeginsAnew(t *testing.T) {
	each(t, map[string]func(*session){
		"at its first second, when it is due again": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-99 * days)
			s.walked()
			s.pr.lengths[Fresh] = 10 * hour
			s.same("fresh", s.walked().Kind, Fresh)
			s.same("its second window", s.next().Kind, Fresh)
			s.pr = GivenUp(s.pr, s.next())
			s.same("then", s.walked().Kind, CatchUp)
			s.pass(hour)
			s.covers(s.next(), Fresh, s.c.Now.Add(-24*hour), s.next().End)
		},
	})
}

func TestAHeadThatCouldBeHadAfterAllLetsNoFreshWalkBy(t *testing.T) {
	each(t, map[string]func(*session){
		"at the next poll": func(s *session) {
			s.pr = GivenUp(s.pr, s.next())
			s.same("while it cannot be had", s.next().Kind, Fresh)
			s.walked()
			s.same("when it could be had", s.walked().Kind, Head)
			s.pass(s.l.PollInterval)
			s.same("at the next poll", s.next().Kind, Head)
		},
	})
}

func TestAFreshWalkComesAgainOnceOthersHadTheirShare(t *testing.T) {
	each(t, map[string]func(*session){
		"but not before it is due": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-99 * days)
			s.walked()
			s.same("first", s.walked().Kind, Fresh)
			s.same("without a share", s.next().Kind, CatchUp)
			s.pr = Shared(s.pr)
			s.same("with a share", s.next().Kind, CatchUp)
			s.pass(s.l.PollInterval)
			s.same("with a share, and due", s.next().Kind, Fresh)
		},
		"nor without a share, though it is due": func(s *session) {
			s.cp.HighWaterMark = noon.Add(-99 * days)
			s.walked()
			s.walked()
			s.pass(s.l.PollInterval)
			s.same("due", s.next().Kind, CatchUp)
		},
	})
}

func TestPollsAreCountedFromBeginToBegin(t *testing.T) {
	each(t, map[string]func(*session){
		"of a walk of one window": func(s *session) {
			s.pass(hour)
			w := s.next()
			s.pass(4 * time.Second)
			s.advance(w)
			s.same("due", s.pr.Due(), hour+s.l.PollInterval)
		},
		"of a walk of several windows": func(s *session) {
			s.pass(hour)
			s.pr.lengths[Head] = 20 * hour
			s.walked()
			s.pass(4 * time.Second)
			s.noFresh()
			s.walked()
			s.same("due", s.pr.Due(), hour+s.l.PollInterval)
		},
		"of a walk whose first window was cut": func(s *session) {
			s.pass(hour)
			w := s.next()
			s.cut(w.Start.Add(20 * hour))
			s.pass(4 * time.Second)
			s.noFresh()
			s.walked()
			s.walked()
			s.same("due", s.pr.Due(), hour+s.l.PollInterval)
		},
		"but for a walk that takes as long as that": func(s *session) {
			s.pass(hour)
			w := s.next()
			s.pass(s.l.PollInterval)
			s.advance(w)
			s.same("due", s.pr.Due(), hour+2*s.l.PollInterval)
		},
	})
}

// noFresh says that a fresh walk was the last one.
func (s *session) noFresh() { s.pr.freshLast = true }
