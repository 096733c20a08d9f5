package dingtalk

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// logged writes values to w as both of slog's handlers show them.
func logged(w io.Writer, values ...any) {
	for _, h := range []slog.Handler{slog.NewTextHandler(w, nil), slog.NewJSONHandler(w, nil)} {
		for _, v := range values {
			slog.New(h).Info("m", "v", v)
		}
	}
}

// onNetwork is a client of a real server on loopback, over the transport that the program uses.
func onNetwork(t *testing.T, h http.Handler, change ...func(*Config)) (*Client, *httptest.Server) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	transport := NewTransport().(*http.Transport)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.CloseClientConnections()
		s.Close()
	})
	base, _ := url.Parse(s.URL)
	return newClient(nil, append([]func(*Config){func(c *Config) { c.BaseURL, c.Transport = base, transport }}, change...)...), s
}

// TestRedirectsAreRefused asks the other host what reached it: neither the access token in its header, nor the secret in its
// body, nor anything else.
func TestRedirectsAreRefused(t *testing.T) {
	var mu sync.Mutex
	var elsewhere []string
	_, other := onNetwork(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		elsewhere = append(elsewhere, fmt.Sprintf("%s %s with token %q and body %q", r.Method, r.URL, r.Header.Get(tokenHeader), body))
		_, _ = io.WriteString(w, `{"records":[],"accessToken":"t","expireIn":7200}`)
	}))
	for _, status := range []int{301, 302, 303, 307, 308} {
		c, _ := onNetwork(t, answering(status, `{"records":[]}`, "Location", other.URL+"/v1.0/contact/empLeaveRecords"))
		if e, ok := errors.AsType[*Error](firstError(t, c)); !ok || e.Status != status {
			t.Errorf("%d: got %v", status, e)
		}
		c, _ = onNetwork(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", other.URL+r.URL.Path)
			w.WriteHeader(status)
		}))
		if e, ok := errors.AsType[*Error](c.CheckToken(t.Context())); !ok || e.Status != status {
			t.Errorf("token call, %d: got %v", status, e)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	equalSlices(t, "requests elsewhere", elsewhere, nil)
}

func TestABodyCutShortIsANetworkError(t *testing.T) {
	cut := func(write func(http.ResponseWriter)) *dingTalk {
		return &dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
			write(w)
			panic(http.ErrAbortHandler)
		}}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, `{"records":[]}`)
	_ = z.Close()
	for name, h := range map[string]*dingTalk{
		"with a length": cut(func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"records":[]}`)
			_ = http.NewResponseController(w).Flush()
		}),
		"in chunks": cut(func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"records":[]}`)
			_ = http.NewResponseController(w).Flush()
		}),
		"under gzip": {page: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped.Bytes()[:zipped.Len()-6])
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := onNetwork(t, h)
			err := firstError(t, c)
			equal(t, "unexpected EOF", errors.Is(err, io.ErrUnexpectedEOF), true)
			equal(t, "text", err.Error(), op+": unexpected EOF")
		})
	}
}

func TestGzip(t *testing.T) {
	zipped := func(body io.Reader) *dingTalk {
		return &dingTalk{page: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.Copy(z, body)
			_ = z.Close()
		}}
	}
	c, _ := onNetwork(t, zipped(strings.NewReader(`{"records":[`+record("u1")+`]}`)))
	pages, errs := collect(c, 1)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	equalSlices(t, "userIds", userIDs(pages), []string{"u1"})

	c, _ = onNetwork(t, zipped(io.MultiReader(strings.NewReader(`{"records":[]`), io.LimitReader(spaces{}, maxBody), strings.NewReader(`}`))))
	e, ok := errors.AsType[*ProtocolError](firstError(t, c))
	if !ok || e.Reason != "the body is larger than 8 MiB" {
		t.Errorf("a small body that inflates to more than 8 MiB: got %v", e)
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestTheLargestBody(t *testing.T) {
	page := `{"records":[]}`
	_, errs := collect(newClient(answering(200, page+strings.Repeat(" ", maxBody-len(page)))), 1)
	equal(t, "errors", len(errs), 0)
	err := firstError(t, newClient(answering(200, page+strings.Repeat(" ", maxBody-len(page)+1))))
	equal(t, "text", err.Error(), op+": dingtalk 200: the body is larger than 8 MiB")
}

func TestAHeaderWithoutEndIsANetworkError(t *testing.T) {
	c, _ := onNetwork(t, answering(200, `{"records":[]}`, "X-Long", strings.Repeat("x", 2*maxHeader)))
	err := firstError(t, c)
	if !strings.Contains(err.Error(), "exceeded") {
		t.Errorf("got %v", err)
	}
}

func TestTheTimeoutCoversTheWholeCall(t *testing.T) {
	stall := func(h http.Handler) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := inProcess{h}.RoundTrip(r)
			if err == nil && r.Method == http.MethodGet {
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"records":`), untilDone{r.Context()}))
			}
			return resp, err
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h := &dingTalk{page: answers(`{"records":[]}`)}
		c := newClient(h, func(c *Config) { c.Timeout, c.Transport = 7*time.Second, stall(h) })
		began := time.Now()
		err := firstError(t, c)
		equal(t, "after", time.Since(began).Round(time.Millisecond), 7*time.Second)
		equal(t, "text", err.Error(), op+": no whole answer within 7s: i/o timeout")
		equal(t, "a deadline of ours", errors.Is(err, os.ErrDeadlineExceeded), true)
		equal(t, "the caller's deadline", errors.Is(err, context.DeadlineExceeded), false)
		began = time.Now()
		_, errs := collect(c, 3)
		equal(t, "the walk goes on", len(errs), 3)
		equal(t, "after", time.Since(began).Round(time.Millisecond), 21*time.Second)
	})
	t.Run("on a network", func(t *testing.T) {
		h := &dingTalk{page: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"records":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}}
		c, _ := onNetwork(t, h, func(c *Config) { c.Timeout = 50 * time.Millisecond })
		err := firstError(t, c)
		equal(t, "a deadline of ours", errors.Is(err, os.ErrDeadlineExceeded), true)
	})
}

type untilDone struct{ ctx context.Context }

func (u untilDone) Read([]byte) (int, error) {
	<-u.ctx.Done()
	return 0, u.ctx.Err()
}

func TestEveryCallWaitsForTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Duration
		began := time.Now()
		i := &issuer{token: numbered(7200), valid: func(s string) bool { return s == "t2" }}
		c := newClient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls = append(calls, time.Since(began).Round(time.Millisecond))
			i.ServeHTTP(w, r)
		}), func(c *Config) { c.Rate = 4 })
		collect(c, 1) // token, refused data call, token, data call
		collect(c, 1)
		ms := time.Millisecond
		equalSlices(t, "calls", calls, []time.Duration{0, 250 * ms, 500 * ms, 750 * ms, 1000 * ms})
		time.Sleep(time.Hour) // no burst is saved up
		before := time.Since(began).Round(ms)
		collect(c, 1)
		collect(c, 1)
		equalSlices(t, "calls after a rest", calls[5:], []time.Duration{before, before + 250*ms})
	})
}

func TestOneDebugLineACall(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := answering(403, `{"code":"x","message":"`+nameCanary+`"}`, "X-Acs-Request-Id", "H-1")
	firstError(t, newClient(h, func(c *Config) { c.Log = log }))
	checkCanaries(t, b.String())
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	equal(t, "lines", len(lines), 2)
	var line struct {
		Level, Op string
		Status    int
		RequestID string `json:"request_id"`
		Duration  *int64
	}
	if err := json.Unmarshal([]byte(lines[1]), &line); err != nil || line.Duration == nil {
		t.Fatalf("%v: %s", err, lines[1])
	}
	line.Duration = nil
	if got, want := fmt.Sprint(line), fmt.Sprint("{DEBUG ", op, " 403 H-1 <nil>}"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestABrokenCallIsLoggedAtDebugToo(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	broken := roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	err := newClient(nil, func(c *Config) { c.Log, c.Transport = log, broken }).CheckToken(t.Context())
	equal(t, "unexpected EOF", errors.Is(err, io.ErrUnexpectedEOF), true)
	if s := b.String(); !strings.Contains(s, "level=DEBUG") || !strings.Contains(s, `err="unexpected EOF"`) {
		t.Errorf("got %s", s)
	}
}

func TestACallerWhoGivesUpGetsHisOwnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	broken := roundTrip(func(*http.Request) (*http.Response, error) {
		cancel()
		return nil, errors.New("the connection is closed")
	})
	err := newClient(nil, func(c *Config) { c.Transport = broken }).CheckToken(ctx)
	equal(t, "cancelled", errors.Is(err, context.Canceled), true)
}

func TestNetworkErrorsDoNotQuoteTheAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":               nameCanary + "\r\n\r\n",
		"a status that is none": "HTTP/1.1 " + nameCanary + "\r\n\r\n",
		"a header that is none": "HTTP/1.1 200 OK\r\n" + nameCanary + "\r\n\r\n",
		"a location of nowhere": "HTTP/1.1 302 Found\r\nLocation: http://[" + nameCanary + "\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer func() { _ = conn.Close() }()
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, answer)
			}()
			base, _ := url.Parse("http://" + l.Addr().String())
			c := newClient(nil, func(c *Config) { c.BaseURL, c.Transport = base, NewTransport() })
			err = c.CheckToken(t.Context())
			_ = l.Close()
			<-done
			if err == nil {
				t.Fatal("no error")
			}
			checkCanaries(t, err.Error())
			t.Log(err)
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		base, _ := url.Parse("http://" + l.Addr().String())
		err = newClient(nil, func(c *Config) { c.BaseURL, c.Transport = base, NewTransport() }).CheckToken(t.Context())
		if _, ok := errors.AsType[*net.OpError](err); !ok {
			t.Errorf("got %v", err)
		}
		equal(t, "text", err.Error(), "access token: dial tcp "+l.Addr().String()+": connect: connection refused")
	})
}
