package dingtalktest_test

import (
	"fmt"
	"net/http/httptest"
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

const quotaSpent = "Forbidden.AccessDenied.ApiCountLimitForOrg"

func TestAMonthlyQuotaCountsOnlyWhereItIsSetAndBeginsAgainWithTheMonth(t *testing.T) {
	d := atNoon(t)
	for range 100 {
		d.wantRefusal(d.ask(), 200, "")
	}
	d.sim.Set(func(s *dingtalktest.Switches) { s.MonthlyQuota = 103 })
	for range 3 {
		d.wantRefusal(d.ask(), 200, "")
	}
	d.wantRefusal(d.ask(), 403, quotaSpent)
	d.wantRefusal(d.login(), 200, "")
	d.now = time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC)
	d.login()
	d.wantRefusal(d.ask(), 403, quotaSpent)
	d.now = d.now.Add(time.Second)
	d.wantRefusal(d.ask(), 200, "")
}

func TestTheMonthIsThatOfTheServersClock(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.MonthlyQuota, s.Skew = 1, 10*time.Minute })
	d.now = time.Date(2026, 3, 31, 23, 49, 59, 0, time.UTC)
	d.wantRefusal(d.ask(), 200, "")
	d.wantRefusal(d.ask(), 403, quotaSpent)
	d.now = d.now.Add(time.Second)
	d.wantRefusal(d.ask(), 200, "")
}

func TestThrottledAndUnauthorizedCallsDoNotCountForTheQuota(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.MonthlyQuota, s.QPS = 2, 1 })
	d.wantRefusal(d.ask(), 200, "")
	for range 5 {
		d.wantRefusal(d.ask(), 403, tooManyQPS)
	}
	good := d.token
	d.token = "bad"
	d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
	d.token = good
	d.now = d.now.Add(time.Second)
	d.wantRefusal(d.ask("maxResults", "0"), 400, "invalidParameter.param.invalid")
	d.now = d.now.Add(time.Second)
	d.wantRefusal(d.ask(), 403, quotaSpent)
}

func TestGraceLetsCallsThroughAfterTheQuotaIsSpent(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) {
		s.MonthlyQuota, s.QuotaGrace, s.TokenTTL = 1, 5*day, 100*day
	})
	d.wantRefusal(d.ask(), 200, "")
	d.now = noon.Add(day)
	d.wantRefusal(d.ask(), 200, "") // the first call too many
	d.now = noon.Add(6*day - time.Second)
	d.wantRefusal(d.ask(), 200, "")
	d.now = noon.Add(6 * day)
	d.wantRefusal(d.ask(), 403, quotaSpent)
	d.sim.Set(func(s *dingtalktest.Switches) { s.MonthlyQuota = 50 })
	d.wantRefusal(d.ask(), 200, "")
	d.sim.Set(func(s *dingtalktest.Switches) { s.MonthlyQuota = 1 })
	d.wantRefusal(d.ask(), 200, "") // a new grace
}

func TestTooManyCallsInTwentySecondsBlockTheAddressForFiveMinutes(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.QPS = 0 })
	ping := func() reply { return d.call("GET", "/", nil, "") }
	d.login()
	for range 9_999 {
		ping()
		d.now = d.now.Add(time.Millisecond)
	}
	d.wantRefusal(ping(), 403, "")
	blocked := d.now
	d.now = blocked.Add(5*time.Minute - time.Second)
	for range 20_000 { // they do not prolong it
		d.wantRefusal(ping(), 403, "")
	}
	if r := d.ask(); r.Status != 403 || !strings.HasPrefix(r.Body, "<") {
		t.Errorf("a data call: %d %s", r.Status, r.Body)
	}
	d.now = blocked.Add(5 * time.Minute)
	d.wantRefusal(d.ask(), 200, "")
}

func TestTenThousandCallsInTwentySecondsAreAnsweredForEver(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.QPS = 0 })
	for range 25_000 {
		d.wantRefusal(d.call("GET", "/", nil, ""), 404, "InvalidAction.NotFound")
		d.now = d.now.Add(2 * time.Millisecond)
	}
}

func TestTheBlockHasTheChosenLimitPageAndLength(t *testing.T) {
	for page, c := range map[dingtalktest.BlockPage]struct {
		status int
		begins string
	}{
		dingtalktest.BlockHTML403: {403, "<"}, dingtalktest.BlockHTML200: {200, "<"}, dingtalktest.BlockJSON200: {200, `{"status":1111`},
	} {
		t.Run(string(page), func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) {
				s.BlockAbove, s.BlockPage, s.BlockFor = 3, page, time.Minute
			})
			d.login()
			d.ask()
			d.wantRefusal(d.ask(), 200, "")
			if r := d.ask(); r.Status != c.status || !strings.HasPrefix(r.Body, c.begins) {
				t.Errorf("got %d %s", r.Status, r.Body)
			}
			d.now = noon.Add(time.Minute)
			if r := d.ask(); r.Records == nil {
				t.Errorf("a minute later: %d %s", r.Status, r.Body)
			}
			d.sim.Set(func(s *dingtalktest.Switches) { s.BlockAbove = 2 })
			d.ask()
			if r := d.ask(); r.Status != c.status || r.Records != nil {
				t.Errorf("above a lowered limit: %d %s", r.Status, r.Body)
			}
			d.sim.Heal()
			d.sim.Set(func(s *dingtalktest.Switches) { s.BlockAbove = -1 })
			for range 20 {
				if r := d.ask(); r.Records == nil {
					t.Fatalf("without a limit: %d %s", r.Status, r.Body)
				}
			}
		})
	}
}

func TestALimitThatIsChangedCountsTheLatestCalls(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.BlockAbove = 3 })
	ping := func(status int, code string) {
		t.Helper()
		d.wantRefusal(d.call("GET", "/", nil, ""), status, code)
		d.now = d.now.Add(8 * time.Second)
	}
	for range 5 {
		ping(404, "InvalidAction.NotFound")
	}
	d.sim.Set(func(s *dingtalktest.Switches) { s.BlockAbove = 5 })
	for range 4 {
		ping(404, "InvalidAction.NotFound")
	}
	d.sim.Set(func(s *dingtalktest.Switches) { s.BlockAbove = 2 })
	ping(403, "")
}

func TestWithoutARateLimitThereIsNoBlockUnlessOneIsAskedFor(t *testing.T) {
	d := atNoon(t)
	for range 10_100 {
		d.wantRefusal(d.call("GET", "/", nil, ""), 404, "InvalidAction.NotFound")
	}
	d.sim.Set(func(s *dingtalktest.Switches) { s.BlockAbove = 10 })
	for range 10 {
		d.call("GET", "/", nil, "")
	}
	d.wantRefusal(d.call("GET", "/", nil, ""), 403, "")
}

func TestOnlyTheAddressThatCalledTooOftenIsBlocked(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.BlockAbove = 2 })
	from := func(addr string) int {
		req := httptest.NewRequest("GET", "/", nil)
		req.RemoteAddr = addr
		w := httptest.NewRecorder()
		d.sim.ServeHTTP(w, req)
		return w.Code
	}
	for i, c := range []struct {
		addr string
		want int
	}{{"10.0.0.1:1000", 404}, {"10.0.0.1:1001", 404}, {"10.0.0.2:1000", 404}, {"10.0.0.1:1002", 403}, {"10.0.0.2:1001", 404}, {"[fe80::1]:7", 404}} {
		if got := from(c.addr); got != c.want {
			t.Errorf("call %d, from %s: %d, want %d", i+1, c.addr, got, c.want)
		}
	}
	for i := range 3000 { // more than are watched
		if got := from(fmt.Sprintf("10.%d.%d.9:1", i/256, i%256)); got != 404 {
			t.Fatalf("address %d: %d", i, got)
		}
		d.now = d.now.Add(30 * time.Millisecond)
	}
	if got := from("10.0.0.1:1003"); got != 403 {
		t.Errorf("the blocked address was forgotten: %d", got)
	}
}

func TestACallThatNeverArrivesCountsForNoBlock(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.BlockAbove = 3 })
	d.login()
	d.sim.Fail(dingtalktest.Refused, 10)
	for range 10 {
		_, _ = d.try()
	}
	d.wantRefusal(d.ask(), 200, "")
	d.wantRefusal(d.ask(), 200, "")
}
