package connector_test

import (
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// pauses is how long the connector waits after one call went wrong, before it makes the next one; what is not here it takes for
// weather, and asks again after a second.
var pauses = map[string]time.Duration{
	"403 QPM":             time.Minute,
	"403 monthly quota":   time.Hour,
	"403 permission":      time.Minute,
	"403 IP white list":   time.Minute,
	"429 Retry-After":     7 * time.Second,
	"IP block, HTML, 403": 5 * time.Minute,
	"IP block, HTML, 200": 5 * time.Minute,
	"IP block, JSON, 200": 5 * time.Minute,
	"hang":                6 * time.Second, // the call's own time-out, and a second
	"stalled body":        6 * time.Second,
	"slow":                6 * time.Second,
	"slow drip":           6 * time.Second,
}

// TestWhateverDingTalkAnswersTheDepartureIsPublished lets the first call for leave records go wrong in every way that the simulator
// knows. Nothing is lost, and the next call comes when the verdict says.
func TestWhateverDingTalkAnswersTheDepartureIsPublished(t *testing.T) {
	for _, f := range dingtalktest.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				least, known := pauses[f.Name]
				if !known {
					least = time.Second
				}
				r.sim.Fail(f, 1)
				r.leave(1, "p")
				began := time.Now()
				i := r.start(nil)
				time.Sleep(least + least/4 + 15*time.Second)
				r.stop(i)
				r.check()
				var calls []time.Time
				for _, c := range r.sim.Calls() {
					if strings.HasSuffix(c.Path, "/empLeaveRecords") {
						calls = append(calls, c.Time)
					}
				}
				if len(calls) < 2 {
					t.Fatalf("%d calls", len(calls))
				}
				if pause := calls[1].Sub(calls[0]); pause < least || pause > least+least/4+500*time.Millisecond {
					t.Errorf("the next call came after %s, not %s (the first at %s)", pause, least, calls[0].Sub(began))
				}
			})
		})
	}
}

// TestPausesGrow lets calls go wrong in a row and looks at the pauses between them.
func TestPausesGrow(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault dingtalktest.Fault
		n     int
		least []time.Duration // of the pauses, the last one repeats
		total time.Duration   // at most, for all n
	}{
		{
			"weather doubles from a second to a minute", dingtalktest.SystemError, 9,
			[]time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 60e9},
			6 * time.Minute,
		},
		{"eight throttled answers in a row cost less than ten seconds", dingtalktest.Throttled, 8, []time.Duration{1e9}, 10 * time.Second},
		{
			"a throttling that lasts is given more room", dingtalktest.Throttled, 11,
			[]time.Duration{1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 2e9, 4e9},
			30 * time.Second,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.sim.Fail(c.fault, c.n)
				r.leave(1, "p")
				i := r.start(nil)
				time.Sleep(c.total + time.Minute)
				r.stop(i)
				r.check()
				var calls []time.Time
				for _, call := range r.sim.Calls() {
					if strings.HasSuffix(call.Path, "/empLeaveRecords") {
						calls = append(calls, call.Time)
					}
				}
				for k := range c.n {
					least := c.least[min(k, len(c.least)-1)]
					if pause := calls[k+1].Sub(calls[k]); pause < least || pause > least*5/4+time.Millisecond {
						t.Errorf("pause %d is %s, want %s and at most a quarter more", k+1, pause, least)
					}
				}
				if took := calls[c.n].Sub(calls[0]); took > c.total {
					t.Errorf("%d errors cost %s, more than %s", c.n, took, c.total)
				}
			})
		})
	}
}

// TestARevokedTokenCostsLessThanTwoSeconds has the token die between two polls.
func TestARevokedTokenCostsLessThanTwoSeconds(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		i := r.start(nil)
		time.Sleep(time.Minute)
		r.sim.ExpireTokens()
		r.leave(1, "p")
		time.Sleep(13 * time.Second) // a poll interval with its jitter, and less than two seconds
		r.stop(i)
		r.check()
	})
}

// TestADeadSecretIsAskedForOnceInFiveMinutes has DingTalk refuse the app's secret for an hour.
func TestADeadSecretIsAskedForOnceInFiveMinutes(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.sim.SetSecret("another")
		r.leave(1, "p")
		i := r.start(nil)
		time.Sleep(time.Hour)
		if n := len(r.sim.Calls()); n < 10 || n > 13 {
			t.Errorf("%d calls in an hour", n)
		}
		status := i.runner.Status()
		if reasons := strings.Join(status.Ready(time.Now()), "\n"); !strings.Contains(reasons, "DINGTALK_APP_SECRET") {
			t.Errorf("not ready because: %s", reasons)
		}
		r.sim.SetSecret(canarySecret)
		time.Sleep(7 * time.Minute)
		r.stop(i)
		r.check()
	})
}

// TestTroubleIsSaidWithItsWayOut looks at what an operator is told while a trouble lasts.
func TestTroubleIsSaidWithItsWayOut(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*dingtalktest.Switches)
		want string
	}{
		{"the permission is missing", func(s *dingtalktest.Switches) { s.NoPermission = true }, "Contact.Common.Read"},
		{"the address is not on the white list", func(s *dingtalktest.Switches) { s.IPNotWhiteListed = true }, "server IP list"},
		{"the quota is used up", func(s *dingtalktest.Switches) { s.QuotaExhausted = true }, "next month"},
		{"the next page is never given", func(s *dingtalktest.Switches) { s.RepeatToken = true }, "walk begun again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.cfg.PollInterval = time.Minute
				r.sim.Set(c.set)
				r.leave(120, "p")
				i := r.start(nil)
				time.Sleep(10 * time.Minute)
				if reasons := strings.Join(i.runner.Status().Ready(time.Now()), "\n"); !strings.Contains(reasons, c.want) {
					t.Errorf("not ready because: %q, want %q in it", reasons, c.want)
				}
				if !r.log.contains(c.want) {
					t.Errorf("the log does not say %q", c.want)
				}
				r.sim.Set(func(s *dingtalktest.Switches) { *s = dingtalktest.Switches{QPS: -1} })
				time.Sleep(time.Hour + 20*time.Minute)
				if reasons := i.runner.Status().Ready(time.Now()); len(reasons) > 0 {
					t.Errorf("still not ready: %v", reasons)
				}
				r.stop(i)
				r.check()
			})
		})
	}
}
