package dingtalktest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

const (
	corpID = "ding8f2"
	appKey = "key-1"
	secret = "secret-canary-1"
)

// noon is when most tests happen.
var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// desk is an outsider at the API: it knows URLs and JSON, nothing of the server's inside.
type desk struct {
	*testing.T
	sim    *dingtalktest.Server
	now    time.Time // the server's Options.Now, unless it runs on time.Now
	client *http.Client
	base   string
	token  string
}

// atNoon is a desk whose clock stands still, without a rate limit.
func atNoon(t *testing.T, switches ...func(*dingtalktest.Switches)) *desk {
	d := &desk{T: t, now: noon, base: "https://api.dingtalk.test"}
	d.open(func() time.Time { return d.now })
	d.sim.Set(func(s *dingtalktest.Switches) { s.QPS = -1 })
	for _, set := range switches {
		d.sim.Set(set)
	}
	return d
}

// ticking is a desk on time.Now, for use inside a synctest bubble, with the documented rate limit.
func ticking(t *testing.T) *desk {
	d := &desk{T: t, base: "https://api.dingtalk.test"}
	d.open(time.Now)
	return d
}

func (d *desk) open(now func() time.Time) {
	d.sim = dingtalktest.New(dingtalktest.Options{CorpID: corpID, AppKey: appKey, AppSecret: secret, Now: now, Seed: 7})
	d.client = clientOf(d.sim)
}

func clientOf(sim *dingtalktest.Server) *http.Client {
	return &http.Client{Transport: sim.Transport(), CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// reply is an answer, decoded as far as it goes.
type reply struct {
	Status int         `json:"-"`
	Header http.Header `json:"-"`
	Body   string      `json:"-"`

	Code               string
	RequestID          string
	Message            string
	AccessDeniedDetail struct{ RequiredScopes []string }

	AccessToken string
	ExpireIn    int64

	NextToken json.RawMessage
	Records   []struct{ UserID, LeaveTime string }
}

// token is nextToken as text, "" where the list ends.
func (r reply) token() string {
	var s string
	if json.Unmarshal(r.NextToken, &s) != nil || s == "0" {
		return ""
	}
	return s
}

func (r reply) users() []string {
	var ids []string
	for _, rec := range r.Records {
		ids = append(ids, rec.UserID)
	}
	return ids
}

func (d *desk) do(method, path string, header http.Header, body string) (reply, error) {
	d.Helper()
	req, err := http.NewRequestWithContext(d.Context(), method, d.base+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	r := reply{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}
	_ = json.Unmarshal(text, &r) // HTML and the like stay text
	return r, err
}

func (d *desk) call(method, path string, header http.Header, body string) reply {
	d.Helper()
	r, err := d.do(method, path, header, body)
	if err != nil {
		d.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

// login fetches a token and keeps it.
func (d *desk) login() reply {
	d.Helper()
	r := d.call("POST", "/v1.0/oauth2/accessToken", jsonHeader, fmt.Sprintf(`{"appKey":%q,"appSecret":%q}`, appKey, secret))
	d.token = r.AccessToken
	return r
}

// try asks for leave records of the last day. params are names and values that replace or add; the value "-" leaves a name out.
func (d *desk) try(params ...string) (reply, error) {
	d.Helper()
	now := d.now
	if now.IsZero() {
		now = time.Now().UTC()
	}
	q := url.Values{
		"startTime": {stamp(now.Add(-24 * time.Hour))}, "endTime": {stamp(now)}, "nextToken": {"0"}, "maxResults": {"50"},
	}
	for i := 0; i < len(params); i += 2 {
		q.Set(params[i], params[i+1])
		if params[i+1] == "-" {
			q.Del(params[i])
		}
	}
	if d.token == "" {
		d.login()
	}
	return d.do("GET", "/v1.0/contact/empLeaveRecords?"+q.Encode(), tokenHeader(d.token), "")
}

func (d *desk) ask(params ...string) reply {
	d.Helper()
	r, err := d.try(params...)
	if err != nil {
		d.Fatalf("leave records %q: %v", params, err)
	}
	return r
}

func tokenHeader(token string) http.Header {
	return http.Header{"X-Acs-Dingtalk-Access-Token": {token}}
}

// walk asks page after page and gives them; between runs after each but the last.
func (d *desk) walk(between func(page int), params ...string) []reply {
	d.Helper()
	var pages []reply
	for token := "0"; token != ""; {
		r := d.ask(append(params[:len(params):len(params)], "nextToken", token)...)
		d.wantRefusal(r, 200, "")
		pages = append(pages, r)
		if token = r.token(); token != "" && between != nil {
			between(len(pages))
		}
		if len(pages) > 5000 {
			d.Fatal("the walk does not end")
		}
	}
	return pages
}

func users(pages []reply) []string {
	var ids []string
	for _, p := range pages {
		ids = append(ids, p.users()...)
	}
	return ids
}

func (d *desk) wantRefusal(r reply, status int, code string) {
	d.Helper()
	if r.Status != status || r.Code != code {
		d.Errorf("got %d %q, want %d %q: %.300s", r.Status, r.Code, status, code, r.Body)
	}
}

// people are n leavers u1, u2 …, one each second from t on.
func people(n int, t time.Time) []dingtalktest.Leaver {
	var ls []dingtalktest.Leaver
	for i := range n {
		ls = append(ls, dingtalktest.Leaver{UserID: fmt.Sprintf("u%d", i+1), LeaveTime: t.Add(time.Duration(i) * time.Second)})
	}
	return ls
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
