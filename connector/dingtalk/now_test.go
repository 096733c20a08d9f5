package dingtalk

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

func TestNow(t *testing.T) {
	for _, c := range []struct {
		name   string
		ahead  time.Duration // DingTalk's clock against ours
		status int
		body   string
	}{
		{"equal clocks", 0, 200, `{"records":[]}`},
		{"dingtalk is ahead, by a refusal", 10 * time.Minute, 403, `{"code":"x"}`},
		{"dingtalk is behind, by an answer that cannot be read", -10 * time.Minute, 200, `x`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(123456789 * time.Nanosecond) // not on a whole second
				const answerTook = 200 * time.Millisecond
				h := &dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
					time.Sleep(answerTook)
				}}
				client := newClient(h)
				if _, ok := client.Now(); ok {
					t.Error("known before the first answer")
				}
				collect(client, 1)
				for _, passed := range []time.Duration{0, 90 * time.Second, 5 * time.Hour} {
					time.Sleep(passed)
					now, ok := client.Now()
					theirs := time.Now().Add(c.ahead)
					if !ok || now.After(theirs) || now.Before(theirs.Add(-time.Second-answerTook)) {
						t.Errorf("%v later: got %v, %v when DingTalk's clock says %v", passed, now, ok, theirs)
					}
					equal(t, "location", now.Location(), time.UTC)
				}
			})
		})
	}
	t.Run("an answer without a Date leaves it as it was", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			client := newClient(&dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
				if n++; n == 1 {
					w.Header().Set("Date", "Mon, 03 Jun 2024 10:00:00 GMT")
				}
				_, _ = io.WriteString(w, `{"records":[]}`)
			}})
			collect(client, 1)
			time.Sleep(time.Minute)
			collect(client, 1)
			now, ok := client.Now()
			equal(t, "known", ok, true)
			equal(t, "now", now, time.Date(2024, 6, 3, 10, 1, 0, 0, time.UTC))
		})
	})
	t.Run("the last answer counts, also when it shows an earlier time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := answering(200, `{"records":[]}`, "Date", "Mon, 03 Jun 2024 10:00:00 GMT")
			client := newClient(h)
			collect(client, 1)
			time.Sleep(time.Minute)
			collect(client, 1) // DingTalk's clock was set back by a minute
			now, _ := client.Now()
			equal(t, "now", now, time.Date(2024, 6, 3, 10, 0, 0, 0, time.UTC))
		})
	})
	t.Run("many answers tell it better than one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const ahead = 10 * time.Minute
			client := newClient(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
				_, _ = io.WriteString(w, `{"records":[]}`)
			}))
			for range 20 {
				time.Sleep(1030 * time.Millisecond) // so that one of them comes right after a second has begun
				collect(client, 1)
				if now, _ := client.Now(); now.After(time.Now().Add(ahead)) {
					t.Fatalf("%v is later than DingTalk's own time", now)
				}
			}
			now, _ := client.Now()
			if behind := time.Now().Add(ahead).Sub(now); behind > 100*time.Millisecond {
				t.Errorf("%v behind DingTalk's own time", behind)
			}
			time.Sleep(readingLife - 900*time.Millisecond)
			collect(client, 1)
			if now, _ := client.Now(); now.After(time.Now().Add(ahead)) || now.Before(time.Now().Add(ahead-time.Second)) {
				t.Errorf("ten minutes later: %v", now)
			}
			if r := client.clock.best.Load(); time.Since(r.at) > 0 {
				t.Errorf("a reading of %v ago still counts", time.Since(r.at))
			}
		})
	})
	t.Run("DingTalk's clock is set forward", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var ahead atomic.Int64
			client := newClient(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(time.Duration(ahead.Load())).UTC().Format(http.TimeFormat))
				_, _ = io.WriteString(w, `{"records":[]}`)
			}))
			collect(client, 1)
			ahead.Store(int64(5 * time.Minute))
			collect(client, 1)
			if now, _ := client.Now(); now.Before(time.Now().Add(5*time.Minute - time.Second)) {
				t.Errorf("%v: an older answer counts, which proves less", now)
			}
		})
	})
	t.Run("the answer to a token call tells it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", "Mon, 03 Jun 2024 10:00:00 GMT")
				answers(issue("t1", 7200))(w, r)
			}))
			if err := client.CheckToken(t.Context()); err != nil {
				t.Fatal(err)
			}
			now, ok := client.Now()
			equal(t, "known", ok, true)
			equal(t, "now", now, time.Date(2024, 6, 3, 10, 0, 0, 0, time.UTC))
		})
	})
}

// TestNowIsNotMovedByThisHostsClock sets the wall clock back by an hour after the answer: what the answer's time reads by
// the wall clock is then an hour more, and by the monotonic clock the same. Not in a bubble: its clock is not monotonic.
func TestNowIsNotMovedByThisHostsClock(t *testing.T) {
	client := newClient(answering(200, `{"records":[]}`, "Date", "Mon, 03 Jun 2024 10:00:00 GMT"))
	collect(client, 1)
	before, _ := client.Now()
	r := client.clock.best.Load()
	wall := r.at.Round(0)
	seconds := (*uint64)(unsafe.Pointer(&r.at)) // in Go's layout: one bit, 33 bits of seconds, 30 bits of nanoseconds
	*seconds += 3600 << 30
	if !r.at.Round(0).Equal(wall.Add(time.Hour)) {
		t.Fatalf("the answer's time has no monotonic reading, or Go lays it out in another way: %v", r.at)
	}
	after, _ := client.Now()
	if d := after.Sub(before); d < 0 || d > time.Minute {
		t.Errorf("moved by %v", d)
	}
}
