package dingtalk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// issuer is DingTalk's side of access tokens: n-th answer to a token call, and which token the data call takes.
type issuer struct {
	token func(n int) string // the body of the n-th answer, from 1; "!" and a code is a refusal
	valid func(token string) bool

	mu     sync.Mutex
	calls  int
	bodies []string
	paths  []string
	data   []string // the token of each data call
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.Method == http.MethodPost {
		i.calls++
		b, _ := io.ReadAll(r.Body)
		i.bodies, i.paths = append(i.bodies, string(b)), append(i.paths, r.URL.EscapedPath())
		if r.Header.Get("Content-Type") != "application/json" || r.Header.Get(tokenHeader) != "" {
			w.WriteHeader(http.StatusTeapot)
		}
		answers(i.token(i.calls))(w, r)
		return
	}
	token := r.Header.Get(tokenHeader)
	i.data = append(i.data, token)
	if i.valid != nil && !i.valid(token) {
		answers("!InvalidAuthentication")(w, r)
		return
	}
	_, _ = io.WriteString(w, `{"records":[]}`)
}

func issue(token string, seconds int) string {
	return fmt.Sprintf(`{"accessToken":%q,"expireIn":%d}`, token, seconds)
}

func numbered(seconds int) func(int) string {
	return func(n int) string { return issue(fmt.Sprintf("t%d", n), seconds) }
}

func TestTokenIsRenewedBeforeItsEnd(t *testing.T) {
	for _, c := range []struct {
		name    string
		seconds int
		renewed time.Duration
	}{
		{"two hours: ten minutes before", 7200, 110 * time.Minute},
		{"an hour: ten minutes before", 3600, 50 * time.Minute},
		{"a minute: when a sixth is left", 60, 50 * time.Second},
		{"longer than anybody believes: ten minutes before a day is over", 1 << 40, 24*time.Hour - 10*time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{token: numbered(c.seconds)}
				client := newClient(i)
				collect(client, 1)
				time.Sleep(c.renewed - time.Second)
				collect(client, 1)
				time.Sleep(time.Second)
				collect(client, 1)
				equalSlices(t, "tokens", i.data, []string{"t1", "t1", "t2"})
				equal(t, "token calls", i.calls, 2)
			})
		})
	}
}

func TestTokenOutlivesAFailedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{token: func(n int) string {
			if n == 1 {
				return issue("t1", 7200)
			}
			return "!system.error"
		}}
		client := newClient(i)
		collect(client, 1)
		time.Sleep(110 * time.Minute)
		for range 3 { // within one pause
			if _, errs := collect(client, 1); len(errs) > 0 {
				t.Fatal(errs)
			}
		}
		equal(t, "token calls", i.calls, 2)
		time.Sleep(time.Minute)
		collect(client, 1)
		equal(t, "token calls after a pause", i.calls, 3)
		time.Sleep(9 * time.Minute)
		equal(t, "error after its end", firstError(t, client).Error(), op+": access token: dingtalk 400 system.error (request R1)")
		equalSlices(t, "tokens", i.data, []string{"t1", "t1", "t1", "t1", "t1"})
	})
}

func TestATokenIsNotUsedAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{token: func(n int) string {
			if n == 1 {
				return issue("t1", 60)
			}
			return "!system.error"
		}}
		client := newClient(i)
		collect(client, 1)
		time.Sleep(55 * time.Second)
		collect(client, 1) // the renewal fails, and its pause would be longer than what is left
		time.Sleep(5 * time.Second)
		firstError(t, client)
		equalSlices(t, "tokens", i.data, []string{"t1", "t1"})
	})
}

func TestADeadTokenIsReplacedOnce(t *testing.T) {
	i := &issuer{token: numbered(7200), valid: func(s string) bool { return s == "t2" }}
	client := newClient(i)
	for range 2 {
		if _, errs := collect(client, 1); len(errs) > 0 {
			t.Fatal(errs)
		}
	}
	equalSlices(t, "tokens", i.data, []string{"t1", "t2", "t2"})
	equal(t, "token calls", i.calls, 2)
}

func TestADeadTokenThatIsIssuedAgain(t *testing.T) {
	i := &issuer{token: func(int) string { return issue(tokenCanary, 7200) }, valid: func(string) bool { return false }}
	client := newClient(i)
	err := firstError(t, client)
	e, ok := errors.AsType[*TokenError](err)
	if !ok || !e.Reissued || e.Op != op || !errors.Is(err, e.Err) {
		t.Fatalf("got %v", err)
	}
	equal(t, "text", err.Error(), op+": dingtalk 400 InvalidAuthentication (request R1): dingtalk issues the same access token again")
	equal(t, "data calls", len(i.data), 1)
	equal(t, "token calls", i.calls, 2)
	firstError(t, client) // the next attempt asks once with the token we have, and for another once
	equal(t, "data calls", len(i.data), 2)
	equal(t, "token calls", i.calls, 3)
}

func TestANewTokenThatIsRefusedToo(t *testing.T) {
	i := &issuer{token: numbered(7200), valid: func(string) bool { return false }}
	err := firstError(t, newClient(i))
	e, ok := errors.AsType[*TokenError](err)
	if !ok || e.Reissued || e.Err.Code != "InvalidAuthentication" {
		t.Fatalf("got %v", err)
	}
	equal(t, "text", err.Error(), op+": dingtalk 400 InvalidAuthentication (request R1): a new access token is refused too")
	equalSlices(t, "tokens", i.data, []string{"t1", "t2"})
}

func TestOneFetchForHoweverManyCallers(t *testing.T) {
	const callers = 50
	all := func(t *testing.T, client *Client, want func(error) bool) {
		t.Helper()
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				if err := client.CheckToken(t.Context()); !want(err) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
	}
	slow := func(h http.Handler) func(*Config) {
		return func(c *Config) {
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Second) // in a bubble: every other caller is waiting by then
				return inProcess{h}.RoundTrip(r)
			})
		}
	}
	t.Run("that brings a token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{token: numbered(7200)}
			all(t, newClient(i, slow(i)), func(err error) bool { return err == nil })
			equal(t, "token calls", i.calls, 1)
		})
	})
	t.Run("that is refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{token: func(int) string { return "!invalidClientIdOrSecret" }}
			client := newClient(i, slow(i))
			refused := func(err error) bool { return err != nil && strings.Contains(err.Error(), "invalidClientIdOrSecret") }
			all(t, client, refused)
			equal(t, "token calls", i.calls, 1)
			all(t, client, refused)
			equal(t, "token calls of those who come later", i.calls, 2)
		})
	})
	t.Run("that replaces a dead token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{token: numbered(7200), valid: func(s string) bool { return s != "t1" }}
			client := newClient(i, slow(i))
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					if _, errs := collect(client, 1); len(errs) > 0 {
						t.Error(errs)
					}
				})
			}
			wg.Wait()
			equal(t, "token calls", i.calls, 2)
		})
	})
	t.Run("whose caller gives up: the next one fetches", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{token: numbered(7200)}
			client := newClient(i, slow(i))
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			first := make(chan error)
			go func() { first <- client.CheckToken(ctx) }()
			synctest.Wait()
			second := make(chan error)
			go func() { second <- client.CheckToken(t.Context()) }()
			began := time.Now()
			waiting, cancelWaiting := context.WithTimeout(t.Context(), 250*time.Millisecond)
			defer cancelWaiting()
			if err := client.CheckToken(waiting); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who waits gives up: got %v", err)
			}
			equal(t, "who waits gives up after", time.Since(began), 250*time.Millisecond)
			if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("first: got %v", err)
			}
			if err := <-second; err != nil {
				t.Errorf("second: got %v", err)
			}
		})
	})
}

func TestTokenCalls(t *testing.T) {
	for _, c := range []struct {
		name         string
		kind         TokenKind
		path, answer string
		body         map[string]string
	}{
		{
			"of an internal app", AppToken, "/v1.0/oauth2/accessToken", `{"accessToken":"t","expireIn":7200}`,
			map[string]string{"appKey": "app1", "appSecret": secretCanary},
		},
		{
			"of an organisation", CorpToken, "/v1.0/oauth2/ding%2F1%3F/token", `{"access_token":"t","expires_in":"7200"}`,
			map[string]string{"client_id": "app1", "client_secret": secretCanary, "grant_type": "client_credentials"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := &issuer{token: func(int) string { return c.answer }}
			if err := newClient(i, func(f *Config) { f.Token, f.CorpID = c.kind, "ding/1?" }).CheckToken(t.Context()); err != nil {
				t.Fatal(err)
			}
			equal(t, "path", i.paths[0], c.path)
			want, _ := json.Marshal(c.body)
			equal(t, "body", i.bodies[0], string(want))
		})
	}
}

func TestTokenAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct{ body, reason string }{
		"no token":                    {`{"expireIn":7200}`, "accessToken is missing or cannot stand in a header"},
		"an empty token":              {`{"accessToken":"","expireIn":7200}`, "accessToken is missing or cannot stand in a header"},
		"a token with a line break":   {`{"accessToken":"canary-token\n","expireIn":7200}`, "accessToken is missing or cannot stand in a header"},
		"a token of 1 MB":             {`{"accessToken":"` + strings.Repeat("x", 1<<20) + `","expireIn":7200}`, "accessToken is missing or cannot stand in a header"},
		"a lifetime beyond all":       {`{"accessToken":"canary-token","expireIn":1e999}`, "expireIn is not a number of seconds"},
		"a token that is a number":    {`{"accessToken":12,"expireIn":7200}`, "accessToken is missing or cannot stand in a header"},
		"the other call's keys":       {`{"access_token":"t","expires_in":7200}`, "accessToken is missing or cannot stand in a header"},
		"no lifetime":                 {`{"accessToken":"canary-token"}`, "expireIn is not a number of seconds"},
		"a lifetime of nothing":       {`{"accessToken":"canary-token","expireIn":0}`, "expireIn is not a number of seconds"},
		"a lifetime that is a tenant": {`{"accessToken":"canary-token","expireIn":"canary-secret"}`, "expireIn is not a number of seconds"},
		"no object":                   {`[]`, "the body is not one JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			err := newClient(&issuer{token: func(int) string { return c.body }}).CheckToken(t.Context())
			e, ok := errors.AsType[*ProtocolError](err)
			if !ok || e.Op != "access token" || e.Reason != c.reason {
				t.Fatalf("got %v", err)
			}
			checkCanaries(t, err.Error())
		})
	}
}

func TestTheSecretIsReadAtEachFetch(t *testing.T) {
	i := &issuer{token: numbered(7200), valid: func(s string) bool { return s == "t2" }}
	n, broken := 0, errors.New("open /run/secret: no such file")
	client := newClient(i, func(c *Config) {
		c.Secret = func() (string, error) {
			switch n++; n {
			case 1:
				return "", broken
			case 2:
				return "", nil
			}
			return fmt.Sprintf("s%d", n), nil
		}
	})
	if err := firstError(t, client); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	equal(t, "text", firstError(t, client).Error(), op+": access token: the app secret is empty")
	equal(t, "calls without a secret", i.calls+len(i.data), 0)
	collect(client, 1)
	equalSlices(t, "bodies", i.bodies, []string{`{"appKey":"app1","appSecret":"s3"}`, `{"appKey":"app1","appSecret":"s4"}`})
}

func TestASecretThatIsRotatedMeanwhileIsTriedOnce(t *testing.T) {
	const refused = "invalidClientIdOrSecret"
	for name, c := range map[string]struct {
		code    string
		rotated string
		calls   int
		ok      bool
	}{
		"the new one is right":      {refused, "right", 2, true},
		"the new one is wrong":      {refused, "wrong", 2, false},
		"nothing was rotated":       {refused, "old", 1, false},
		"the new one is nothing":    {refused, "", 1, false},
		"it was not for the secret": {"Forbidden.AccessDenied.QpsLimitForApi", "right", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			secret, calls := "old", 0
			client := newClient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls++
				body, _ := io.ReadAll(r.Body)
				secret = c.rotated // while the call was on its way
				if strings.Contains(string(body), `"right"`) {
					_, _ = io.WriteString(w, `{"accessToken":"t","expireIn":7200}`)
					return
				}
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"code":"`+c.code+`"}`)
			}), func(c *Config) { c.Secret = func() (string, error) { return secret, nil } })
			if err := client.CheckToken(t.Context()); (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
			equal(t, "calls", calls, c.calls)
		})
	}
}
