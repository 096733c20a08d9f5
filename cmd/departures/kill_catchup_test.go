package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

const (
	// week is the longest window, and weeks are how many of them a history has. Nothing is fetched ahead in one that is longer: its windows
	// may be refused as too old.
	week, weeks = 7 * 24 * time.Hour, 52
	// moved is how many people of a history left, each of them twice: two pages a window.
	moved = 30 * weeks
	// lives is how many programs are killed before the history is walked to its end.
	lives = 5
	// mostCalls is after how many calls for leave records a program is killed at most. Its first eight windows are sixteen calls.
	mostCalls = 48
)

// TestKilledWhileCatchingUp kills the real program with SIGKILL again and again while it walks a year of departures, eight windows at
// once and several in a transaction, so that the windows which one life had fetched ahead, or was about to commit, are the next one's
// to fetch again.
// DingTalk takes its time, a different one for every call, and shows the newest first: windows become whole in another order than
// that of their turns, and one person's two departures come in the wrong order.
func TestKilledWhileCatchingUp(t *testing.T) {
	t.Parallel()
	kills := howOften(100, 20, 10)
	killOften(t, max(1, kills/lives), kills, unhurriedBrokers, func(r *rig, draw *rand.Rand, kills int) {
		r.catchesUpFrom(time.Now().Add(-weeks * week))
		r.sim.Set(func(s *dingtalktest.Switches) { s.Order = dingtalktest.Descending })
		r.sim.Leave(history(r.floor)...)
		r.sim.FailAtRandom(1, slowBy(10*time.Millisecond), slowBy(30*time.Millisecond), slowBy(90*time.Millisecond))
		stopLeaving := r.peopleLeave(100 * time.Millisecond)
		defer stopLeaving()
		last := r.killRepeatedly(draw, kills, (*rig).afterSomeCalls)
		if n := r.killedAfter("catching up") - r.killedAfter("caught up"); n < kills/2 {
			r.t.Errorf("of %d lives no more than %d were catching up when they were killed", kills, n)
		}
		stopLeaving()
		r.sim.Heal()
		r.settle(last)
	})
}

// catchesUpFrom is where the program begins.
func (r *rig) catchesUpFrom(start time.Time) {
	r.floor = start.UTC().Truncate(time.Second)
	r.env["START"] = r.floor.Format(time.RFC3339)
}

// history is people who left since, evenly; each of them came back, and left once more some hours later.
func history(since time.Time) []dingtalktest.Leaver {
	var all []dingtalktest.Leaver
	for i := range 2 * moved {
		all = append(all, person(fmt.Sprintf("old-%d", i/2), since.Add(weeks*week/(2*moved+1)*time.Duration(i))))
	}
	return all
}

// slowBy is a call that takes its time and goes well.
func slowBy(d time.Duration) dingtalktest.Fault {
	return dingtalktest.Fault{Name: fmt.Sprintf("slow by %v", d), Delay: d}
}

// afterSomeCalls waits until it is time to kill: soon after some more calls for leave records.
func (r *rig) afterSomeCalls(draw *rand.Rand, victim *process) {
	r.t.Helper()
	until := r.dataCalls.Load() + draw.Int64N(mostCalls)
	victim.await("it asks for more leave records", func() bool { return r.dataCalls.Load() >= until })
	victim.lasts(time.Duration(draw.Int64N(int64(50 * time.Millisecond))))
}
