package connector_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
	"departures/schema"
)

// since lets START be so long ago, and gives it.
func (r *rig) since(age time.Duration) time.Time {
	start := time.Now().Add(-age)
	r.cfg.Start = connector.StartAt(start)
	return start.UTC()
}

// crowd lets n people leave from one time on, up to another, in equal steps. Of them little is known: it is a matter of time.
func (r *rig) crowd(who string, from, to time.Time, n int) {
	all := make([]dingtalktest.Leaver, n)
	for k := range all {
		at := from.Add(time.Duration(float64(to.Sub(from)) * float64(k) / float64(n)))
		all[k] = dingtalktest.Leaver{UserID: fmt.Sprintf("%s%s%d", canaryUser, who, k), LeaveTime: at}
	}
	r.sim.Leave(all...)
}

// long is a test that a short run leaves out: it is more of what others do.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long")
	}
}

func (r *rig) latency(d time.Duration) { r.sim.Set(func(s *dingtalktest.Switches) { s.Latency = d }) }

func (r *rig) rate(perSecond float64) { r.cfg.Orgs[0].DingTalk.Rate = perSecond }

// askedFrom is the startTime of the nth window of a catch-up, while windows have seven days.
func askedFrom(start time.Time, n int) string {
	return start.Add(time.Duration(n)*(7*day+time.Second) - time.Second).Format(time.RFC3339)
}

// complete checks the whole guarantee, and that no checkpoint was ever ahead of the events: before one stands, the ledger names everybody
// who had left by its mark. It is for companies whose records all showed from the beginning.
func (r *rig) complete() {
	r.t.Helper()
	r.check()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	published, owed, checkpoints := map[string]bool{}, r.truth(), 0
	for _, s := range a.State { // all of one partition, a checkpoint behind what was committed with it
		if key, ok := strings.CutPrefix(string(s.Key), "published/dingtest/"); ok {
			published[key] = true
			continue
		}
		cp, err := schema.ParseCheckpoint(s.Value)
		if string(s.Key) != schema.CheckpointKey("dingtest") || err != nil || cp.HighWaterMark.Equal(cp.Floor) {
			continue // at floor nothing is walked yet
		}
		checkpoints++
		for ; len(owed) > 0 && !owed[0].LeaveTime.After(cp.HighWaterMark); owed = owed[1:] { // in order of leaveTime
			if key := owed[0].UserID + "@" + owed[0].LeaveTime.Format(time.RFC3339); !published[key] {
				r.t.Fatalf("the checkpoint at offset %d says complete through %s, without %s", s.Offset, cp.HighWaterMark, key)
			}
		}
	}
	if checkpoints < 2 {
		r.t.Errorf("%d checkpoints", checkpoints)
	}
}

// TestWhoLeavesDuringALargeCatchUpIsPublishedSoon has the history of 1,000,000 departures in 364 days, as far as a few minutes ask for it at
// five calls a second.
func TestWhoLeavesDuringALargeCatchUpIsPublishedSoon(t *testing.T) {
	const (
		perDay  = 1_000_000 / 364
		call    = time.Second / 5
		poll    = 11 * time.Second       // POLL_INTERVAL and a tenth
		overlap = (perDay/50 + 4) * call // the pages of the last 24 hours
		slack   = time.Second + 5*call   // by which DingTalk's Date may lag; and what is under way
	)
	for name, c := range map[string]struct {
		lately int // people who left on each of the last two days
		within time.Duration
	}{
		"after quiet days": {0, poll + slack},
		// A walk over the last 24 hours had just begun, and the next one begins an interval after it.
		"after days like all others": {perDay, overlap + poll + overlap + slack},
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.rate(5)
				start := r.since(364 * day)
				r.crowd("long-ago-", start, start.Add(18*day), 18*perDay)
				r.crowd("lately-", time.Now().Add(-2*day), time.Now(), 2*c.lately)
				i := r.start(nil)
				time.Sleep(time.Minute)
				left := map[string]time.Time{}
				for n := range 15 {
					who, at := fmt.Sprintf("live-%d", n), time.Now()
					r.sim.Leave(person(who, at))
					left[schema.Departure{CorpID: "dingtest", UserID: canaryUser + who, LeaveTime: at}.Key()] = at
					time.Sleep(7 * time.Second)
				}
				time.Sleep(c.within)
				r.stop(i)
				if mark := r.checkpoint().HighWaterMark; mark.Before(start.Add(3*day)) || mark.After(start.Add(18*day)) {
					t.Errorf("the catch-up got to %s", mark)
				}
				a, err := r.account()
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range a.Events {
					if at, live := left[string(e.Key)]; live && e.Timestamp.Sub(at) > c.within {
						t.Errorf("%s was published %s later, want %s", e.Key, e.Timestamp.Sub(at), c.within)
					}
					delete(left, string(e.Key))
				}
				if len(left) > 0 {
					t.Errorf("not published: %v", left)
				}
				for _, breach := range a.Check() {
					t.Error(breach)
				}
			})
		})
	}
}

func TestABulkDeleteInACatchUpIsAskedForOnceOrTwice(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"within a window": 10*day + time.Hour,
		"in the last second of a window, which the next one asks for too":    7 * day,
		"in the first second of a window, which the one before asks for too": 14*day + 2*time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				const bulk = 6000
				start := r.since(60 * day)
				r.crowd("others-", start, time.Now(), 300)
				r.crowd("bulk-", start.Add(after), start.Add(after+time.Second), bulk)
				i := r.start(nil)
				time.Sleep(5 * time.Second) // less than a poll interval
				r.stop(i)
				r.complete()
				if n := r.pages(); n > 3*bulk/50 {
					t.Errorf("%d calls for %d departures of one second", n, bulk)
				}
			})
		})
	}
}

// TestADenseHistoryCostsHardlyMoreThanItsPages has hardly fewer people in seven days than a window may show.
func TestADenseHistoryCostsHardlyMoreThanItsPages(t *testing.T) {
	long(t)
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		const people = 28_000
		r.latency(4 * time.Millisecond)
		start := r.since(42 * day)
		r.crowd("p-", start, time.Now().Add(-2*day), people)
		i := r.start(nil)
		time.Sleep(9 * time.Second)
		r.stop(i)
		r.complete()
		windows := map[string]bool{}
		for _, c := range r.callsOf(dingtalktest.DataCalls) {
			windows[c.Param("startTime")+c.Param("endTime")] = true
		}
		if n, needed := r.pages(), (people+49)/50+len(windows); n > needed*11/10 {
			t.Errorf("%d calls for %d departures in %d windows, want %d and a tenth more", n, people, len(windows), needed)
		}
	})
}

// gauge counts the calls that are under way.
type gauge struct {
	http.RoundTripper
	mu        sync.Mutex
	now, most int
}

// RoundTrip makes the call.
func (g *gauge) RoundTrip(q *http.Request) (*http.Response, error) {
	g.add(1)
	defer g.add(-1)
	return g.RoundTripper.RoundTrip(q)
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
}

func TestAtMostEightWindowsAreFetchedAtOnce(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		g := &gauge{RoundTripper: r.sim.Transport()}
		r.calls = g
		r.latency(200 * time.Millisecond)
		start := r.since(360 * day)
		r.crowd("p-", start, time.Now().Add(-2*day), 358*50)
		i := r.start(nil)
		time.Sleep(9 * time.Second) // no fresh walk takes the place of a window meanwhile
		r.stop(i)
		if g.most != 8 {
			t.Errorf("up to %d calls at once, want 8", g.most)
		}
	})
}

func TestACatchUpIsAsFastAsTheRateAllowsAndNoFaster(t *testing.T) {
	for name, perDay := range map[string]int{"a few pages a window": 60, "28 pages a window": 200} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				const perSecond, seconds = 20, 22
				r.rate(perSecond)
				r.latency(200 * time.Millisecond)
				start := r.since(360 * day)
				r.crowd("p-", start, start.Add(360*day), 360*perDay)
				i := r.start(nil)
				time.Sleep(seconds * time.Second)
				r.stop(i)
				calls := r.callsOf(dingtalktest.DataCalls)
				if len(calls) < perSecond*seconds*9/10 {
					t.Errorf("%d calls in %d seconds", len(calls), seconds)
				}
				for k := perSecond; k < len(calls); k++ {
					if within := calls[k].Time.Sub(calls[k-perSecond].Time); within < time.Second-time.Millisecond {
						t.Fatalf("%d calls within %s", perSecond+1, within)
					}
				}
			})
		})
	}
}

// TestOnePersonsDeparturesStayInOrder lets twenty people leave again and again. The first window comes late, so that others are whole by then
// and share a transaction.
func TestOnePersonsDeparturesStayInOrder(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.sim.Set(func(s *dingtalktest.Switches) { s.Order = dingtalktest.Random })
		r.latency(10 * time.Millisecond)
		start := r.since(98 * day)
		r.sim.Fail(ofWindow(dingtalktest.Fault{Name: "slow", Delay: time.Second}, askedFrom(start, 0)), 1)
		for n := range 2000 {
			r.sim.Leave(dingtalktest.Leaver{UserID: fmt.Sprint(canaryUser, n%20), LeaveTime: start.Add(time.Duration(n)*time.Hour + time.Minute)})
		}
		i := r.start(nil)
		time.Sleep(9 * time.Second)
		r.stop(i)
		r.complete()
		a, err := r.account()
		if err != nil {
			t.Fatal(err)
		}
		last := map[string]string{}
		for _, e := range a.Events {
			who, at, _ := strings.Cut(string(e.Key), "@")
			if at <= last[who] {
				t.Fatalf("%s comes after %s", e.Key, last[who])
			}
			last[who] = at
		}
		if n := r.log.count("msg=committed"); n > 8 {
			t.Errorf("%d transactions for 14 windows", n)
		}
	})
}
