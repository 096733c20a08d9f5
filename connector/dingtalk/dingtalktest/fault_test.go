package dingtalktest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

func TestAFaultHitsTheNextCallsOfItsTargetAndNoMore(t *testing.T) {
	d := atNoon(t)
	d.login()
	d.sim.Fail(dingtalktest.SystemError, 2)
	d.sim.Fail(dingtalktest.Throttled, 1)
	d.wantRefusal(d.login(), 200, "")
	d.wantRefusal(d.ask(), 500, "system.error")
	d.wantRefusal(d.ask(), 500, "system.error")
	d.wantRefusal(d.ask(), 403, tooManyQPS)
	d.wantRefusal(d.ask(), 200, "")

	d.sim.Fail(dingtalktest.UnknownError.Against(dingtalktest.TokenCalls), 1)
	token := d.token
	d.wantRefusal(d.ask(), 200, "")
	d.wantRefusal(d.login(), 503, "unknownError")
	d.token = token

	d.sim.Fail(dingtalktest.UnknownError.Against(dingtalktest.AllCalls), 2)
	d.wantRefusal(d.call("GET", "/", nil, ""), 404, "InvalidAction.NotFound")
	d.wantRefusal(d.login(), 503, "unknownError")
	d.token = token
	d.wantRefusal(d.ask(), 503, "unknownError")
	d.wantRefusal(d.ask(), 200, "")
}

func TestAFaultCanWaitForItsCall(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(people(5, noon.Add(-time.Hour))...)
	f := dingtalktest.SystemError
	f.When = func(c dingtalktest.Call) bool { return c.Param("nextToken") != "0" }
	d.sim.Fail(f, 1)
	r := d.ask("maxResults", "2")
	d.wantRefusal(r, 200, "")
	d.wantRefusal(d.ask("maxResults", "2", "nextToken", r.token()), 500, "system.error")
	d.wantRefusal(d.ask("maxResults", "2", "nextToken", r.token()), 200, "")
}

func TestHealingForgetsFaultsToCome(t *testing.T) {
	d := atNoon(t)
	d.login()
	d.sim.Fail(dingtalktest.SystemError, 5)
	d.sim.FailAtRandom(1, dingtalktest.SystemError)
	d.sim.BlockIP(dingtalktest.IPBlockJSON, time.Hour)
	d.wantRefusal(d.ask(), 500, "system.error")
	d.sim.Heal()
	if r := d.ask(); r.Records == nil {
		t.Errorf("after healing: %s", r.Body)
	}
}

func TestFaultsByChanceComeAtTheirProbabilityAndTheSameForOneSeed(t *testing.T) {
	run := func() string {
		d := atNoon(t)
		d.sim.FailAtRandom(0.25, dingtalktest.SystemError, dingtalktest.Throttled, dingtalktest.UnknownError.Against(dingtalktest.TokenCalls))
		d.login()
		var b strings.Builder
		for range 1000 {
			b.WriteString(d.ask().Code + " ")
		}
		return b.String()
	}
	a := run()
	if a != run() {
		t.Error("two runs of one seed differ")
	}
	errs, qps := strings.Count(a, "system.error"), strings.Count(a, tooManyQPS)
	if n := errs + qps; n < 200 || n > 300 || errs < 75 || qps < 75 {
		t.Errorf("%d system errors and %d throttlings in 1000 calls", errs, qps)
	}
}

func TestEveryNamedAnswerIsServedAsItIs(t *testing.T) {
	for _, f := range dingtalktest.Faults() {
		if f.Status == 0 {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			d := atNoon(t)
			d.login()
			d.sim.Fail(f, 1)
			r := d.ask()
			if r.Status != f.Status || f.Code != "" && r.Code != f.Code || f.Code == "" && r.Body != f.Body {
				t.Errorf("got %d %s", r.Status, r.Body)
			}
			for name := range f.Header {
				if r.Header.Get(name) != f.Header.Get(name) {
					t.Errorf("%s: %q", name, r.Header.Get(name))
				}
			}
			if f.Status != 200 && f.Status != 201 && r.Records != nil {
				t.Errorf("a fault with records: %s", r.Body)
			}
		})
	}
}

// broken is how a wire fault looks to a client: in the error of the call, or of reading the body.
var broken = map[string]func(error) bool{
	"truncated":          func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
	"truncated, chunked": func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
	"reset in body":      func(err error) bool { return errors.Is(err, syscall.ECONNRESET) },
	"reset":              func(err error) bool { return errors.Is(err, syscall.ECONNRESET) },
	"connection refused": func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
	"no such host":       func(err error) bool { _, ok := errors.AsType[*net.DNSError](err); return ok },
	"wrong certificate":  func(err error) bool { _, ok := errors.AsType[*tls.CertificateVerificationError](err); return ok },
}

func TestABrokenConnectionLooksLikeOneInProcess(t *testing.T) {
	for _, gz := range []bool{false, true} {
		for _, f := range dingtalktest.Faults() {
			is := broken[f.Name]
			if is == nil {
				continue
			}
			t.Run(f.Name, func(t *testing.T) {
				d := atNoon(t, func(s *dingtalktest.Switches) { s.Gzip = gz })
				d.sim.Leave(people(50, noon.Add(-time.Hour))...)
				d.login()
				d.sim.Fail(f, 1)
				if _, err := d.try(); !is(err) {
					t.Errorf("compressed %v: %v", gz, err)
				}
				if got := len(d.sim.Shown()); got != 0 {
					t.Errorf("%d count as shown", got)
				}
				d.wantRefusal(d.ask(), 200, "")
			})
		}
	}
}

func TestABrokenConnectionIsABrokenConnectionOnTheNetwork(t *testing.T) {
	for _, f := range dingtalktest.Faults() {
		is := broken[f.Name]
		if is == nil {
			continue
		}
		if !f.Wire.Answers() {
			is = broken["reset"]
		}
		t.Run(f.Name, func(t *testing.T) {
			d := onNetwork(t)
			d.sim.Leave(people(50, noon.Add(-time.Hour))...)
			d.login()
			d.sim.Fail(f, 1)
			if _, err := d.try(); !is(err) && !errors.Is(err, io.EOF) {
				t.Errorf("%v", err)
			}
			if got := len(d.sim.Shown()); got != 0 {
				t.Errorf("%d count as shown", got)
			}
			d.wantRefusal(d.ask(), 200, "")
		})
	}
}

// onNetwork is atNoon behind a real socket; each call has a connection of its own, since net/http would ask again by itself on one
// that it had used before.
func onNetwork(t *testing.T) *desk {
	d := atNoon(t)
	server := httptest.NewServer(d.sim)
	t.Cleanup(server.Close)
	d.base, d.client = server.URL, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return d
}

func TestTheNetworkAndTheTransportGiveTheSameAnswers(t *testing.T) {
	for _, gz := range []bool{false, true} {
		in, out := atNoon(t), onNetwork(t)
		var replies [2][]reply
		for i, d := range []*desk{in, out} {
			d.sim.Set(func(s *dingtalktest.Switches) { s.Gzip = gz })
			d.sim.Leave(people(60, noon.Add(-time.Hour))...)
			d.sim.Fail(dingtalktest.NoContent, 1)
			replies[i] = append(replies[i], d.login(), d.ask(), d.ask(), d.ask("maxResults", "0"))
			d.sim.Fail(dingtalktest.EmptyForbidden, 1)
			replies[i] = append(replies[i], d.ask())
		}
		for i, a := range replies[0] {
			b := replies[1][i]
			b.Header.Del("Connection") // of the real one
			if a.Status != b.Status || a.Body != b.Body || len(a.Header) != len(b.Header) {
				t.Errorf("in process %d %s %v\non the network %d %s %v", a.Status, a.Body, a.Header, b.Status, b.Body, b.Header)
			}
			for name := range a.Header {
				if a.Header.Get(name) != b.Header.Get(name) {
					t.Errorf("%s: in process %q, on the network %q", name, a.Header.Get(name), b.Header.Get(name))
				}
			}
		}
	}
}

func TestACallThatNeverArrivesDoesNothingButOneWithoutAnAnswerDoes(t *testing.T) {
	for _, c := range []struct {
		fault   dingtalktest.Fault
		renewed bool
	}{{dingtalktest.Refused, false}, {dingtalktest.Unresolved, false}, {dingtalktest.Untrusted, false}, {dingtalktest.ResetBefore, true}} {
		t.Run(c.fault.Name, func(t *testing.T) {
			d := atNoon(t)
			d.login()
			d.now = noon.Add(time.Hour)
			d.sim.Fail(c.fault.Against(dingtalktest.TokenCalls), 1)
			if _, err := d.do("POST", "/v1.0/oauth2/accessToken", jsonHeader, `{"appKey":"`+appKey+`","appSecret":"`+secret+`"}`); err == nil {
				t.Fatal("the call was answered")
			}
			d.now = noon.Add(2 * time.Hour)
			if got := d.ask().Status == 200; got != c.renewed {
				t.Errorf("the token was renewed: %v", got)
			}
		})
	}
}

func TestACompressedAnswerIsCompressed(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.Gzip = true })
	d.login()
	header := tokenHeader(d.token)
	header.Set("Accept-Encoding", "gzip")
	if r := d.call("GET", "/v1.0/contact/empLeaveRecords", header, ""); r.Header.Get("Content-Encoding") != "gzip" || r.Body[:2] != "\x1f\x8b" {
		t.Errorf("asked for gzip: %v", r.Header)
	}
	header.Set("Accept-Encoding", "identity")
	if r := d.call("GET", "/v1.0/contact/empLeaveRecords", header, ""); r.Header.Get("Content-Encoding") != "" || r.Code == "" {
		t.Errorf("asked for none: %v", r.Header)
	}
}

func TestLatencyAndSlowFaultsTakeTheirTime(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*dingtalktest.Server)
		want time.Duration
	}{
		{"at once", func(*dingtalktest.Server) {}, 0},
		{"latency", func(s *dingtalktest.Server) {
			s.Set(func(s *dingtalktest.Switches) { s.Latency = 300 * time.Millisecond })
		}, 300 * time.Millisecond},
		{"slow", func(s *dingtalktest.Server) { s.Fail(dingtalktest.Slow, 1) }, 10 * time.Second},
		{"slow drip", func(s *dingtalktest.Server) { s.Fail(dingtalktest.Dripping, 1) }, 9500 * time.Millisecond}, // 19 pauses of 20
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := ticking(t)
				d.sim.Leave(people(50, time.Now().Add(-time.Hour))...)
				d.login()
				c.set(d.sim)
				begun := time.Now()
				r := d.ask()
				if took := time.Since(begun); took != c.want || len(r.Records) != 50 {
					t.Errorf("%d records after %v, want %v", len(r.Records), took, c.want)
				}
				if got := len(d.sim.Shown()); got != 50 {
					t.Errorf("%d shown", got)
				}
			})
		})
	}
}

func TestWhatHangsEndsWithTheClientsPatience(t *testing.T) {
	stalledInGzip := func(s *dingtalktest.Server) {
		s.Set(func(s *dingtalktest.Switches) { s.Gzip = true })
		s.Fail(dingtalktest.Stalled, 1)
	}
	for name, set := range map[string]func(*dingtalktest.Server){
		"hang":         func(s *dingtalktest.Server) { s.Fail(dingtalktest.Hanging, 1) },
		"stalled body": func(s *dingtalktest.Server) { s.Fail(dingtalktest.Stalled, 1) },
		"stalled gzip": stalledInGzip,
		"slow":         func(s *dingtalktest.Server) { s.Fail(dingtalktest.Slow, 1) },
		"slow drip":    func(s *dingtalktest.Server) { s.Fail(dingtalktest.Dripping, 1) },
		"latency":      func(s *dingtalktest.Server) { s.Set(func(s *dingtalktest.Switches) { s.Latency = time.Hour }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := ticking(t)
				d.sim.Leave(people(50, time.Now().Add(-time.Hour))...)
				d.login()
				set(d.sim)
				d.client.Timeout = 3 * time.Second
				begun := time.Now()
				_, err := d.try()
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("got %v, want a timeout", err)
				}
				if took := time.Since(begun); took != 3*time.Second {
					t.Errorf("took %v", took)
				}
				if got := len(d.sim.Shown()); got != 0 {
					t.Errorf("%d count as shown", got)
				}
			})
		})
	}
}

func TestAHangingCallEndsWhenItsContextDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ticking(t)
		d.login()
		d.sim.Fail(dingtalktest.Hanging, 1)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		req, _ := http.NewRequestWithContext(ctx, "GET", d.base+"/v1.0/contact/empLeaveRecords", nil)
		if _, err := d.client.Do(req); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestClosingABodyEndsAReadThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ticking(t)
		d.login()
		d.sim.Fail(dingtalktest.Stalled, 1)
		req, _ := http.NewRequestWithContext(t.Context(), "GET", d.base+"/v1.0/contact/empLeaveRecords", nil)
		resp, err := d.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, resp.Body)
			read <- err
		}()
		synctest.Wait()
		resp.Body.Close()
		if err := <-read; err == nil {
			t.Error("the read of a stalled body ended well")
		}
	})
}

func TestAPageThatTheHandlerServedWholeCountsAsShown(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(people(2, noon.Add(-time.Hour))...)
	d.login()
	req := httptest.NewRequest("GET", "/v1.0/contact/empLeaveRecords?maxResults=50&startTime="+stamp(noon.Add(-day)), nil)
	req.Header = tokenHeader(d.token)
	d.sim.ServeHTTP(httptest.NewRecorder(), req)
	if got := len(d.sim.Shown()); got != 2 {
		t.Errorf("%d shown", got)
	}
}

func TestAHangingHandlerEndsWithItsRequest(t *testing.T) {
	for _, f := range []dingtalktest.Fault{dingtalktest.Hanging, dingtalktest.Stalled, dingtalktest.Dripping} {
		t.Run(f.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := ticking(t)
				d.sim.Fail(f, 1)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				defer func() {
					if p, took := recover(), time.Since(begun); p != http.ErrAbortHandler || took != time.Second {
						t.Errorf("the handler ended with %v after %v", p, took)
					}
				}()
				req := httptest.NewRequestWithContext(ctx, "GET", "/v1.0/contact/empLeaveRecords", nil)
				d.sim.ServeHTTP(httptest.NewRecorder(), req)
			})
		})
	}
}
