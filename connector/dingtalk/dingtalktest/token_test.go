package dingtalktest_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

func TestUnknownPathsAndMethodsAre404WithAnError(t *testing.T) {
	d := atNoon(t)
	for _, c := range [][2]string{
		{"GET", "/"}, {"GET", "/v1.0/contact/users"}, {"POST", "/v1.0/contact/empLeaveRecords"}, {"GET", "/v1.0/oauth2/accessToken"},
	} {
		r := d.call(c[0], c[1], nil, "")
		d.wantRefusal(r, 404, "InvalidAction.NotFound")
	}
}

func TestEveryAnswerBearsDingTalksHeaders(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.Skew = 10 * time.Minute })
	uuid := regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`)
	seen := map[string]bool{}
	for _, r := range []reply{d.ask(), d.ask("maxResults", "0"), d.call("GET", "/", nil, "")} {
		h := r.Header
		if h.Get("Server") != "DingTalk/1.0.0" || h.Get("Content-Type") != "application/json;charset=utf-8" ||
			h.Get("x-acs-trace-id") == "" || h.Get("Retry-After") != "" {
			t.Errorf("headers %v", h)
		}
		if h.Get("Date") != noon.Add(10*time.Minute).Format(http.TimeFormat) {
			t.Errorf("Date %q is not the server's clock", h.Get("Date"))
		}
		id := h.Get("x-acs-request-id")
		if !uuid.MatchString(id) || seen[id] {
			t.Errorf("request id %q is no new upper-case UUID", id)
		}
		seen[id] = true
		if r.Status != 200 && r.RequestID != id {
			t.Errorf("requestid %q in the body, %q in the header", r.RequestID, id)
		}
	}
}

func TestAnErrorHasTheChosenCasingAndLanguage(t *testing.T) {
	for _, c := range []struct {
		name string
		set  dingtalktest.Switches
		want string
	}{
		{"lower case, Chinese", dingtalktest.Switches{}, `{"code":"InvalidAuthentication","requestid":"%s","message":"不合法的access_token"}`},
		{"English", dingtalktest.Switches{English: true}, `{"code":"InvalidAuthentication","requestid":"%s","message":"Invalid access_token"}`},
		{"upper camel case", dingtalktest.Switches{UpperCamelErrors: true}, `{"Code":"InvalidAuthentication","RequestId":"%s","Message":"不合法的access_token"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) { *s = c.set })
			r := d.call("GET", "/v1.0/contact/empLeaveRecords", tokenHeader("nonsense"), "")
			if want := fmt.Sprintf(c.want, r.Header.Get("x-acs-request-id")); r.Body != want {
				t.Errorf("got  %s\nwant %s", r.Body, want)
			}
		})
	}
}

func TestATokenIsGivenForTheRightCredentialsInJSONOnly(t *testing.T) {
	d := atNoon(t)
	if r := d.login(); r.Status != 200 || r.AccessToken == "" || r.ExpireIn != 7200 {
		t.Errorf("got %d %s", r.Status, r.Body)
	}
	good := fmt.Sprintf(`{"appKey":%q,"appSecret":%q}`, appKey, secret)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
		code   string
	}{
		{"a form", form, "appKey=" + appKey + "&appSecret=" + secret, "Missingbody"},
		{"JSON called a form", form, good, "Missingbody"},
		{"no body", jsonHeader, "", "Missingbody"},
		{"two objects", jsonHeader, good + good, "Missingbody"},
		{"a wrong secret", jsonHeader, `{"appKey":"` + appKey + `","appSecret":"x"}`, "invalidClientIdOrSecret"},
		{"a wrong key", jsonHeader, `{"appKey":"x","appSecret":"` + secret + `"}`, "invalidClientIdOrSecret"},
		{"no secret", jsonHeader, `{"appKey":"` + appKey + `"}`, "invalidClientIdOrSecret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.wantRefusal(d.call("POST", "/v1.0/oauth2/accessToken", c.header, c.body), 400, c.code)
		})
	}
}

func TestARotatedSecretReplacesTheOldOneAndLeavesTokensValid(t *testing.T) {
	d := atNoon(t)
	d.login()
	d.sim.SetSecret("another")
	d.wantRefusal(d.ask(), 200, "")
	d.wantRefusal(d.login(), 400, "invalidClientIdOrSecret")
	r := d.call("POST", "/v1.0/oauth2/accessToken", jsonHeader, `{"appKey":"`+appKey+`","appSecret":"another"}`)
	d.wantRefusal(r, 200, "")
}

func TestATokenIsTheSameAndRenewedWithinItsValidityAndAnotherAfterIt(t *testing.T) {
	d := atNoon(t)
	first := d.login().AccessToken
	d.now = d.now.Add(7199 * time.Second)
	if r := d.login(); r.AccessToken != first || r.ExpireIn != 7200 {
		t.Errorf("asked again within the validity: another token, or %d s left", r.ExpireIn)
	}
	d.now = d.now.Add(7199 * time.Second)
	d.wantRefusal(d.ask(), 200, "")
	d.now = d.now.Add(time.Second)
	d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
	if d.login().AccessToken == first {
		t.Error("the same token after its validity")
	}
	d.wantRefusal(d.ask(), 200, "")
	d.token = first
	d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
}

func TestAShorterValidityCanBeSet(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.TokenTTL = time.Minute })
	if r := d.login(); r.ExpireIn != 60 {
		t.Errorf("expireIn %d, want 60", r.ExpireIn)
	}
	d.now = d.now.Add(time.Minute)
	d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
}

func TestExpiredAtOnceATokenIsReplaced(t *testing.T) {
	d := atNoon(t)
	first := d.login().AccessToken
	d.sim.ExpireTokens()
	d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
	if d.login().AccessToken == first {
		t.Error("the expired token was given again")
	}
	d.wantRefusal(d.ask(), 200, "")
}

func TestARevokedTokenComesBackDeadUntilItsValidityEnds(t *testing.T) {
	d := atNoon(t)
	first := d.login().AccessToken
	d.sim.RevokeToken()
	d.now = d.now.Add(time.Hour)
	d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
	if r := d.login(); r.AccessToken != first || r.ExpireIn != 3600 {
		t.Errorf("after a revocation: another token, or %d s left", r.ExpireIn)
	}
	d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
	d.now = d.now.Add(time.Hour)
	d.login()
	d.wantRefusal(d.ask(), 200, "")
}

func TestTheCorpVariantSpeaksSnakeCaseAndItsTokenIsGood(t *testing.T) {
	d := atNoon(t)
	good := fmt.Sprintf(`{"client_id":%q,"client_secret":%q,"grant_type":"client_credentials"}`, appKey, secret)
	path := "/v1.0/oauth2/" + corpID + "/token"
	r := d.call("POST", path, jsonHeader, good)
	token := regexp.MustCompile(`^\{"access_token":"(\w+)","expires_in":7200\}$`).FindStringSubmatch(r.Body)
	if r.Status != 200 || token == nil {
		t.Fatalf("got %d %s", r.Status, r.Body)
	}
	d.token = token[1]
	d.wantRefusal(d.ask(), 200, "")
	for _, c := range []struct {
		name, path, body string
		status           int
		code             string
	}{
		{"an unknown corpId", "/v1.0/oauth2/dingother/token", good, 500, "unknownError"},
		{"a wrong secret", path, `{"client_id":"` + appKey + `","client_secret":"x","grant_type":"client_credentials"}`, 400, "invalid.client"},
		{"another grant", path, `{"client_id":"` + appKey + `","client_secret":"` + secret + `"}`, 400, "unsupported.grant.type"},
	} {
		t.Run(c.name, func(t *testing.T) { d.wantRefusal(d.call("POST", c.path, jsonHeader, c.body), c.status, c.code) })
	}
}

func TestATokenCountsInItsHeaderOnlyAndAsItIs(t *testing.T) {
	d := atNoon(t)
	d.login()
	path := "/v1.0/contact/empLeaveRecords"
	for _, c := range []struct {
		name   string
		query  string
		header http.Header
		code   string
	}{
		{"none", "", nil, "AuthenticationFailed.MissingParameter"},
		{"in the query", "?access_token=" + d.token, nil, "AuthenticationFailed.MissingParameter"},
		{"as a bearer", "", http.Header{"Authorization": {"Bearer " + d.token}}, "AuthenticationFailed.MissingParameter"},
		{"in quotes", "", tokenHeader(`"` + d.token + `"`), "InvalidAuthentication"},
		{"never issued", "", tokenHeader("0123"), "InvalidAuthentication"},
	} {
		t.Run(c.name, func(t *testing.T) { d.wantRefusal(d.call("GET", path+c.query, c.header, ""), 400, c.code) })
	}
}

func TestWithoutThePermissionTheScopeIsNamed(t *testing.T) {
	for name, upper := range map[string]bool{"lower case": false, "upper camel case": true} {
		t.Run(name, func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) { s.NoPermission, s.UpperCamelErrors = true, upper })
			r := d.ask()
			d.wantRefusal(r, 403, "Forbidden.AccessDenied.AccessTokenPermissionDenied")
			if got := r.AccessDeniedDetail.RequiredScopes; !slices.Equal(got, []string{"Contact.Common.Read"}) {
				t.Errorf("requiredScopes %q", got)
			}
		})
	}
}

func TestACallIsJudgedInTheOrderOfTheTable(t *testing.T) {
	d := atNoon(t)
	d.login()
	good := d.token
	d.sim.Set(func(s *dingtalktest.Switches) {
		s.NoPermission, s.IPNotWhiteListed, s.QuotaExhausted, s.BusyHalfHours = true, true, true, time.Hour
	})
	d.sim.BlockIP(dingtalktest.IPBlockJSON, time.Minute)
	step := func(status int, code string) {
		t.Helper()
		d.wantRefusal(d.call("GET", "/v1.0/contact/empLeaveRecords?maxResults=0", tokenHeader(d.token), ""), status, code)
	}
	d.token = ""
	step(200, "") // the block's own page
	d.now = d.now.Add(time.Minute)
	step(400, "AuthenticationFailed.MissingParameter")
	d.token = "bad"
	step(400, "InvalidAuthentication")
	d.token = good
	step(403, "Forbidden.AccessDenied.IpNotInWhiteList")
	d.sim.Set(func(s *dingtalktest.Switches) { s.IPNotWhiteListed = false })
	step(403, "Forbidden.AccessDenied.AccessTokenPermissionDenied")
	d.sim.Set(func(s *dingtalktest.Switches) { s.NoPermission = false })
	step(403, "Forbidden.AccessDenied.ApiCountLimitForOrg")
	d.sim.Set(func(s *dingtalktest.Switches) { s.QuotaExhausted = false })
	step(403, "Forbidden.AccessDenied.QpsLimitForApi")
	d.sim.Set(func(s *dingtalktest.Switches) { s.BusyHalfHours = 0 })
	step(400, "MissingstartTime")
}

func TestTokensCanBeRecognised(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(people(120, noon.Add(-time.Hour))...)
	access, page := regexp.MustCompile(`^c0ffee5eca11[0-9a-f]{20}$`), regexp.MustCompile(`^C0FFEE5E[0-9A-F]{8}$`)
	seen := map[string]bool{}
	for range 30 {
		d.sim.ExpireTokens()
		if d.login(); !access.MatchString(d.token) || seen[d.token] {
			t.Errorf("access token %q", d.token)
		}
		seen[d.token] = true
		for _, r := range d.walk(nil, "maxResults", "50")[:2] {
			if token := r.token(); !page.MatchString(token) || seen[token] {
				t.Errorf("nextToken %q", token)
			}
			seen[r.token()] = true
		}
	}
	if dingtalktest.TokenMark != "c0ffee5eca11" || dingtalktest.PageTokenMark != "C0FFEE5E" {
		t.Error("the marks are others")
	}
}
