package connector_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk"
	"departures/connector/dingtalk/dingtalktest"
)

// row is one line of the table of verdicts, as it is seen from outside.
type row struct {
	fault dingtalktest.Fault
	pause time.Duration // from one call that goes wrong to the next call
	says  string        // to the operator, in the log and on /readyz
	fix   string        // part of the way out that is said with it; "" where time heals it
}

// What is said of most troubles, and parts of the ways out.
const (
	weatherSays    = "no answer that can be used"
	walkBegunAgain = "walk begun again"

	checkApp     = "check in DingTalk's console that the app is enabled"
	checkSecret  = "check DINGTALK_APP_KEY and DINGTALK_APP_SECRET (in ORGS_FILE app_key and app_secret_file), and that DINGTALK_BASE_URL (api.dingtalk.com or api.dingtalk.io)"
	checkBase    = "check that DINGTALK_BASE_URL is https://api.dingtalk.com or https://api.dingtalk.io"
	checkEndTime = "set DINGTALK_END_TIME=never"
	grantScope   = "Contact.Common.Read"
	otherProgram = "look for another program that calls from this one"
)

// special are the faults of the simulator's that are not weather, by name; the others are asked again after a second, and nobody
// can do anything about them.
var special = map[string]row{
	"400 InvalidAuthentication": {pause: time.Second, says: "token refused", fix: checkApp},
	"400 invalidParameter":      {pause: time.Second, says: "window refused", fix: checkEndTime},
	"403 QPS of the app":        {pause: time.Second, says: "throttled"},
	"403 QPS of all apps":       {pause: time.Second, says: "throttled"},
	"403 empty":                 {pause: time.Second, says: "throttled"},
	"500 systemError.busy":      {pause: time.Second, says: "throttled"},
	"403 QPM":                   {pause: time.Minute, says: "throttled for a minute"},
	"403 monthly quota":         {pause: time.Hour, says: "monthly quota used up", fix: "wait for the next month"},
	"403 permission":            {pause: time.Minute, says: "permission missing", fix: grantScope},
	"403 IP white list":         {pause: time.Minute, says: "IP address not on the white list", fix: "server IP list"},
	"429 Retry-After":           {pause: 7 * time.Second, says: weatherSays},
	"IP block, HTML, 403":       {pause: 5 * time.Minute, says: "IP address banned", fix: otherProgram},
	"IP block, HTML, 200":       {pause: 5 * time.Minute, says: "IP address banned", fix: otherProgram},
	"IP block, JSON, 200":       {pause: 5 * time.Minute, says: "IP address banned", fix: otherProgram},
	"302":                       {pause: time.Second, says: weatherSays, fix: checkBase},
	"hang":                      {pause: 6 * time.Second, says: weatherSays}, // the call's own time-out, and a second
	"stalled body":              {pause: 6 * time.Second, says: weatherSays},
	"slow":                      {pause: 6 * time.Second, says: weatherSays},
	"slow drip":                 {pause: 6 * time.Second, says: weatherSays},
	"no such host":              {pause: time.Second, says: weatherSays, fix: "this host's DNS"},
	"wrong certificate":         {pause: time.Second, says: weatherSays, fix: "a certificate of its own"},
}

// refusal is DingTalk's error with a code, as a row.
func refusal(status int, code string, pause time.Duration, says, fix string) row {
	return row{dingtalktest.Fault{Name: fmt.Sprintf("%d %s", status, code), Status: status, Code: code}, pause, says, fix}
}

// table is every verdict on a call for leave records: all that the simulator knows to go wrong, and the codes of DingTalk's table of
// errors that it has no name for.
func table() []row {
	rows := []row{
		refusal(400, "AuthenticationFailed.MissingParameter", time.Second, "token not seen", "proxy"),
		refusal(403, "Forbidden", time.Second, "throttled", ""),
		refusal(403, "Forbidden.AccessDenied.QpsLimitForSuitekeyAndOrgAndApi", time.Second, "throttled", ""),
		refusal(403, "Forbidden.AccessDenied.QpsLimitForSomethingNew", time.Second, "throttled", ""),
		refusal(403, "Forbidden.AccessDenied.QpmLimitForApi", time.Minute, "throttled for a minute", ""),
		refusal(400, "qps.exceed.limit", time.Second, "throttled", ""),
		refusal(400, "request.overlimit", time.Second, "throttled", ""),
		refusal(500, "systemError", time.Second, weatherSays, ""),
		refusal(500, "server.error", time.Second, weatherSays, ""),
		refusal(401, "unauthorized", time.Second, weatherSays, ""),
		refusal(500, "unauthorized", time.Second, weatherSays, ""),
		refusal(404, "InvalidAction.NotFound", time.Second, weatherSays, checkBase),
		refusal(400, "MissingstartTime", time.Second, weatherSays, ""),
		{dingtalktest.Fault{
			Name: "legacy white list", Status: 200, Type: "application/json",
			Body: `{"errcode":60020,"errmsg":"访问ip不在白名单之中,request ip=203.0.113.9"}`,
		}, time.Minute, "IP address not on the white list", "add 203.0.113.9"},
	}
	for _, f := range dingtalktest.Faults() {
		r, known := special[f.Name]
		if !known {
			r = row{pause: time.Second, says: weatherSays}
		}
		r.fault = f
		rows = append(rows, r)
	}
	return rows
}

// tokenTable is the verdicts on a call for an access token that differ from those above.
func tokenTable() []row {
	rows := []row{
		refusal(400, "invalidClientIdOrSecret", 5*time.Minute, "credentials refused", checkSecret),
		refusal(400, "invalid.client", 5*time.Minute, "credentials refused", checkSecret),
		refusal(401, "unauthorized.client", 5*time.Minute, "credentials refused", checkSecret),
		refusal(400, "unsupported.grant.type", 5*time.Minute, "credentials refused", checkSecret),
		refusal(400, "Missingbody", time.Second, weatherSays, ""),
		refusal(500, "server.error", time.Second, weatherSays, ""),
		refusal(500, "unknownError", time.Second, weatherSays, ""),
		refusal(400, "invalidParameter.param.invalid", time.Second, weatherSays, ""),
	}
	for i := range rows {
		rows[i].fault = rows[i].fault.Against(dingtalktest.TokenCalls)
	}
	return rows
}

// TestEveryVerdictWaitsAsLongAsItMustAndNoLonger lets one call go wrong in every way. Nothing is lost, and the next call comes when
// the verdict says.
func TestEveryVerdictWaitsAsLongAsItMustAndNoLonger(t *testing.T) {
	for _, c := range slices.Concat(table(), tokenTable()) {
		t.Run(c.fault.Name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.sim.Fail(c.fault, 1)
				r.leave(1, "p")
				i := r.start(nil)
				time.Sleep(c.pause + c.pause/4 + 15*time.Second)
				r.stop(i)
				r.check()
				calls := r.callsOf(c.fault.On)
				if len(calls) < 2 {
					t.Fatalf("%d calls", len(calls))
				}
				if pause := calls[1].Time.Sub(calls[0].Time); pause < c.pause || pause > c.pause+c.pause/4+500*time.Millisecond {
					t.Errorf("the next call came after %s, not %s", pause, c.pause)
				}
			})
		})
	}
}

// TestEveryVerdictTellsTheOperator lets every call go wrong for a while. The log and /readyz say what is wrong and, where a person
// can do something about it, what; when it is over the connector goes on by itself.
func TestEveryVerdictTellsTheOperator(t *testing.T) {
	for _, c := range slices.Concat(table(), tokenTable()) {
		t.Run(c.fault.Name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.cfg.PollInterval = time.Minute
				r.sim.Fail(c.fault, 1_000_000)
				r.leave(1, "p")
				i := r.start(nil)
				time.Sleep(10 * time.Minute)
				ready := strings.Join(i.runner.Status().Ready(time.Now()), "\n")
				if !strings.Contains(ready, "dingtest: no window walked yet: "+c.says+": ") || !strings.Contains(ready, c.fix) {
					t.Errorf("not ready because: %q, want %q and %q in it", ready, c.says, c.fix)
				}
				warnings := r.log.lines("level=WARN msg=\"DingTalk: " + c.says + "\"")
				if len(warnings) == 0 || len(warnings) > 2 || !strings.Contains(warnings[0], c.fix) {
					t.Errorf("warnings in ten minutes: %q, want one or two that say %q", warnings, c.fix)
				}
				if c.fix == "" && (strings.Contains(ready, "check ") || len(warnings) > 0 && strings.Contains(warnings[0], "fix=")) {
					t.Errorf("somebody is sent looking for what he cannot mend: %q, %q", ready, warnings)
				}
				r.sim.Heal()
				time.Sleep(max(c.pause, 5*time.Minute)*5/4 + time.Minute) // no pause that grows is longer than five minutes
				if reasons := i.runner.Status().Ready(time.Now()); len(reasons) > 0 {
					t.Errorf("still not ready: %v", reasons)
				}
				if !r.log.contains("DingTalk answers again") {
					t.Error("nothing was said when it was over")
				}
				r.stop(i)
				r.check()
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
				calls := r.callsOf(dingtalktest.DataCalls)
				for k := range c.n {
					least := c.least[min(k, len(c.least)-1)]
					if pause := calls[k+1].Time.Sub(calls[k].Time); pause < least || pause > least*5/4+time.Millisecond {
						t.Errorf("pause %d is %s, want %s and at most a quarter more", k+1, pause, least)
					}
				}
				if took := calls[c.n].Time.Sub(calls[0].Time); took > c.total {
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

// TestAWalkWithoutAnEndIsSaid has DingTalk give the same nextToken for ever.
func TestAWalkWithoutAnEndIsSaid(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.sim.Set(func(s *dingtalktest.Switches) { s.RepeatToken = true })
		r.leave(120, "p")
		i := r.start(nil)
		time.Sleep(10 * time.Minute)
		if reasons := strings.Join(i.runner.Status().Ready(time.Now()), "\n"); !strings.Contains(reasons, walkBegunAgain) || !r.log.contains("DingTalk: "+walkBegunAgain) {
			t.Errorf("not ready because: %q, want %q in it and in the log", reasons, walkBegunAgain)
		}
		r.sim.Set(func(s *dingtalktest.Switches) { s.RepeatToken = false })
		time.Sleep(2 * time.Minute)
		if reasons := i.runner.Status().Ready(time.Now()); len(reasons) > 0 {
			t.Errorf("still not ready: %v", reasons)
		}
		r.stop(i)
		r.check()
	})
}

// TestTheWrongDeployment asks api.dingtalk.com for an organisation that lives on api.dingtalk.io.
func TestTheWrongDeployment(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		right := r.cfg.Orgs[0].DingTalk.BaseURL
		r.cfg.Orgs[0].DingTalk.BaseURL, _ = url.Parse("https://api.dingtalk.com")
		r.leave(1, "p")
		i := r.start(nil)
		time.Sleep(time.Minute)
		if reasons := strings.Join(i.runner.Status().Ready(time.Now()), "\n"); !strings.Contains(reasons, checkSecret) {
			t.Errorf("not ready because: %q, want %q in it", reasons, checkSecret)
		}
		r.stop(i)
		r.cfg.Orgs[0].DingTalk.BaseURL = right
		i = r.start(nil)
		time.Sleep(time.Minute)
		r.stop(i)
		r.check()
	})
}

// TestAQuotaThatIsUsedUpIsAskedForOnceAnHour has DingTalk count the calls, which by its documents it does not, until the next month.
func TestAQuotaThatIsUsedUpIsAskedForOnceAnHour(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.sim.Set(func(s *dingtalktest.Switches) { s.MonthlyQuota = 100 })
		i := r.start(nil)
		time.Sleep(24 * time.Hour)
		if n := r.pages(); n < 100+22 || n > 100+26 {
			t.Errorf("%d calls in a day, of which 100 were free", n)
		}
		r.leave(1, "p")
		r.sim.Set(func(s *dingtalktest.Switches) { s.MonthlyQuota = 0 }) // somebody paid
		time.Sleep(61 * time.Minute)
		r.stop(i)
		r.check()
	})
}

// TestACorpIDThatDingTalkDoesNotKnow is found where the token is asked for the organisation.
func TestACorpIDThatDingTalkDoesNotKnow(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Orgs[0].DingTalk.Token = dingtalk.CorpToken
		r.cfg.Orgs[0].CorpID, r.cfg.Orgs[0].DingTalk.CorpID = "dingother", "dingother"
		i := r.start(nil)
		time.Sleep(time.Minute)
		if reasons := strings.Join(i.runner.Status().Ready(time.Now()), "\n"); !strings.Contains(reasons, "check DINGTALK_CORP_ID") {
			t.Errorf("not ready because: %q", reasons)
		}
		r.stop(i)
		r.nothingPrivateWasSaid()
	})
}
