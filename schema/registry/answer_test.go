package registry_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// asked answers every request in one way, and says what Settle makes of it.
func asked(t *testing.T, answer http.HandlerFunc) (got, text string) {
	t.Helper()
	server := httptest.NewServer(answer)
	defer server.Close()
	id, _, err := at(parsed(t, server.URL), true).Settle(t.Context(), "t-value", wanted)
	return verdict(t, id, err)
}

// TestAnAnswerOfAGigabyte is not read to its end, nor is one that is small on the wire alone.
func TestAnAnswerOfAGigabyte(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	long := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			for block := []byte(strings.Repeat(" ", 1<<16)); ; {
				n, err := w.Write(block)
				if sent.Add(int64(n)) > 1<<30 || err != nil {
					return
				}
			}
		}
	}
	if got, text := asked(t, long(http.StatusOK)); got != refused || !strings.Contains(text, "not a schema registry's") {
		t.Errorf("%s: %s", got, text)
	}
	if got, text := asked(t, long(http.StatusServiceUnavailable)); got != waiting || !strings.Contains(text, "answered with 503") {
		t.Errorf("%s: %s", got, text)
	}
	if n := sent.Load(); n > 64<<20 { // what the sockets held
		t.Errorf("%d bytes were taken", n)
	}
}

// TestAnAnswerThatIsCutOff is an outage, though what came is no JSON.
func TestAnAnswerThatIsCutOff(t *testing.T) {
	t.Parallel()
	got, text := asked(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, `{"id":`)
	})
	if got != waiting || !strings.Contains(text, "look up the schema of subject t-value: read the answer: unexpected EOF") {
		t.Errorf("%s: %s", got, text)
	}
}

// TestARedirectIsNotFollowed for the credentials must not go elsewhere, even to the same host.
func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s came, with the credentials %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	for _, to := range []string{elsewhere.URL + "/sso?token=" + canary, "/elsewhere", ""} {
		n := 0
		got, text := asked(t, func(w http.ResponseWriter, _ *http.Request) {
			if n++; to != "" {
				w.Header().Set("Location", to)
			}
			w.WriteHeader([]int{http.StatusMovedPermanently, http.StatusTemporaryRedirect}[len(to)%2])
		})
		if got != refused || n != 1 || !strings.Contains(text, "redirected (30") || !strings.HasSuffix(text, "which is not followed: set SCHEMA_REGISTRY_URL to where the registry is") {
			t.Errorf("to %q: %d requests; %s: %s", to, n, got, text)
		}
		if leads := strings.Contains(text, " to "+elsewhere.URL+","); leads != strings.HasPrefix(to, elsewhere.URL) {
			t.Errorf("to %q: %s", to, text)
		}
	}
}

// TestNobodyListens waits for a registry, and asks once.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	id, _, err := at(parsed(t, "http://"+l.Addr().String()), true).Settle(t.Context(), "t-value", wanted)
	if got, text := verdict(t, id, err); got != waiting || !strings.HasSuffix(text, "connection refused") || strings.Count(text, "http") != 1 {
		t.Errorf("%s: %s", got, text)
	}
}

// TestAnUnknownCertificate gets no credentials.
func TestAnUnknownCertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	id, _, err := at(parsed(t, server.URL), true).Settle(t.Context(), "t-value", wanted)
	if got, text := verdict(t, id, err); got != waiting || !strings.Contains(text, "certificate") {
		t.Errorf("%s: %s", got, text)
	}
}

// TestTheEndOfAContext ends a question at once, and can be told.
func TestTheEndOfAContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not look for the client's end
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	id, _, err := at(parsed(t, server.URL), true).Settle(ctx, "t-value", wanted)
	if got, text := verdict(t, id, err); got != waiting || !errors.Is(err, context.Canceled) {
		t.Errorf("%s: %s", got, text)
	}
}

// TestNoConnectionIsKept for nothing more is asked.
func TestNoConnectionIsKept(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "", http.StatusServiceUnavailable)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	if _, _, err := at(parsed(t, server.URL), true).Settle(t.Context(), "t-value", wanted); err == nil {
		t.Error("settled")
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}

// throughPipes has all connections made by dial, in place of the system's.
func throughPipes(t *testing.T, dial func(address string) (net.Conn, error)) {
	t.Helper()
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	replaced := before.(*http.Transport).Clone()
	replaced.DialContext = func(_ context.Context, _, address string) (net.Conn, error) { return dial(address) }
	http.DefaultTransport = replaced
}

// TestAnAnswerThatNeverEnds is given up after ten seconds, as is one that never begins.
func TestAnAnswerThatNeverEnds(t *testing.T) {
	for name, begins := range map[string]string{"never begins": "", "never ends": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"} {
		synctest.Test(t, func(t *testing.T) {
			throughPipes(t, func(string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					if _, err := http.ReadRequest(bufio.NewReader(theirs)); err != nil {
						t.Error(err)
					}
					io.WriteString(theirs, begins)
					io.Copy(io.Discard, theirs) // until ours is closed
				}()
				return ours, nil
			})
			began := time.Now()
			id, _, err := at(parsed(t, "http://registry.test:8081"), true).Settle(t.Context(), "t-value", wanted)
			if got, text := verdict(t, id, err); got != waiting || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
				t.Errorf("%s: after %s %s: %s", name, time.Since(began), got, text)
			}
		})
	}
}

// TestTheProxyOfTheEnvironment is what is dialled.
func TestTheProxyOfTheEnvironment(t *testing.T) {
	var dialled []string
	throughPipes(t, func(address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return nil, errors.New("nobody is there")
	})
	id, _, err := at(parsed(t, "http://registry.test:8081"), true).Settle(t.Context(), "t-value", wanted)
	if got, text := verdict(t, id, err); got != waiting || len(dialled) != 1 || dialled[0] != "proxy.test:3128" {
		t.Errorf("%q were dialled; %s: %s", dialled, got, text)
	}
}
