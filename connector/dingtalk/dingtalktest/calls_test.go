package dingtalktest_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"departures/connector/dingtalk/dingtalktest"
)

func TestTheAccessLogTellsWhatWasAskedAndAnswered(t *testing.T) {
	d := atNoon(t)
	d.login()
	page := d.ask("maxResults", "7")
	d.sim.ExpireTokens()
	d.ask()
	d.login()
	d.sim.Fail(dingtalktest.Throttled, 1)
	d.ask()
	d.sim.Fail(dingtalktest.ResetBefore, 1)
	if _, err := d.try(); err == nil {
		t.Fatal("no reset")
	}
	calls := d.sim.Calls()
	const token, data = "POST /v1.0/oauth2/accessToken", "GET /v1.0/contact/empLeaveRecords"
	want := []string{
		token + " 0 200  ",
		data + " 1 200  ",
		data + " 1 400 InvalidAuthentication ",
		token + " 0 200  ",
		data + " 2 403 " + tooManyQPS + " 403 QPS of the app",
		data + " 2 0  reset",
	}
	if len(calls) != len(want) {
		t.Fatalf("%d calls, want %d", len(calls), len(want))
	}
	for i, c := range calls {
		if got := fmt.Sprintf("%s %s %d %d %s %s", c.Method, c.Path, c.TokenID, c.Status, c.Code, c.Fault); got != want[i] {
			t.Errorf("call %d: got  %s\nwant %s", i, got, want[i])
		}
		if !c.Time.Equal(noon) {
			t.Errorf("call %d at %v", i, c.Time)
		}
	}
	if calls[1].RequestID != page.Header.Get("x-acs-request-id") || calls[1].Param("maxResults") != "7" ||
		calls[1].Param("endTime") != stamp(noon) {
		t.Errorf("the data call: %+v", calls[1])
	}
}

func TestTheAccessLogHoldsNoSecretAndNoToken(t *testing.T) {
	d := atNoon(t)
	d.login()
	d.ask("access_token", d.token, "appSecret", secret)
	d.call("POST", "/v1.0/oauth2/accessToken?s="+url.QueryEscape(secret), jsonHeader, `{"appKey":"x","appSecret":"`+secret+`"}`)
	log := fmt.Sprintf("%+v", d.sim.Calls())
	if strings.Contains(log, secret) || strings.Contains(log, d.token) {
		t.Errorf("a secret in %s", log)
	}
	if !strings.Contains(log, "access_token=REDACTED") {
		t.Errorf("the parameter is not there at all: %s", log)
	}
}

func TestTheAccessLogKeepsTheLastCalls(t *testing.T) {
	sim := dingtalktest.New(dingtalktest.Options{CorpID: corpID, AppKey: appKey, AppSecret: secret, KeepCalls: 3})
	d := &desk{T: t, sim: sim, now: noon, base: "https://api.dingtalk.test"}
	d.client = clientOf(sim)
	for i := range 5 {
		d.ask("maxResults", fmt.Sprint(i+1))
	}
	var sizes []string
	for _, c := range sim.Calls() {
		sizes = append(sizes, c.Param("maxResults"))
	}
	if got := strings.Join(sizes, " "); got != "3 4 5" {
		t.Errorf("kept %s", got)
	}
}

func TestAnUnknownSwitchIsRefusedAtOnce(t *testing.T) {
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "sideways") {
			t.Errorf("recovered %v", p)
		}
	}()
	dingtalktest.New(dingtalktest.Options{Switches: dingtalktest.Switches{Order: "sideways"}})
}
