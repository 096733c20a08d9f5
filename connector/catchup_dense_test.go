package connector_test

import (
	"fmt"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// TestAHistoryThatIsTooDenseIsCutInTheBeginning has more people in seven days than a window may show. What that costs are a hundred pages of the window
// that is cut, or twice so many, and what the seven behind it had shown by then; nothing that grows with the history.
func TestAHistoryThatIsTooDenseIsCutInTheBeginning(t *testing.T) {
	spans := []int{50, 30, 15}
	if testing.Short() {
		spans = spans[:1]
	}
	for name, order := range map[string]dingtalktest.Order{"asc": dingtalktest.Ascending, "desc": dingtalktest.Descending} {
		for _, days := range spans {
			t.Run(fmt.Sprint(name, " ", days), func(t *testing.T) {
				onSimulatedTime(t, func(t *testing.T, r *rig) {
					const people = 40_000
					r.sim.Set(func(s *dingtalktest.Switches) { s.Latency, s.Order = 4*time.Millisecond, order })
					start := r.since(time.Duration(days) * day)
					r.crowd("p-", start, time.Now().Add(-2*day), people)
					i := r.start(nil)
					time.Sleep(9 * time.Second)
					r.stop(i)
					windows := map[string]bool{}
					for _, c := range r.callsOf(dingtalktest.DataCalls) {
						windows[c.Param("startTime")+c.Param("endTime")] = true
					}
					n, needed, cuts := r.pages(), (people+49)/50+len(windows), r.log.count("window cut")
					if n > needed+400 || cuts > 2 {
						t.Errorf("%d calls for %d departures in %d windows, want %d and 400 more; %d windows were cut", n, people, len(windows), needed, cuts)
					}
				})
			})
		}
	}
}

// TestQuietDaysDoNotLengthenTheWindowsOfADenseHistory: what the fresh walks show says nothing of the history.
func TestQuietDaysDoNotLengthenTheWindowsOfADenseHistory(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.rate(5)
		start := r.since(364 * day)
		r.crowd("p-", start, start.Add(18*day), 18*2747)
		i := r.start(nil)
		time.Sleep(4 * time.Minute)
		r.stop(i)
		if n := r.log.count("window cut"); n > 2 {
			t.Errorf("%d windows were cut, each after a hundred pages", n)
		}
	})
}

// TestADenseCatchUpIsFast in its first minute, in which the windows learn how long they may be.
func TestADenseCatchUpIsFast(t *testing.T) {
	densities := []int{450, 600, 1000, 2747}
	if testing.Short() {
		densities = densities[:1]
	}
	for _, perDay := range densities {
		t.Run(fmt.Sprint(perDay, " a day"), func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				const perSecond, seconds = 20, 60
				r.rate(perSecond)
				r.latency(200 * time.Millisecond)
				start := r.since(360 * day)
				days := 60_000 / perDay
				r.crowd("p-", start, start.Add(time.Duration(days)*day), days*perDay)
				i := r.start(nil)
				time.Sleep(seconds * time.Second)
				r.stop(i)
				if n := r.pages(); n < perSecond*seconds*3/4 {
					t.Errorf("%d calls in %d seconds, %d a second", n, seconds, n/seconds)
				}
			})
		})
	}
}

// TestATroubleOfAllCallsPausesTheCallsThatWaitForTheirTurn has eight windows that wait for the rate limit, as they do at DingTalk's usual one.
func TestATroubleOfAllCallsPausesTheCallsThatWaitForTheirTurn(t *testing.T) {
	for _, perSecond := range []float64{20, 5, 1} {
		t.Run(fmt.Sprint(perSecond, " calls a second"), func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				const latency, ban = 200 * time.Millisecond, 5 * time.Minute
				r.rate(perSecond)
				r.latency(latency)
				start := r.since(360 * day)
				r.crowd("p-", start.Add(time.Second), time.Now(), 360*30)
				i := r.start(nil)
				time.Sleep(5 * time.Second)
				before := len(r.sim.Calls())
				r.sim.BlockIP(dingtalktest.IPBlockHTML403, ban)
				time.Sleep(ban + 10*time.Second)
				r.quiet(r.sim.Calls()[before:], latency, ban-time.Second)
				r.stop(i)
			})
		})
	}
}

func TestTheStatusForgetsACatchUpThatAnotherInstanceFinished(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.rate(1)
		start := r.since(360 * day)
		r.crowd("p-", start.Add(time.Second), time.Now(), 360*40)
		one := r.start(nil)
		time.Sleep(time.Minute)
		r.cfg.Kafka.Group += "-second"
		r.rate(10_000)
		two := r.start(nil)
		for two.runner.Status().Orgs["dingtest"].Checkpoint.HighWaterMark.Before(time.Now().Add(-time.Minute)) {
			time.Sleep(100 * time.Millisecond)
		}
		r.stop(two)
		time.Sleep(5 * time.Minute)
		if c := one.runner.Status().Orgs["dingtest"].CatchUp; c != nil {
			t.Errorf("the status says %+v, and nothing is left to catch up with", *c)
		}
		r.stop(one)
		r.complete()
	})
}

// TestProgressIsSaidWhileNothingComes: every five seconds, also while the window whose turn it is cannot be had.
func TestProgressIsSaidWhileNothingComes(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		start := r.since(60 * day)
		r.crowd("p-", start.Add(time.Second), time.Now(), 100)
		r.sim.Fail(ofWindow(dingtalktest.SystemError, askedFrom(start, 2)), 1_000_000)
		i := r.start(nil)
		time.Sleep(10 * time.Minute)
		r.stop(i)
		at := r.log.at("catching up")
		for k := 1; k < len(at); k++ {
			if apart := at[k].Sub(at[k-1]); apart > 12*time.Second {
				t.Errorf("nothing was said for %s", apart)
			}
		}
	})
}
