package connector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka"
	"departures/connector/promisetest"
	"departures/schema"
)

// watching is a DingTalk that looks at something when the first call comes.
type watching struct {
	http.RoundTripper
	once sync.Once
	look func()
}

func (w *watching) RoundTrip(r *http.Request) (*http.Response, error) {
	w.once.Do(w.look)
	return w.RoundTripper.RoundTrip(r)
}

// TestTheFirstCheckpointStandsBeforeDingTalkIsAsked: otherwise START=now slides with every restart before the first success.
func TestTheFirstCheckpointStandsBeforeDingTalkIsAsked(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		var then schema.Checkpoint
		r.calls = &watching{RoundTripper: r.sim.Transport(), look: func() { then = r.checkpoint() }}
		i := r.start(nil)
		time.Sleep(time.Second)
		r.stop(i)
		at := r.cfg.Start.At(time.Now())
		if !then.HighWaterMark.Equal(at) || !then.ReconciledThrough.Equal(at) || !then.Floor.Equal(at) {
			t.Errorf("at the first call the checkpoint was %+v, want every mark at %s", then, at)
		}
	})
}

// takeOver opens and closes a session on the state, as another deployment would.
func (r *rig) takeOver() {
	r.t.Helper()
	cfg := r.cfg.Kafka
	cfg.Instance, cfg.Dial, cfg.Log = "the-other-deployment", r.dial, slog.New(slog.DiscardHandler)
	c, err := kafka.New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := c.Prepare(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	s, err := c.Open(context.Background(), c.Partition("dingtest"), func(string, []byte) error { return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	s.Close()
}

// pauses are the pauses after each line of the log that says what.
func (l *logbook) pauses(what string) (all []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range regexp.MustCompile(what+`.* again_in=(\S+)`).FindAllStringSubmatch(l.text.String(), -1) {
		d, _ := time.ParseDuration(m[1])
		all = append(all, d)
	}
	return all
}

func TestAFenceIsFollowedByAPauseThatGrows(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		i := r.start(nil)
		time.Sleep(time.Minute)
		want := []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 64e9, 128e9, 256e9, 300e9, 300e9}
		for range want {
			r.takeOver()
			time.Sleep(8 * time.Minute) // heard of within a minute, and at most 6:15 aside: the session lives less than ten
		}
		time.Sleep(12 * time.Minute)
		r.takeOver()
		want = append(want, time.Second) // after ten healthy minutes
		time.Sleep(2 * time.Minute)
		got := r.log.pauses("Kafka: fenced")
		if len(got) != len(want) {
			t.Fatalf("%d pauses, want %d\n%s", len(got), len(want), got)
		}
		for k, least := range want {
			if got[k] < least || got[k] > least*5/4 {
				t.Errorf("pause %d is %s, want %s and at most a quarter more", k+1, got[k], least)
			}
		}
		r.stop(i)
		r.check()
	})
}

// everyPartition gives the rig an organisation in each state partition, all with the same people.
func (r *rig) everyPartition() (corpIDs []string) {
	one := r.cfg.Orgs[0]
	r.cfg.Orgs = nil
	taken := map[int]bool{}
	for n := 0; len(taken) < 12; n++ {
		corpID := fmt.Sprintf("ding%d", n)
		p := kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(corpID)}, 12)
		if taken[p] {
			continue
		}
		taken[p] = true
		o := one
		o.CorpID, o.AppKeyDigest, o.DingTalk.CorpID = corpID, schema.Digest([]byte(corpID)), corpID
		r.cfg.Orgs = append(r.cfg.Orgs, o)
		corpIDs = append(corpIDs, corpID)
	}
	return corpIDs
}

// TestAnInstanceThatJoinsTakesItsShare: partitions that move to another instance are let go of, without a fence.
func TestAnInstanceThatJoinsTakesItsShare(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		corpIDs := r.everyPartition()
		one := r.start(nil)
		time.Sleep(time.Minute)
		two := r.start(nil)
		time.Sleep(2 * time.Minute)
		at := time.Now()
		r.sim.Leave(person("p", at))
		time.Sleep(15 * time.Second)
		for n, i := range []*instance{one, two} {
			s := i.runner.Status()
			if reasons := append(s.Ready(time.Now()), s.Healthy(time.Now())...); len(s.Orgs) != 6 || len(reasons) > 0 {
				t.Errorf("instance %d has %d organisations, and %q", n+1, len(s.Orgs), reasons)
			}
		}
		a, err := r.account()
		if err != nil {
			t.Fatal(err)
		}
		for _, corpID := range corpIDs {
			if lost, twice, _ := a.Count(corpID, []promisetest.Departure{departure("p", at)}); len(lost)+len(twice) > 0 {
				t.Errorf("%s: lost %v, twice %v", corpID, lost, twice)
			}
		}
		if n := r.log.count("Kafka: fenced"); n > 0 {
			t.Errorf("%d fences", n)
		}
		r.stop(one)
		r.stop(two)
	})
}

func TestWhatARestartedWalkDoesNotShowIsNotPublished(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		left := time.Now().UTC().Truncate(time.Second)
		r.leave(60, "p") // two pages
		gone := time.Now().Add(-time.Minute)
		r.sim.Leave(person("gone", gone)) // the earliest: on the first page
		refused := dingtalktest.ParameterRefused
		refused.When = func(c dingtalktest.Call) bool { return c.Param("nextToken") != "0" }
		r.sim.Fail(refused, 1)
		i := r.start(nil)
		r.wait("the refusal", func() bool { return r.pages() == 2 })
		r.sim.Remove(canaryUser+"gone", gone)
		time.Sleep(10 * time.Second)
		r.stop(i)
		if !r.lost("gone", gone) {
			t.Error("published, though the walk that was completed did not show it")
		}
		if lost, _, _ := count(r, departure("p-0", left)); len(lost) > 0 {
			t.Error("the others are not published")
		}
	})
}

// TestTooManyForOneWindowWithoutAnEnd: a window that cannot be cut is not collected for ever.
func TestTooManyForOneWindowWithoutAnEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("200,001 departures")
	}
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Orgs[0].DingTalk.EndTime = false
		all := make([]dingtalktest.Leaver, 200_001)
		for n := range all {
			all[n] = dingtalktest.Leaver{UserID: fmt.Sprint(n), LeaveTime: time.Now().Add(-time.Duration(n%3000) * time.Second)}
		}
		r.sim.Leave(all...)
		i := r.start(nil)
		select {
		case <-i.done:
		case <-time.After(5 * time.Second): // a reading takes less than half a second
		}
		r.stop(i)
		if i.err == nil || !strings.Contains(i.err.Error(), "DINGTALK_END_TIME") {
			t.Errorf("ended with %v", i.err)
		}
	})
}

func TestAQuarantinedRecordIsCutToItsTopic(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.create(r.topics.Quarantine, map[string]string{"max.message.bytes": "8192"})
		big := person("big", time.Now())
		big.Raw = []byte(`{"name":"` + strings.Repeat("x", 50_000) + `"}`) // no userId
		r.sim.Leave(big)
		at := time.Now()
		r.sim.Leave(person("other", at))
		i := r.start(nil)
		time.Sleep(time.Minute)
		r.stop(i)
		if r.lost("other", at) {
			t.Errorf("the other departure is not published\n%s", r.log.tail())
		}
		r.wellKept(1, 1)
	})
}

func TestReadinessAndNotesChangeWithTheWeather(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Start = connector.StartAt(time.Now().Add(-400 * 24 * time.Hour))
		r.sim.Set(func(s *dingtalktest.Switches) { s.StrictHistory, s.Skew = true, -2*time.Minute })
		i := r.start(nil)
		status := func() (ready, notes string) {
			s := i.runner.Status()
			return strings.Join(s.Ready(time.Now()), "\n"), strings.Join(s.Notes(), "\n")
		}
		time.Sleep(5 * time.Minute)
		if ready, notes := status(); ready != "" || !strings.Contains(notes, "gap: ") || !strings.Contains(notes, "clock is 2m") {
			t.Errorf("ready: %q, notes: %q", ready, notes)
		}
		r.sim.Set(func(s *dingtalktest.Switches) { s.Skew = 0 })
		r.sim.Fail(dingtalktest.SystemError, 1_000_000)
		time.Sleep(44 * time.Second) // three poll intervals are 30 s
		if ready, notes := status(); !strings.Contains(ready, "last window walked") || !strings.Contains(ready, "500 system.error") || strings.Contains(notes, "clock") {
			t.Errorf("after three poll intervals without a window ready: %q, notes: %q", ready, notes)
		}
		r.sim.Heal()
		time.Sleep(2 * time.Minute)
		if ready, _ := status(); ready != "" || i.runner.Status().Orgs["dingtest"].Trouble != "" {
			t.Errorf("ready: %q, trouble: %q", ready, i.runner.Status().Orgs["dingtest"].Trouble)
		}
		r.stop(i)
	})
}

// TestEventsAndCheckpointsSayWhenTheyWereObserved: with leaveTime that tells how late an event is, with highWaterMark how far the topic
// is complete.
func TestEventsAndCheckpointsSayWhenTheyWereObserved(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		i := r.start(nil)
		time.Sleep(5 * time.Minute)
		left := time.Now()
		r.leave(1, "p")
		time.Sleep(15 * time.Second)
		a, err := r.account()
		if err != nil || len(a.Events) != 1 {
			t.Fatalf("%d events, %v", len(a.Events), err)
		}
		var event struct{ ObservedAt time.Time }
		if err := json.Unmarshal(a.Events[0].Value, &event); err != nil {
			t.Fatal(err)
		}
		for what, at := range map[string]time.Time{"event": event.ObservedAt, "checkpoint": r.checkpoint().ObservedAt} {
			// a jittered poll, and the second by which DingTalk's Date may lag
			if at.Before(left) || at.After(left.Add(13*time.Second)) {
				t.Errorf("the %s was observed at %s; the person left at %s and was seen by the next poll but one", what, at, left)
			}
		}
		r.stop(i)
		r.check()
	})
}

// TestAnotherAppBesideAUsedStateMayBegin: only the same app under another corpId is a mistyped corpId.
func TestAnotherAppBesideAUsedStateMayBegin(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.leave(1, "p")
		i := r.start(nil)
		time.Sleep(time.Minute)
		r.stop(i)
		sim := r.second("key2")
		at := time.Now()
		sim.Leave(person("theirs", at))
		i = r.start(nil)
		time.Sleep(time.Minute)
		r.stop(i)
		if i.err != nil {
			t.Errorf("ended with %v", i.err)
		}
		r.wellKept(2, 0)
	})
}

// TestARefusedNextTokenIsSaidAsWhatItIs, and not as a refused window.
func TestARefusedNextTokenIsSaidAsWhatItIs(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.leave(120, "p")
		refused := dingtalktest.ParameterRefused
		refused.When = func(c dingtalktest.Call) bool { return c.Param("nextToken") != "0" }
		r.sim.Fail(refused, 1_000_000)
		i := r.start(nil)
		time.Sleep(5 * time.Minute)
		if ready := strings.Join(i.runner.Status().Ready(time.Now()), "\n"); !strings.Contains(ready, walkBegunAgain) {
			t.Errorf("not ready because: %q", ready)
		}
		if r.log.contains("window refused") {
			t.Error("the window is blamed")
		}
		r.sim.Heal()
		time.Sleep(2 * time.Minute)
		r.stop(i)
		r.check()
	})
}

// TestAWindowThatIsTooFullIsNotReadToItsEnd: what is cut need not be collected first.
func TestAWindowThatIsTooFullIsNotReadToItsEnd(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		for k := range 15_000 {
			r.sim.Leave(person(fmt.Sprint(k), time.Now().Add(-time.Duration(k)*200*time.Millisecond)))
		}
		i := r.start(nil)
		time.Sleep(5 * time.Second) // less than a poll interval: one walk
		r.stop(i)
		r.check()
		// Read to its end, the first window alone costs 300 pages, its halves 150 each.
		if n := r.pages(); n > 850 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestPagesWithoutEndThatShowNobody keep nobody waiting for long, and are said.
func TestPagesWithoutEndThatShowNobody(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Orgs[0].DingTalk.Rate = 5
		n := 0
		r.calls = roundTrip(func(q *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(q.URL.Path, "/empLeaveRecords") {
				return r.sim.Transport().RoundTrip(q)
			}
			n++
			body := fmt.Sprintf(`{"records":[],"nextToken":"t%d"}`, n)
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: q}, nil
		})
		i := r.start(nil)
		time.Sleep(5 * time.Minute)
		if ready := strings.Join(i.runner.Status().Ready(time.Now()), "\n"); !strings.Contains(ready, "no leave record in 100 pages in a row") {
			t.Errorf("not ready because: %q", ready)
		}
		if !r.log.contains("level=WARN msg=\"DingTalk: " + walkBegunAgain) {
			t.Error("nothing was said")
		}
		r.stop(i)
	})
}

// roundTrip is a way to DingTalk.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip makes the call.
func (f roundTrip) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }
