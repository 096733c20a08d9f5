package dingtalktest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

const tooManyQPS = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"

func TestTwentyCallsASecondAreAnsweredAndTheNextSecondIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ticking(t)
		for range 3 {
			for range 20 {
				d.wantRefusal(d.ask(), 200, "")
			}
			for range 2 {
				r := d.ask()
				d.wantRefusal(r, 403, tooManyQPS)
				if r.Header.Get("Retry-After") != "" {
					t.Error("Retry-After without its switch")
				}
			}
			time.Sleep(time.Second)
		}
	})
}

func TestARefusedTokenOrPermissionCostsNothingOfTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ticking(t)
		d.login()
		good := d.token
		d.token = "bad"
		for range 30 {
			d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
		}
		d.token = good
		d.wantRefusal(d.ask(), 200, "")
	})
}

func TestTokenCallsHaveARateOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ticking(t)
		for range 20 {
			d.wantRefusal(d.login(), 200, "")
		}
		token := d.token
		d.wantRefusal(d.login(), 403, tooManyQPS)
		d.token = token
		d.wantRefusal(d.ask(), 200, "")
	})
}

func TestAnotherRateCanBeSetAndTheLimitSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ticking(t)
		d.sim.Set(func(s *dingtalktest.Switches) { s.QPS, s.RetryAfter = 2, 3*time.Second })
		d.ask()
		d.ask()
		r := d.ask()
		d.wantRefusal(r, 403, tooManyQPS)
		if got := r.Header.Get("Retry-After"); got != "3" {
			t.Errorf("Retry-After %q, want 3", got)
		}
		d.sim.Set(func(s *dingtalktest.Switches) { s.QPS = -1 })
		for range 100 {
			d.wantRefusal(d.ask(), 200, "")
		}
	})
}

func TestALimitAMinuteRefusesUntilTheMinuteEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ticking(t)
		d.sim.Set(func(s *dingtalktest.Switches) { s.QPM = 3 })
		for range 3 {
			d.wantRefusal(d.ask(), 200, "")
			time.Sleep(time.Second)
		}
		d.wantRefusal(d.ask(), 403, "Forbidden.AccessDenied.QpmLimitForAppkeyAndApi")
		time.Sleep(57 * time.Second)
		d.wantRefusal(d.ask(), 200, "")
	})
}

func TestTheGlobalLimitBindsAtFullAndHalfHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ticking(t) // synctest begins at midnight
		d.sim.Set(func(s *dingtalktest.Switches) { s.BusyHalfHours = 5 * time.Second })
		d.wantRefusal(d.login(), 200, "")
		for range 3 {
			d.wantRefusal(d.ask(), 403, "Forbidden.AccessDenied.QpsLimitForApi")
			time.Sleep(5 * time.Second)
			d.wantRefusal(d.ask(), 200, "")
			time.Sleep(30*time.Minute - 5*time.Second)
		}
	})
}

func TestAnIPBlockHitsEveryCallForItsTime(t *testing.T) {
	for name, c := range map[string]struct {
		block  dingtalktest.Fault
		status int
		begins string
	}{
		"HTML, 403": {dingtalktest.IPBlockHTML403, 403, "<"},
		"HTML, 200": {dingtalktest.IPBlockHTML200, 200, "<"},
		"JSON, 200": {dingtalktest.IPBlockJSON, 200, `{"status":1111,"punish":"deny"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := atNoon(t)
			d.login()
			token := d.token
			d.sim.BlockIP(c.block, 5*time.Minute)
			d.now = noon.Add(5*time.Minute - time.Second)
			for _, r := range []reply{d.ask(), d.login(), d.call("GET", "/", nil, "")} {
				if r.Status != c.status || !strings.HasPrefix(r.Body, c.begins) {
					t.Errorf("got %d %s", r.Status, r.Body)
				}
			}
			d.token = token
			d.now = noon.Add(5 * time.Minute)
			d.wantRefusal(d.ask(), 200, "")
		})
	}
}
