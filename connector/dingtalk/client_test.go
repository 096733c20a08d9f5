package dingtalk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	windowStart = time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	windowEnd   = time.Date(2024, 6, 8, 0, 0, 0, 0, time.UTC)
)

const op = "leave records 2024-06-01T00:00:00Z to 2024-06-08T00:00:00Z"

// Canaries: no error and no log line may hold one.
const (
	secretCanary = "canary-secret"
	tokenCanary  = "canary-token"
	nameCanary   = "canary-name"
	mobileCanary = "canary-mobile"
)

// inProcess carries calls to a handler without a network.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// dingTalk gives access tokens by itself and leaves the data calls to page.
type dingTalk struct {
	page http.HandlerFunc

	mu         sync.Mutex
	tokenCalls int
	asked      []string // nextToken of each data call
	queries    []url.Values
}

func (d *dingTalk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "/v1.0/oauth2/") {
		d.mu.Lock()
		d.tokenCalls++
		d.mu.Unlock()
		fmt.Fprintf(w, `{"accessToken":%q,"expireIn":7200}`, tokenCanary)
		return
	}
	d.mu.Lock()
	d.asked = append(d.asked, r.URL.Query().Get("nextToken"))
	d.queries = append(d.queries, r.URL.Query())
	d.mu.Unlock()
	d.page(w, r)
}

// answers gives one body after the other, the last one again and again.
func answers(bodies ...string) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		body := bodies[min(n, len(bodies)-1)]
		n++
		if code, ok := strings.CutPrefix(body, "!"); ok {
			w.WriteHeader(http.StatusBadRequest)
			body = `{"code":"` + code + `","requestid":"R1","message":"` + nameCanary + `"}`
		}
		_, _ = io.WriteString(w, body)
	}
}

func newClient(h http.Handler, change ...func(*Config)) *Client {
	base, _ := url.Parse("http://dingtalk.test")
	c := Config{
		BaseURL: base, CorpID: "ding1", AppKey: "app1", Secret: func() (string, error) { return secretCanary, nil },
		Rate: 1e9, EndTime: true, Transport: inProcess{h},
	}
	for _, f := range change {
		f(&c)
	}
	return New(c)
}

// collect walks until the walk stops, or until it has yielded most times.
func collect(c *Client, most int) (pages []Page, errs []error) {
	return collectContext(context.Background(), c, most)
}

func collectContext(ctx context.Context, c *Client, most int) (pages []Page, errs []error) {
	for p, err := range c.LeaveRecords(ctx, windowStart, windowEnd) {
		if err != nil {
			errs = append(errs, err)
		} else {
			pages = append(pages, p)
		}
		if most--; most == 0 {
			break
		}
	}
	return pages, errs
}

// firstError is the error of the first thing that a walk yields.
func firstError(t *testing.T, c *Client) error {
	t.Helper()
	_, errs := collect(c, 1)
	if len(errs) == 0 {
		t.Fatal("got a page, want an error")
	}
	checkCanaries(t, errs[0].Error())
	return errs[0]
}

func checkCanaries(t *testing.T, s string) {
	t.Helper()
	for _, canary := range []string{secretCanary, tokenCanary, nameCanary, mobileCanary} {
		if strings.Contains(s, canary) {
			t.Errorf("%q shows %q", s, canary)
		}
	}
}

func userIDs(pages []Page) (ids []string) {
	for _, p := range pages {
		for _, r := range p.Records {
			ids = append(ids, r.UserID)
		}
	}
	return ids
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func equalSlices[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func record(userID string) string {
	return `{"userId":"` + userID + `","leaveTime":"2024-06-02T10:00:00Z","name":"` + nameCanary + `","mobile":"` + mobileCanary + `"}`
}

func TestRequest(t *testing.T) {
	var raw, method, header string
	h := &dingTalk{page: func(w http.ResponseWriter, r *http.Request) {
		raw, method, header = r.URL.RequestURI(), r.Method, r.Header.Get("x-acs-dingtalk-access-token")
		_, _ = io.WriteString(w, `{"records":[]}`)
	}}
	shanghai := time.FixedZone("", 8*3600)
	c := newClient(h)
	for _, err := range c.LeaveRecords(t.Context(), windowStart.Add(900*time.Millisecond).In(shanghai), windowEnd.In(shanghai)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "request", raw, "/v1.0/contact/empLeaveRecords?endTime=2024-06-08T00%3A00%3A00Z&maxResults=50&nextToken=0&startTime=2024-06-01T00%3A00%3A00Z")
	equal(t, "method", method, http.MethodGet)
	equal(t, "token header", header, tokenCanary)

	c = newClient(h, func(c *Config) { c.EndTime = false; c.BaseURL, _ = url.Parse("http://proxy.test/dingtalk/?x=1") })
	collect(c, 1)
	equal(t, "request without endTime, base URL with a path", raw, "/dingtalk/v1.0/contact/empLeaveRecords?maxResults=50&nextToken=0&startTime=2024-06-01T00%3A00%3A00Z")
}

func TestDefaults(t *testing.T) {
	c := New(Config{})
	equal(t, "base URL", c.config.BaseURL.String(), DefaultBaseURL)
	equal(t, "rate", float64(c.config.Limiter.rate.Limit()), DefaultRate)
	equal(t, "burst", c.config.Limiter.rate.Burst(), 1)
	equal(t, "timeout", c.config.Timeout, DefaultTimeout)
	equal(t, "header limit", c.config.Transport.(*http.Transport).MaxResponseHeaderBytes, maxHeader)
}

// TestCallsAtTheSameTimeKeepTheirConnections: the standard library's transport keeps two for each host.
func TestCallsAtTheSameTimeKeepTheirConnections(t *testing.T) {
	const windows = 8
	var dialled atomic.Int32
	var together sync.WaitGroup
	s := httptest.NewUnstartedServer(&dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
		together.Done()
		together.Wait() // until every window has a connection of its own
		_, _ = io.WriteString(w, `{"records":[]}`)
	}})
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	base, _ := url.Parse(s.URL)
	transport := NewTransport().(*http.Transport)
	defer transport.CloseIdleConnections()
	c := newClient(nil, func(c *Config) { c.BaseURL, c.Transport = base, transport })
	for range 3 {
		together.Add(windows)
		var all sync.WaitGroup
		for range windows {
			all.Go(func() {
				if _, errs := collect(c, 1); len(errs) > 0 {
					t.Error(errs)
					together.Done()
				}
			})
		}
		all.Wait()
	}
	equal(t, "connections", dialled.Load(), windows)
}

func TestCheckToken(t *testing.T) {
	h := &dingTalk{}
	c := newClient(h)
	for range 2 {
		if err := c.CheckToken(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "token calls", h.tokenCalls, 1)

	c = newClient(answers("!invalidClientIdOrSecret"))
	err := c.CheckToken(t.Context())
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "invalidClientIdOrSecret" || e.Status != 400 {
		t.Errorf("got %v", err)
	}
	checkCanaries(t, err.Error())
}

func TestNothingPrivateIsPrinted(t *testing.T) {
	c := newClient(&dingTalk{page: answers(`{"records":[` + record("u1") + `,{"name":"` + nameCanary + `","mobile":"` + mobileCanary + `"}]}`)})
	pages, _ := collect(c, 1)
	r := pages[0].Records[0]
	equal(t, "name", r.Name.Plain(), nameCanary)
	equal(t, "mobile", r.Mobile.Plain(), mobileCanary)
	var b bytes.Buffer
	holder := struct {
		P Private
		S Secret
		R LeaveRecord
	}{nameCanary, secretCanary, r}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%08.3f"} {
		fmt.Fprintf(&b, verb+verb+verb+verb+"\n", pages, r, holder, c)
		fmt.Fprintf(&b, verb+verb+"\n", *r.Name, holder.S)
	}
	b.WriteString(r.Name.String() + r.Name.GoString() + r.Name.LogValue().String())
	b.WriteString(holder.S.String() + holder.S.GoString() + holder.S.LogValue().String() + r.LogValue().String())
	logged(&b, pages, holder)
	checkCanaries(t, b.String())
	for _, canary := range []string{nameCanary, secretCanary} { // as %x and as the bytes of Raw would show them
		checkNot(t, b.String(), fmt.Sprintf("%x", canary))
		checkNot(t, b.String(), strings.Trim(fmt.Sprint([]byte(canary)), "[]"))
	}
}

func checkNot(t *testing.T, s, part string) {
	t.Helper()
	if strings.Contains(s, part) {
		t.Errorf("%q is shown", part)
	}
}
