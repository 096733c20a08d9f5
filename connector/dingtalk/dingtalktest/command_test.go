package dingtalktest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// command carries out a command in JSON.
func (d *desk) command(text string) {
	d.Helper()
	c, err := dingtalktest.ReadCommand(strings.NewReader(text))
	if err == nil {
		err = d.sim.Do(c)
	}
	if err != nil {
		d.Fatalf("%s: %v", text, err)
	}
}

func TestEveryExampleOfACommandIsCarriedOut(t *testing.T) {
	d := atNoon(t)
	for _, text := range dingtalktest.CommandExamples() {
		d.command(text)
	}
}

func TestACommandSetsSwitchesAndLeavesTheOthers(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.NullRecords = true })
	d.command(`{"set": {"last-token": "zero", "qps": 3, "english": true, "skew": "-10m"}}`)
	r := d.ask()
	if r.Body != `{"nextToken":"0","records":null}` || r.Header.Get("Date") != "Tue, 10 Mar 2026 11:50:00 GMT" {
		t.Errorf("%s at %s", r.Body, r.Header.Get("Date"))
	}
	d.ask()
	d.ask()
	if r := d.ask(); r.Code != tooManyQPS || r.Message != "the app calls this API too often in a second" {
		t.Errorf("%s", r.Body)
	}
}

func TestACommandLetsPeopleLeave(t *testing.T) {
	d := atNoon(t)
	d.command(`{"leave": {"count": 300, "ago": "1h"}}`)
	at := stamp(noon.Add(-time.Hour))
	if got := users(d.walk(nil, "startTime", at, "endTime", at)); len(got) != 300 {
		t.Errorf("%d of 300 in one second", len(got))
	}
	d.command(`{"leave": {"count": 300, "ago": "1h"}}`)
	if n := len(d.sim.Truth()); n != 600 {
		t.Errorf("%d departures of 600: the same people were invented again", n)
	}
	d.command(`{"leave": {"count": 300, "ago": "1h", "over": "30m"}}`)
	if got := users(d.walk(nil, "startTime", stamp(noon.Add(-90*time.Minute)), "endTime", at)); len(got) != 900 {
		t.Errorf("%d of 900 within half an hour", len(got))
	}
}

func TestACommandLetsAGivenPersonLeave(t *testing.T) {
	d := atNoon(t)
	d.command(`{"leave": {"people": [
		{"userId": "a", "name": "张伟", "stateCode": "86", "mobile": "18512347676", "leaveReason": "new"},
		{"userId": "b", "leaveTime": "2026-03-10T19:30:00+08:00"},
		{"userId": "c", "raw": "{\"userId\":7}"}
	], "ago": "10m"}}`)
	want := `{"records":[{"userId":"b","leaveTime":"2026-03-10T11:30:00Z"},` +
		`{"userId":"a","name":"张伟","stateCode":"86","mobile":"18512347676","leaveTime":"2026-03-10T11:50:00Z","leaveReason":"new"},{"userId":7}]}`
	if got := d.ask().Body; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestADepartureByCommandShowsAfterItsLagAndIsEnteredNow(t *testing.T) {
	d := atNoon(t)
	d.command(`{"leave": {"people": [{"userId": "a"}], "ago": "2000h", "lag": "5m"}}`)
	d.command(`{"leave": {"people": [{"userId": "future"}], "ago": "-48h"}}`)
	d.sim.Set(func(s *dingtalktest.Switches) { s.FilterField = dingtalktest.ByOperation })
	if got := d.ask().users(); !slices.Equal(got, []string{"future"}) {
		t.Errorf("at once: %v", got)
	}
	d.now = noon.Add(5 * time.Minute)
	if got := d.ask().users(); len(got) != 2 {
		t.Errorf("after the lag: %v", got)
	}
}

func TestACommandEditsMovesErasesAndRemovesARecord(t *testing.T) {
	d := atNoon(t)
	d.command(`{"leave": {"people": [{"userId": "a", "name": "Alice", "mobile": "1", "leaveReason": "unknown"}], "ago": "2h"}}`)
	d.command(`{"leave": {"people": [{"userId": "b"}], "ago": "1h"}}`)
	d.command(`{"edit": {"userId": "a", "leaveTime": "2026-03-10T10:00:00Z", "to": {"leaveReason": "leave", "stateCode": "86"}, "erase": ["mobile"]}}`)
	want := `{"records":[{"userId":"a","name":"Alice","stateCode":"86","leaveTime":"2026-03-10T10:00:00Z","leaveReason":"leave"},` +
		`{"userId":"b","leaveTime":"2026-03-10T11:00:00Z"}]}`
	if got := d.ask().Body; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	d.command(`{"edit": {"userId": "a", "moveBy": "30m"}}`)
	d.command(`{"remove": {}}`) // whoever was entered last
	if got := d.ask(); !slices.Equal(got.users(), []string{"a"}) || got.Records[0].LeaveTime != "2026-03-10T10:30:00Z" {
		t.Errorf("got %s", got.Body)
	}
	if n := len(d.sim.Truth()); n != 3 {
		t.Errorf("%d departures were true once, want 3", n)
	}
}

func TestACommandMakesCallsFail(t *testing.T) {
	d := atNoon(t)
	d.login()
	d.command(`{"fail": {"fault": "500-system-error", "times": 2}}`)
	d.command(`{"fail": {"fault": "403 empty", "on": "token"}}`)
	d.command(`{"fail": {"status": 400, "code": "invalidNextToken"}}`)
	d.wantRefusal(d.ask(), 500, "system.error")
	d.wantRefusal(d.ask(), 500, "system.error")
	token := d.token
	d.wantRefusal(d.login(), 403, "")
	d.token = token
	d.wantRefusal(d.ask(), 400, "invalidNextToken")
	d.wantRefusal(d.ask(), 200, "")
	d.command(`{"fail": {"fault": "502 HTML", "probability": 1, "on": "all"}}`)
	d.wantRefusal(d.login(), 502, "")
	d.token = token
	d.wantRefusal(d.ask(), 502, "")
	d.command(`{"heal": true}`)
	d.wantRefusal(d.ask(), 200, "")
}

func TestACommandBlocksAndEndsTokens(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.BlockFor = time.Minute })
	d.sim.Leave(people(2, noon.Add(-time.Hour))...)
	page := d.ask("maxResults", "1").token()
	d.command(`{"blockIP": {"page": "json-200"}}`)
	if r := d.ask(); !strings.Contains(r.Body, "1111") {
		t.Errorf("blocked: %s", r.Body)
	}
	d.now = noon.Add(time.Minute)
	d.command(`{"expirePageTokens": true}`)
	d.wantRefusal(d.ask("maxResults", "1", "nextToken", page, "startTime", stamp(noon.Add(-day)), "endTime", stamp(noon)), 400, "invalidParameter.param.invalid")
	first := d.token
	d.command(`{"revokeToken": true}`)
	if d.login(); d.token != first {
		t.Error("another token after a revocation")
	}
	d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
	d.command(`{"expireTokens": true}`)
	d.login()
	d.wantRefusal(d.ask(), 200, "")
	d.command(`{"setSecret": "another"}`)
	d.wantRefusal(d.login(), 400, "invalidClientIdOrSecret")
}

func TestAWrongCommandDoesNothingAndSaysWhatIsExpected(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{``, "EOF"},
		{`{}`, "expirePageTokens"},
		{`{"heal": false}`, "heal"},
		{`{"heal": true, "expireTokens": true}`, "2 things"},
		{`{"heal": true} {"heal": true}`, "behind"},
		{`{"leav": {}}`, `"leav"`},
		{`{"fail": {"fault": "204", "tmes": 1}}`, `"tmes"`},
		{`{"fail": {"fault": "gremlins"}}`, "500-system-error, "},
		{`{"fail": {"fault": "204", "on": "some"}}`, "data, token, all"},
		{`{"fail": {"fault": "204", "times": -1}}`, "above 0"},
		{`{"fail": {"fault": "204", "times": 1, "probability": 0.5}}`, "either"},
		{`{"fail": {"fault": "204", "probability": 1.5}}`, "up to 1"},
		{`{"fail": {"fault": "204", "status": 204}}`, "either"},
		{`{"fail": {"times": 1}}`, "either"},
		{`{"fail": {"status": 42}}`, "599"},
		{`{"set": {"oder": "asc"}}`, "last-token"},
		{`{"set": {"order": "desc", "qps": "many"}}`, "whole number"},
		{`{"set": {"qps": [1]}}`, "a text, a number"},
		{`{"leave": {}}`, "somebody"},
		{`{"leave": {"count": 2000000}}`, "1000000"},
		{`{"leave": {"people": [{"userId": "a"}, {"name": "b"}]}}`, "person 2"},
		{`{"leave": {"count": 1, "lag": "-1s"}}`, "not below 0"},
		{`{"leave": {"count": 1, "ago": "yesterday"}}`, "yesterday"},
		{`{"edit": {"userId": "nobody"}}`, "no such record"},
		{`{"edit": {"userId": "u1", "erase": ["userId"]}}`, "leaveReason"},
		{`{"remove": {"userId": "u1", "leaveTime": "2026-03-10T10:00:00Z"}}`, "no such record"},
		{`{"blockIP": {"page": "teapot"}}`, "json-200"},
	} {
		d := atNoon(t)
		d.sim.Leave(people(1, noon.Add(-time.Hour))...)
		before := d.ask().Body
		cmd, err := dingtalktest.ReadCommand(strings.NewReader(c.text))
		if err == nil {
			err = d.sim.Do(cmd)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q in it", c.text, err, c.says)
		}
		if got := d.ask().Body; got != before {
			t.Errorf("%s changed the page to %s", c.text, got)
		}
	}
}
