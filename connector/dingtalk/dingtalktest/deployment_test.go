package dingtalktest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"departures/connector/dingtalk/dingtalktest"
)

const (
	onIO  = "https://api.dingtalk.io"
	onCom = "https://api.dingtalk.com"
)

// wantHome is a desk that can log in and ask.
func wantHome(d *desk) {
	d.Helper()
	d.wantRefusal(d.login(), 200, "")
	d.wantRefusal(d.ask(), 200, "")
}

// wantStranger is a desk whose credentials and tokens nobody knows; good is a token of the other deployment.
func wantStranger(d *desk, good string) {
	d.Helper()
	d.wantRefusal(d.login(), 400, "invalidClientIdOrSecret")
	corp := fmt.Sprintf(`{"client_id":%q,"client_secret":%q,"grant_type":"client_credentials"}`, appKey, secret)
	d.wantRefusal(d.call("POST", "/v1.0/oauth2/"+corpID+"/token", jsonHeader, corp), 500, "unknownError")
	d.token = good
	d.wantRefusal(d.ask(), 400, "InvalidAuthentication")
}

func TestTheOtherDeploymentKnowsNeitherTheAppNorItsTokens(t *testing.T) {
	for home, bases := range map[dingtalktest.Deployment][2]string{
		"": {onIO, onCom}, dingtalktest.DotIO: {onIO, onCom}, dingtalktest.DotCom: {onCom, onIO},
	} {
		t.Run("at home on "+string(home), func(t *testing.T) {
			d := &desk{T: t, now: noon}
			d.sim = dingtalktest.New(dingtalktest.Options{CorpID: corpID, AppKey: appKey, AppSecret: secret, Deployment: home})
			d.client = clientOf(d.sim)
			for _, base := range []string{bases[0], bases[0] + ":443", "https://127.0.0.1:8787", "https://dingtalk.test"} {
				d.base = base
				wantHome(d)
			}
			good := d.token
			for _, base := range []string{bases[1], bases[1] + ":443", "https://API.DingTalk" + bases[1][len("https://api.dingtalk"):]} {
				d.base = base
				wantStranger(d, good)
			}
			d.base = bases[1]
			d.wantRefusal(d.call("GET", "/v1.0/contact/empLeaveRecords", nil, ""), 400, "AuthenticationFailed.MissingParameter")
		})
	}
}

func TestTheHostHeaderChoosesTheDeploymentOnTheNetwork(t *testing.T) {
	d := onNetwork(t)
	wantHome(d)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", d.base+"/v1.0/contact/empLeaveRecords", nil)
	req.Header = tokenHeader(d.token)
	for host, want := range map[string]int{"api.dingtalk.com": 400, "api.dingtalk.io": 400, "dingtalksim:8787": 400} {
		req.Host = host
		resp, err := d.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		calls := d.sim.Calls()
		if last := calls[len(calls)-1]; resp.StatusCode != want || last.Foreign != (host == "api.dingtalk.com") ||
			(last.Code == "InvalidAuthentication") != last.Foreign {
			t.Errorf("%s: %d, %+v", host, resp.StatusCode, last)
		}
	}
}

func TestElsewhereIsTheOtherDeploymentUnderAnyHost(t *testing.T) {
	d := onNetwork(t)
	wantHome(d)
	server := httptest.NewServer(d.sim.Elsewhere())
	t.Cleanup(server.Close)
	d.base = server.URL
	wantStranger(d, d.token)
}

func TestTheDeploymentsCountCallsEachForItself(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.QPS = 3 })
	d.base = onCom
	for range 3 {
		d.wantRefusal(d.login(), 400, "invalidClientIdOrSecret")
	}
	d.wantRefusal(d.login(), 403, tooManyQPS)
	d.base = onIO
	d.wantRefusal(d.login(), 200, "")
}
