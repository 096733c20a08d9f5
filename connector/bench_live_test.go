package connector_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
	"departures/connector/walk"
	"departures/schema"
)

// BenchmarkStart starts the connector where one departure waits and the topics are empty. The time has the join of the group in it: it
// is what whoever deploys waits for. Brokers hold a first join back for group.initial.rebalance.delay.ms, 3 s by default, none here.
func BenchmarkStart(b *testing.B) {
	s := newSite(b, 1, time.Minute, time.Minute, noLimits)
	brokers := kafkatest.Brokers(b)
	f := figures{}
	for b.Loop() {
		r := newBenchRig(b, s, brokers)
		w := newWatch(b, brokers, r.events, 1, nil)
		c := r.startChild("connector")
		c.await("the first event can be read", w.begun)
		f.add("s-p50", w.first.Load().Sub(c.began).Seconds())
		c.stop()
		w.check()
	}
	f.report(b)
	b.ReportMetric(slices.Max(f["s-p50"]), "s-max")
}

// BenchmarkLatency lets people leave at random moments of a minute, with POLL_INTERVAL=1s, and gives the time from when each of them shows
// in DingTalk to when the event can be read.
func BenchmarkLatency(b *testing.B) {
	const minute = 60 * time.Second
	for _, c := range []struct {
		name     string
		history  int
		span     time.Duration
		ago      time.Duration
		switches dingtalktest.Switches
		rate     string
		leavers  int
	}{
		{name: "idle", history: 1, span: time.Minute, ago: time.Minute, switches: noLimits, rate: unlimited, leavers: 1000},
		// The history alone would take the minute and a half more. Everybody who leaves stays in the last 24 hours, which a poll walks as a
		// whole: a thousand of them are twenty pages, a second's calls.
		{name: "catch-up", history: 90 * 20 * 50, span: 20 * walk.MaxSpan, ago: 25 * time.Hour, rate: "20", leavers: 200},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := figures{}
			for b.Loop() {
				s := newSite(b, c.history, c.span, c.ago, c.switches)
				r := newBenchRig(b, s, kafkatest.Brokers(b))
				r.measureLateness(c.history, c.leavers, minute, "DINGTALK_RATE="+c.rate).add(f)
			}
			f.report(b)
		})
	}
}

// measureLateness lets people leave, after the first event of a history, which is more than a single one has to outlast the span.
func (r *benchRig) measureLateness(history, leavers int, span time.Duration, settings ...string) *lateness {
	r.b.Helper()
	l := &lateness{shown: map[string]time.Time{}}
	w := newWatch(r.b, r.brokers, r.events, history+leavers, l.read)
	c := r.startChild("connector", append(settings, "POLL_INTERVAL=1s")...)
	c.await("the first event can be read", w.begun)
	l.letLeave(r.sim, history, leavers, span)
	if history > 1 && int(w.events.Load()) >= history {
		r.b.Fatal("the history was published before the last one left")
	}
	c.await("everybody who left is published", l.none)
	c.stop()
	w.end()
	if n := int(w.events.Load()); n != len(w.keys) {
		r.b.Fatalf("%d events with %d keys", n, len(w.keys))
	}
	return l
}

// lateness is how late the events of those are who left under its eyes.
type lateness struct {
	mu    sync.Mutex
	shown map[string]time.Time // by event key, of those whose event has not come
	late  []time.Duration
}

// letLeave lets people leave at moments drawn from a span, each at the time of the moment. Their numbers begin with first.
func (l *lateness) letLeave(sim *dingtalktest.Server, first, n int, span time.Duration) {
	moments := make([]time.Duration, n)
	for i := range moments {
		moments[i] = rand.N(span)
	}
	slices.Sort(moments)
	began := time.Now()
	for i, at := range moments {
		time.Sleep(time.Until(began.Add(at)))
		now := time.Now()
		who := leaver(first+i, now)
		l.mu.Lock()
		l.shown[schema.Departure{CorpID: benchCorp, UserID: who.UserID, LeaveTime: now}.Key()] = now
		l.mu.Unlock()
		sim.Leave(who)
	}
}

// read takes the key of an event that can be read.
func (l *lateness) read(key string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if shown, ours := l.shown[key]; ours {
		l.late = append(l.late, at.Sub(shown))
		delete(l.shown, key)
	}
}

// none says that nobody's event is still to come.
func (l *lateness) none() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.shown) == 0
}

func (l *lateness) add(f figures) {
	slices.Sort(l.late)
	f.add("s-p50", l.late[len(l.late)/2].Seconds())
	f.add("s-p99", l.late[len(l.late)*99/100].Seconds())
	f.add("s-max", l.late[len(l.late)-1].Seconds())
}
