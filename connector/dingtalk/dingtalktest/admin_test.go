package dingtalktest_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// admin asks the admin API and gives the answer's status and body.
func (d *desk) admin(method, path, body string) (int, string) {
	d.Helper()
	w := httptest.NewRecorder()
	d.sim.Admin().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if got := w.Header().Get("Content-Type"); got != "application/json; charset=utf-8" || !json.Valid(w.Body.Bytes()) {
		d.Errorf("%s %s: %s, no JSON: %s", method, path, got, w.Body)
	}
	return w.Code, w.Body.String()
}

// wantAdmin is an answer with this status and these texts in it.
func (d *desk) wantAdmin(method, path, body string, status int, texts ...string) {
	d.Helper()
	got, text := d.admin(method, path, body)
	if got != status {
		d.Errorf("%s %s %s: %d, want %d: %s", method, path, body, got, status, text)
	}
	for _, want := range texts {
		if !strings.Contains(text, want) {
			d.Errorf("%s %s %s: no %s in %s", method, path, body, want, text)
		}
	}
}

func TestTheIndexNamesEveryPathAndItsCommandsCanBeSentAsTheyStand(t *testing.T) {
	d := atNoon(t)
	var index struct {
		Paths    map[string]string
		Commands []json.RawMessage
	}
	_, text := d.admin("GET", "/", "")
	if err := json.Unmarshal([]byte(text), &index); err != nil {
		t.Fatal(err)
	}
	for path := range index.Paths {
		if method, path, _ := strings.Cut(path, " "); method == "GET" {
			d.wantAdmin(method, path, "", 200)
		}
	}
	for _, c := range index.Commands {
		d.wantAdmin("POST", "/commands", string(c), 200, `"done"`)
	}
}

func TestSwitchesAreShownWithTheirDoubtAndChanged(t *testing.T) {
	d := atNoon(t)
	d.wantAdmin("GET", "/switches", "", 200, `"last-token"`, `"absent"`, `"S15 end of a walk"`, "siblings")
	d.wantAdmin("PATCH", "/switches", `{"last-token": "zero", "null-records": true}`, 200, `"value": "zero"`)
	if got := d.ask().Body; got != `{"nextToken":"0","records":null}` {
		t.Errorf("got %s", got)
	}
	d.wantAdmin("PATCH", "/switches", `{"null-records": false, "order": "sideways"}`, 400, "error", "desc")
	d.wantAdmin("PATCH", "/switches", `{`, 400, "error")
	if got := d.ask().Body; got != `{"nextToken":"0","records":null}` {
		t.Errorf("after a refusal %s", got)
	}
}

func TestCommandsAndScriptsComeOverHTTP(t *testing.T) {
	d := atNoon(t)
	d.wantAdmin("POST", "/commands", `{"leave": {"people": [{"userId": "a", "name": "<张>", "mobile": "1"}, {"userId": "b", "raw": "{"}]}}`, 200)
	d.wantAdmin("POST", "/script", `[{"after": "1m", "remove": {"userId": "b"}}, {"after": "1h", "setSecret": "hidden-secret"}]`, 200, `"done": false`)
	d.now = noon.Add(time.Minute)
	if got := d.ask().users(); len(got) != 1 || got[0] != "a" {
		t.Errorf("got %v", got)
	}
	d.wantAdmin("GET", "/truth", "", 200, `"userId": "a"`, `"<张>"`, `"raw": "{"`, `"removed": true`, `"shown": true`, `"2026-03-10T12:00:00Z"`)
	d.wantAdmin("GET", "/script", "", 200, `"done": true`, `"setSecret"`)
	if _, text := d.admin("GET", "/script", ""); strings.Contains(text, "hidden-secret") {
		t.Errorf("a secret in %s", text)
	}
}

func TestFaultsToComeAreShown(t *testing.T) {
	d := atNoon(t)
	d.wantAdmin("GET", "/faults", "", 200, `"500-system-error"`, `"queued": []`)
	d.wantAdmin("POST", "/commands", `{"fail": {"fault": "reset", "times": 7, "on": "token"}}`, 200)
	d.wantAdmin("POST", "/commands", `{"fail": {"fault": "hang", "probability": 0.25}}`, 200)
	d.wantAdmin("POST", "/commands", `{"blockIP": {"for": "1h"}}`, 200)
	d.wantAdmin("GET", "/faults", "", 200, `"left": 7`, `"on": "token"`, `"probability": 0.25`, "2026-03-10T13:00:00Z")
}

func TestTheCallsAreShownWithNeitherSecretsNorTokens(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(people(3, noon.Add(-time.Hour))...)
	d.walk(nil, "maxResults", "1")
	d.wantAdmin("GET", "/calls", "", 200, "/v1.0/oauth2/accessToken", "maxResults=1", `"tokenId": 1`, "nextToken=page-2")
	_, all := d.admin("GET", "/calls", "")
	for _, never := range []string{secret, dingtalktest.TokenMark, dingtalktest.PageTokenMark} {
		if strings.Contains(all, never) {
			t.Errorf("%s in %s", never, all)
		}
	}
	if _, last := d.admin("GET", "/calls?last=1", ""); strings.Count(last, "requestId") != 1 || !strings.Contains(last, "page-2") {
		t.Errorf("the last call: %s", last)
	}
	d.wantAdmin("GET", "/calls?last=few", "", 400, "whole number")
}

func TestWhatTheAdminAPIDoesNotTakeIsToldAndDoesNothing(t *testing.T) {
	d := atNoon(t)
	d.wantAdmin("POST", "/commands", `{"leav": {"count": 1}}`, 400, `leav`, "GET / has examples")
	d.wantAdmin("POST", "/commands", `{"fail": {"fault": "gremlins"}}`, 400, "500-system-error")
	d.wantAdmin("POST", "/script", `[{"after": "1s"}]`, 400, "step 1")
	d.wantAdmin("DELETE", "/switches", ``, 404, "GET / lists")
	d.wantAdmin("GET", "/commands", ``, 404, "GET / lists")
	d.wantAdmin("GET", "/v1.0/contact/empLeaveRecords", ``, 404, "GET / lists")
	if n := len(d.sim.Truth()) + len(d.sim.Calls()); n > 0 {
		t.Errorf("%d people and calls", n)
	}
}
