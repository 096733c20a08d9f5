package dingtalk

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// flood is an answer as it stands on the wire, more of it than anybody wants.
type flood struct {
	head  string
	piece []byte
	times int
}

// pour writes the flood until the client has had enough, and says how much that took and whether the client closed the connection.
func (f flood) pour(conn net.Conn) (sent int, closed bool) {
	n, err := io.WriteString(conn, f.head)
	sent += n
	for i := 0; i < f.times && err == nil; i++ {
		n, err = conn.Write(f.piece)
		sent += n
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second)) // who keeps the connection says nothing
	_, err = conn.Read(make([]byte, 1))
	return sent, !errors.Is(err, os.ErrDeadlineExceeded) && err != nil
}

// TestAFloodIsRefusedAtLittleCost: the memory that a call takes is bounded, whatever comes. What is measured is everything
// that was allocated meanwhile, freed or not, which no garbage collection can hide.
func TestAFloodIsRefusedAtLittleCost(t *testing.T) {
	const (
		mib       = 1 << 20
		most      = 64 * mib // of memory; and of bytes sent, most of which stand in the buffers of the sockets
		tooLarge  = op + ": dingtalk 200: the body is larger than 8 MiB"
		tooMany   = op + ": net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded 65536 bytes; aborted"
		ok        = "HTTP/1.1 200 OK\r\n"
		firstLine = "{\"records\":[]\n"
	)
	chunk := append(append([]byte("100000\r\n"), bytes.Repeat([]byte(" "), mib)...), "\r\n"...)
	for _, c := range []struct {
		name string
		flood
		want string
	}{
		{"a body of 1 GiB in chunks", flood{ok + "Transfer-Encoding: chunked\r\n\r\n", chunk, 1024}, tooLarge},
		{"a body of 1 GiB that announces it", flood{ok + "Content-Length: 1073741824\r\n\r\n" + firstLine, chunk, 1024}, tooLarge},
		{"a body of 1 GiB that ends with the connection", flood{ok + "\r\n" + firstLine, chunk, 1024}, tooLarge},
		{"a body of 4 MiB that inflates to 4 GiB", flood{ok + "Content-Encoding: gzip\r\n\r\n", zippedSpaces(16 * mib), 256}, tooLarge},
		{"a refusal of 1 GiB", flood{"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", chunk, 1024}, strings.Replace(tooLarge, "200", "502", 1)},
		{"100,000 header lines", flood{ok, bytes.Repeat([]byte("X-Line: 1\r\n"), 1000), 100}, tooMany},
		{"a header line of 1 GiB", flood{ok + "X-Long: ", bytes.Repeat([]byte("x"), mib), 1024}, tooMany},
		{"a status line of 1 GiB", flood{"HTTP/1.1 200 ", bytes.Repeat([]byte("x"), mib), 1024}, tooMany},
		{"100,000 answers before the answer", flood{"", bytes.Repeat([]byte("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), 1000), 100}, tooMany},
		{
			"100,000 lines after the body",
			flood{ok + "Transfer-Encoding: chunked\r\n\r\ne\r\n{\"records\":[]}\r\n0\r\n", bytes.Repeat([]byte("X-Line: 1\r\n"), 1000), 100},
			op + ": http: suspiciously long trailer after chunked body",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sent int
			var closed bool
			done := make(chan struct{})
			client, _ := onNetwork(t, &dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
				defer close(done)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = conn.Close() }()
				sent, closed = c.pour(conn)
			}})
			if err := client.CheckToken(t.Context()); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := firstError(t, client)
			<-done
			runtime.ReadMemStats(&after)
			equal(t, "text", err.Error(), c.want)
			equal(t, "the connection is closed", closed, true)
			allocated := after.TotalAlloc - before.TotalAlloc
			if allocated > most || sent > most {
				t.Errorf("%d MiB were allocated and %d MiB were sent", allocated/mib, sent/mib)
			}
			t.Logf("%d KiB allocated, %d KiB sent", allocated>>10, sent>>10)
		})
	}
}

// TestAFloodOverHTTP2: DingTalk's gateway may speak it, and net/http then reads by other code.
func TestAFloodOverHTTP2(t *testing.T) {
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for _, c := range []struct {
		name, want string
		page       http.HandlerFunc
	}{
		{"a body of 1 GiB", op + ": dingtalk 200: the body is larger than 8 MiB", func(w http.ResponseWriter, _ *http.Request) {
			for range 1024 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}},
		{"a header of 72 KiB", op + ": stream error: stream ID 3; PROTOCOL_ERROR; http2: response header list larger than advertised limit", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 18 {
				w.Header().Set(fmt.Sprintf("X-Line-%d", i), strings.Repeat("x", 4<<10))
			}
			_, _ = io.WriteString(w, page0)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(&dingTalk{page: func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != 2 {
					t.Errorf("asked by %s", r.Proto)
				}
				c.page(w, r)
			}})
			s.EnableHTTP2 = true
			s.StartTLS()
			transport := NewTransport().(*http.Transport)
			transport.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
			t.Cleanup(func() {
				transport.CloseIdleConnections()
				s.Close()
			})
			base, _ := url.Parse(s.URL)
			client := newClient(nil, func(c *Config) { c.BaseURL, c.Transport = base, transport })
			if err := client.CheckToken(t.Context()); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := firstError(t, client)
			runtime.ReadMemStats(&after)
			equal(t, "text", err.Error(), c.want)
			if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 64 {
				t.Errorf("%d MiB were allocated", allocated)
			}
		})
	}
}

// zippedSpaces is one member of a gzip file; any number of them is a gzip file too.
func zippedSpaces(n int64) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.CopyN(z, spaces{}, n)
	_ = z.Close()
	return b.Bytes()
}

// TestElementsWithoutNumberAreRefused: a body of 8 MiB holds four million of the shortest elements, which would take gigabytes.
func TestElementsWithoutNumberAreRefused(t *testing.T) {
	many := func(first, more string, n int) string { return first + strings.Repeat(","+more, n-1) }
	for _, c := range []struct{ name, body, want string }{
		{"records", `{"records":[` + many("1", "1", maxElements+1) + `]}`, ": dingtalk 200: records has more than 10000 elements"},
		{"four million records", `{"records":[` + many("1", "1", maxBody/2-100) + `]}`, ": dingtalk 200: records has more than 10000 elements"},
		{"members", `{` + many(`"records":[]`, `"":0`, maxElements+1) + `}`, ": dingtalk 200: the body is not one JSON object"},
		{
			"permissions", `{"code":"x","accessdenieddetail":{"requiredScopes":[` + many(`"a"`, `"a"`, 100) + `]}}`,
			": dingtalk 200 x, the app lacks " + strings.ReplaceAll(many("a", "a", maxScopes), ",", ", "),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(answering(200, c.body))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			equal(t, "text", firstError(t, client).Error(), op+c.want)
			runtime.ReadMemStats(&after)
			if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 256 { // copies of 8 MiB
				t.Errorf("%d MiB were allocated", allocated)
			}
		})
	}
	t.Run("as many as are put up with", func(t *testing.T) {
		pages, errs := collect(newClient(answering(200, `{"records":[`+many(record("u"), record("u"), maxElements)+`]}`)), 1)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		equal(t, "records", len(pages[0].Records), maxElements)
	})
	t.Run("members of a record", func(t *testing.T) {
		r := readOne(t, `{`+many(`"userId":"u"`, `"":0`, maxElements)+`,`+leaves+`}`)
		equal(t, "unreadable", r.Unreadable, "the record is not an object")
	})
}

// onPipe is a client over the transport that the program uses, but for the dialling. serve gets the connection when a data
// call stands on it. The test must call wait at its end.
func onPipe(timeout time.Duration, serve func(net.Conn)) (client *Client, wait func()) {
	var serving sync.WaitGroup
	transport := NewTransport().(*http.Transport)
	transport.Proxy = nil
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		serving.Go(func() { serveOne(theirs, serve) })
		return ours, nil
	}
	client = newClient(nil, func(c *Config) { c.Transport, c.Timeout = transport, timeout })
	return client, func() {
		transport.CloseIdleConnections()
		serving.Wait()
	}
}

// serveOne gives access tokens and leaves the first data call to serve.
func serveOne(conn net.Conn, serve func(net.Conn)) {
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if bytes.HasPrefix(buffer[:n], []byte("GET ")) {
			serve(conn)
			_, _ = conn.Read(buffer) // until the client goes
			return
		}
		token := issue("t1", 7200)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(token), token)
	}
}

// say writes to a connection bit by bit.
func say(conn net.Conn, bits []string, pause time.Duration) {
	for _, bit := range bits {
		time.Sleep(pause)
		if _, err := io.WriteString(conn, bit); err != nil {
			return
		}
	}
}

const page0 = `{"records":[]}`

func TestACallEndsWhenNothingComes(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n"
	const silent = "no further byte within 10s: i/o timeout"
	unending := make([]string, 10_000)
	for i := range unending {
		unending[i] = " "
	}
	for _, c := range []struct {
		name    string
		timeout time.Duration
		serve   func(net.Conn)
		after   time.Duration
		want    string // "": a page
	}{
		{"no answer at all", time.Hour, func(net.Conn) {}, time.Minute, "no answer within 1m0s: i/o timeout"},
		{"half a header", time.Hour, func(c net.Conn) { say(c, []string{head[:20]}, 0) }, time.Minute, "no answer within 1m0s: i/o timeout"},
		{
			"a header that drips", time.Hour, func(c net.Conn) { say(c, append([]string{"HTTP/1.1 200 OK\r\nX: "}, unending...), time.Second) },
			time.Minute, "no answer within 1m0s: i/o timeout",
		},
		{"a header and nothing more", time.Hour, func(c net.Conn) { say(c, []string{head}, 20*time.Second) }, 30 * time.Second, silent},
		{"half a body", time.Hour, func(c net.Conn) { say(c, []string{head, page0[:7]}, 9*time.Second) }, 28 * time.Second, silent},
		{"all but the last byte", time.Hour, func(c net.Conn) { say(c, []string{head + page0[:13]}, 0) }, 10 * time.Second, silent},
		{
			"a body that drips", 5 * time.Minute,
			func(c net.Conn) { say(c, append([]string{"HTTP/1.1 200 OK\r\n\r\n"}, unending...), 9*time.Second) },
			5 * time.Minute, "no whole answer within 5m0s: i/o timeout",
		},
		{"a timeout shorter than the silence", 9 * time.Second, func(c net.Conn) { say(c, []string{head}, 0) }, 9 * time.Second, "no whole answer within 9s: i/o timeout"},
		{"a timeout shorter than the delay", 59 * time.Second, func(net.Conn) {}, 59 * time.Second, "no whole answer within 59s: i/o timeout"},
		{"slow, but not too slow", time.Hour, func(c net.Conn) {
			say(c, []string{head}, 59*time.Second)
			say(c, strings.SplitAfter(page0, ""), 9*time.Second)
		}, (59 + 14*9) * time.Second, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, wait := onPipe(c.timeout, c.serve)
				defer wait()
				if err := client.CheckToken(t.Context()); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				pages, errs := collect(client, 1)
				equal(t, "after", time.Since(began).Round(time.Millisecond), c.after)
				if c.want == "" {
					equal(t, "pages", len(pages), 1)
					return
				}
				if len(errs) != 1 {
					t.Fatal("no error")
				}
				equal(t, "text", errs[0].Error(), op+": "+c.want)
				equal(t, "a deadline of ours", errors.Is(errs[0], os.ErrDeadlineExceeded), true)
				equal(t, "the caller's deadline", errors.Is(errs[0], context.DeadlineExceeded), false)
			})
		})
	}
	t.Run("a connection that does not come about", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, _ := onPipe(time.Hour, nil)
			over := make(chan struct{})
			defer close(over)
			client.config.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
				<-over // net/http lets a connection come about that nobody waits for any more
				return nil, net.ErrClosed
			}
			began := time.Now()
			err := client.CheckToken(t.Context())
			equal(t, "after", time.Since(began).Round(time.Millisecond), time.Minute)
			equal(t, "text", err.Error(), "access token: no answer within 1m0s: i/o timeout")
		})
	})
}

// TestABodyThatInflatesToNothingEnds: empty members follow one another, so that bytes come for ever and no text with them.
func TestABodyThatInflatesToNothingEnds(t *testing.T) {
	client, _ := onNetwork(t, &dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		for empty := bytes.Repeat(zippedSpaces(0), 1000); ; {
			if _, err := w.Write(empty); err != nil {
				return
			}
		}
	}}, func(c *Config) { c.Timeout = 100 * time.Millisecond })
	equal(t, "text", firstError(t, client).Error(), op+": no whole answer within 100ms: i/o timeout")
}

func TestClientsOfOneAppShareTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type made struct {
			by int
			at time.Duration
		}
		calls := make(chan made, 100)
		began := time.Now()
		limiter := NewLimiter(4)
		for n := range 2 {
			i := &issuer{token: numbered(7200), valid: func(s string) bool { return s != "t1" }} // token, refused, token, data, data …
			client := newClient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls <- made{n, time.Since(began)}
				i.ServeHTTP(w, r)
			}), func(c *Config) { c.Limiter, c.Rate = limiter, 1e9 })
			go func() {
				for range 8 {
					collect(client, 1)
				}
			}()
		}
		var by [2]int
		for n := range 2 * (3 + 8) {
			c := <-calls
			by[c.by]++
			equal(t, fmt.Sprintf("call %d of both", n), c.at.Round(time.Millisecond), time.Duration(n)*250*time.Millisecond)
		}
		equal(t, "calls of each", by, [2]int{11, 11})
	})
}

func TestNewLimiter(t *testing.T) {
	equal(t, "rate", float64(NewLimiter(0).rate.Limit()), DefaultRate)
	equal(t, "rate", float64(NewLimiter(7).rate.Limit()), 7)
	equal(t, "burst", NewLimiter(7).rate.Burst(), 1)
}
