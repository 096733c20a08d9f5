package connector_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
)

// TestOddDays has what happens at DingTalk once a year, each in a company of its own. After each the whole guarantee is checked.
func TestOddDays(t *testing.T) {
	for name, live := range map[string]func(t *testing.T, r *rig){
		"a person comes back and leaves again, within the overlap and after it": func(_ *testing.T, r *rig) {
			r.cfg.PollInterval, r.cfg.Overlap = time.Minute, time.Hour
			i := r.start(nil)
			for _, stay := range []time.Duration{40 * time.Minute, 80 * time.Minute, 10 * time.Minute} {
				r.leave(1, "comes-back")
				time.Sleep(stay)
			}
			r.stop(i)
		},
		"a record is amended after it was published: no second event": func(t *testing.T, r *rig) {
			at := time.Now()
			r.sim.Leave(person("p", at))
			i := r.start(nil)
			time.Sleep(time.Minute)
			r.sim.Edit(canaryUser+"p", at, func(l *dingtalktest.Leaver) { l.LeaveReason, l.Mobile = "delete", nil })
			r.leave(1, "another")
			time.Sleep(time.Minute)
			r.stop(i)
			if !r.log.contains("changed=1") {
				t.Error("the change was not counted")
			}
		},
		"a leaveTime is corrected: another departure": func(t *testing.T, r *rig) {
			at := time.Now()
			r.sim.Leave(person("p", at))
			i := r.start(nil)
			time.Sleep(time.Minute)
			corrected := at.Add(-10 * time.Minute)
			r.sim.Edit(canaryUser+"p", at, func(l *dingtalktest.Leaver) { l.LeaveTime = corrected })
			time.Sleep(time.Minute)
			r.stop(i)
			if r.lost("p", at) || r.lost("p", corrected) {
				t.Error("one of the two is not published")
			}
		},
		"a record disappears after it was published: nothing happens": func(_ *testing.T, r *rig) {
			at := time.Now()
			r.sim.Leave(person("p", at))
			i := r.start(nil)
			time.Sleep(time.Minute)
			r.sim.Remove(canaryUser+"p", at)
			time.Sleep(2 * time.Hour)
			r.stop(i)
		},
		"a leaveTime lies in the future: published when shown, once, and the mark stays at now": func(t *testing.T, r *rig) {
			r.sim.Set(func(s *dingtalktest.Switches) { s.FilterField = dingtalktest.ByOperation })
			future := person("pending", time.Now().Add(30*time.Minute))
			future.OperatedAt = time.Now()
			r.sim.Leave(future)
			i := r.start(nil)
			time.Sleep(time.Minute)
			if r.lost("pending", future.LeaveTime) {
				t.Error("not published when it was shown")
			}
			if mark := r.checkpoint().HighWaterMark; mark.After(time.Now()) {
				t.Errorf("the mark is at %s, now is %s", mark, time.Now())
			}
			r.leave(1, "today")
			time.Sleep(time.Hour)
			r.stop(i)
		},
		"a userId comes as a number: its digits": func(t *testing.T, r *rig) {
			at := time.Now()
			l := person("", at)
			l.Raw = fmt.Appendf(nil, `{"userId":10086,"leaveTime":%q}`, at.UTC().Format(time.RFC3339))
			r.sim.Leave(l)
			i := r.start(nil)
			time.Sleep(time.Minute)
			r.stop(i)
			a, err := r.account()
			if err != nil || len(a.Events) != 1 || !strings.HasPrefix(string(a.Events[0].Key), "dingtest/10086@") || len(a.Check()) > 0 {
				t.Errorf("events %v, %v", a.Events, err)
			}
			r.sim.Edit(l.UserID, at, func(l *dingtalktest.Leaver) { l.UserID, l.Raw = "10086", nil }) // for the last check
		},
		"the access token ends between two pages": func(t *testing.T, r *rig) {
			r.leave(120, "p")
			r.sim.Set(func(s *dingtalktest.Switches) { s.Latency = 50 * time.Millisecond })
			i := r.start(nil)
			r.wait("the first page", func() bool { return r.pages() == 1 })
			r.sim.ExpireTokens()
			time.Sleep(2 * time.Second)
			r.stop(i)
		},
		"the nextToken ends between two pages, again and again": func(_ *testing.T, r *rig) {
			r.leave(500, "p")
			r.sim.Set(func(s *dingtalktest.Switches) { s.PageTokenTTL, s.Latency = time.Second, 2*time.Second })
			i := r.start(nil)
			time.Sleep(10 * time.Minute)
			r.sim.Set(func(s *dingtalktest.Switches) { s.PageTokenTTL = time.Minute })
			time.Sleep(10 * time.Minute)
			r.stop(i)
		},
		"the same dead token is given again and again, then another": func(t *testing.T, r *rig) {
			i := r.start(nil)
			time.Sleep(time.Minute)
			r.sim.RevokeToken()
			r.leave(1, "p")
			before := len(r.sim.Calls())
			time.Sleep(30 * time.Minute)
			if n := len(r.sim.Calls()) - before; n > 40 {
				t.Errorf("%d calls in half an hour", n)
			}
			r.sim.ExpireTokens()
			time.Sleep(7 * time.Minute)
			r.stop(i)
		},
		"the secret is rotated, and the token ends": func(t *testing.T, r *rig) {
			var secret atomic.Value
			secret.Store(canarySecret)
			r.cfg.Orgs[0].DingTalk.Secret = func() (string, error) {
				if secret.Load() == "" {
					return "", errors.New("the file is not there")
				}
				return secret.Load().(string), nil
			}
			i := r.start(nil)
			time.Sleep(time.Minute)
			r.sim.SetSecret(canarySecret + "-rotated")
			secret.Store("") // while the file is replaced
			r.sim.ExpireTokens()
			r.leave(1, "p")
			time.Sleep(11 * time.Second)
			secret.Store(canarySecret + "-rotated")
			time.Sleep(20 * time.Second)
			r.stop(i)
			if r.log.contains("credentials refused") {
				t.Error("the old secret was used")
			}
		},
		"a walk is slower than the poll interval: one call at a time": func(t *testing.T, r *rig) {
			r.cfg.PollInterval = time.Second
			r.sim.Set(func(s *dingtalktest.Switches) { s.Latency = 3 * time.Second })
			r.leave(120, "p")
			i := r.start(nil)
			time.Sleep(2 * time.Minute)
			r.stop(i)
			calls := r.sim.Calls()
			for n := 1; n < len(calls); n++ {
				if apart := calls[n].Time.Sub(calls[n-1].Time); apart < 3*time.Second {
					t.Errorf("call %d came %s after the one before it", n, apart)
				}
			}
		},
		"nobody has left for a year, and history is refused": func(t *testing.T, r *rig) {
			const almost = 365*day - 2*time.Hour
			r.cfg.Start = connector.StartAt(time.Now().Add(-almost))
			r.cfg.PollInterval = time.Minute
			r.sim.Set(func(s *dingtalktest.Switches) { s.StrictHistory = true })
			r.sim.Leave(person("long-ago", time.Now().Add(-almost+time.Hour)))
			i := r.start(nil)
			time.Sleep(3 * time.Hour)
			if gaps := r.checkpoint().Gaps; len(gaps) > 0 || r.log.contains("window refused") {
				t.Errorf("gaps %v", gaps)
			}
			r.leave(1, "today")
			time.Sleep(10 * time.Minute)
			r.stop(i)
		},
		"two connectors share one app's 20 calls a second": func(_ *testing.T, r *rig) {
			r.sim.Set(func(s *dingtalktest.Switches) { s.QPS = 20 })
			r.cfg.Orgs[0].DingTalk.Rate = 20
			r.leave(300, "p")
			elsewhere := newRig(r.t, r.brokers) // another state, another events topic
			elsewhere.sim, elsewhere.dial, elsewhere.cfg.Orgs[0].DingTalk.Rate = r.sim, r.dial, 20
			i, j := r.start(nil), elsewhere.start(nil)
			time.Sleep(2 * time.Minute)
			r.stop(i)
			elsewhere.stop(j)
			elsewhere.check()
		},
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				live(t, r)
				r.check()
			})
		})
	}
}
