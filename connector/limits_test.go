package connector_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// TestAnIPBanCostsFiveMinutesAndNoCallInBetween bans the address in the middle of a run, for as long as DingTalk does.
func TestAnIPBanCostsFiveMinutesAndNoCallInBetween(t *testing.T) {
	for _, page := range []dingtalktest.Fault{dingtalktest.IPBlockHTML403, dingtalktest.IPBlockHTML200, dingtalktest.IPBlockJSON} {
		t.Run(page.Name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				const ban = 5 * time.Minute
				i := r.start(nil)
				time.Sleep(time.Minute)
				before, banned := len(r.sim.Calls()), time.Now()
				r.sim.BlockIP(page, ban)
				r.leave(1, "p")
				time.Sleep(ban + 30*time.Second)
				calls := r.sim.Calls()[before:]
				if len(calls) < 2 || calls[0].Time.Sub(banned) > 11*time.Second {
					t.Fatalf("calls since the ban: %+v", calls)
				}
				if pause := calls[1].Time.Sub(calls[0].Time); pause < ban || pause > ban+time.Second {
					t.Errorf("the next call came after %s", pause)
				}
				if calls[1].Status != 200 {
					t.Errorf("the call after the ban: %+v", calls[1])
				}
				r.stop(i)
				r.check()
			})
		})
	}
}

// TestPollsKeepOffTheFullHour polls every half hour, beginning at a full one, where DingTalk's limit over all tenants is reached for ten
// seconds. Without jitter every poll would meet it.
func TestPollsKeepOffTheFullHour(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.PollInterval = 30 * time.Minute
		r.cfg.ReconcileInterval = 0
		r.sim.Set(func(s *dingtalktest.Switches) { s.BusyHalfHours = 10 * time.Second })
		i := r.start(nil)
		time.Sleep(5 * 24 * time.Hour)
		r.stop(i)
		r.check()
		polls, met := 0, 0
		for _, c := range r.callsOf(dingtalktest.DataCalls) {
			if c.Status == 200 {
				polls++
			} else if polls > 0 { // the first poll is at once
				met++
			}
		}
		if polls < 200 || met > polls/4 {
			t.Errorf("%d polls, %d calls met the limit", polls, met)
		}
	})
}

// TestOneRateForAnAppHoweverManyOrganisations has two organisations of one app key with pages to walk.
func TestOneRateForAnAppHoweverManyOrganisations(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		const perSecond = 5
		r.cfg.Orgs[0].DingTalk.Rate = perSecond
		sim := r.second("key")
		for k := range 2000 {
			at := time.Now().Add(-time.Duration(k) * time.Second)
			r.sim.Leave(person(fmt.Sprint(k), at))
			sim.Leave(person(fmt.Sprint(k), at))
		}
		i := r.start(nil)
		time.Sleep(time.Minute)
		r.stop(i)
		calls := append(r.sim.Calls(), sim.Calls()...)
		slices.SortFunc(calls, func(a, b dingtalktest.Call) int { return a.Time.Compare(b.Time) })
		if least := 40 * perSecond; len(calls) < least {
			t.Errorf("%d calls in a minute, fewer than %d", len(calls), least)
		}
		for k := perSecond; k < len(calls); k++ {
			if within := calls[k].Time.Sub(calls[k-perSecond].Time); within < time.Second-time.Millisecond {
				t.Fatalf("%d calls within %s", perSecond+1, within)
			}
		}
	})
}
