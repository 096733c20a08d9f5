package connector_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
)

// TestTenMinutesOfMisbehaviour lets DingTalk misbehave by chance for ten minutes of twenty calls a second, and afterwards once in each way
// that costs minutes. One seed is always the same, another is fresh; MISBEHAVIOUR_SEED runs that one alone, and MISBEHAVIOUR_RUNS so many
// from it, or from a fresh one, on. A seed decides what happens and when; the connector's own jitter it does not.
func TestTenMinutesOfMisbehaviour(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprintf("MISBEHAVIOUR_SEED=%d", seed), func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				// Both walks are always due, and each window is walked within three poll intervals.
				r.cfg.PollInterval, r.cfg.ReconcileInterval, r.cfg.Overlap = time.Second, time.Second, 6*day
				s := newStorm(r, seed)
				s.employ(800, 29*day)
				s.employ(250, 5*day)
				if testing.Short() {
					s.end(s.blow(time.Minute))
					return
				}
				i := s.blow(10 * time.Minute)
				s.last(i)
				s.end(i)
				if calls, spared := s.count(); calls < 4000 || len(spared) > 2 {
					t.Errorf("%d calls; not met: %q", calls, spared)
				}
			})
		})
	}
}

// TestACatchUpThroughAStormMissesNobody has no reconcile walk, which would find in the end whatever another walk had missed: most of a year
// is walked once.
func TestACatchUpThroughAStormMissesNobody(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprintf("MISBEHAVIOUR_SEED=%d", seed), func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.cfg.ReconcileInterval = 0
				s := newStorm(r, seed)
				s.cfg.Orgs[0].DingTalk.Rate = 4 // so that the catch-up takes as long as the storm, with few people
				s.employ(16_000, 350*day)
				s.troubles = []func(){s.fail, s.fail, s.fail, s.fail, s.rain, s.turn, s.tokens, s.forget, s.rotate, s.slow, s.set}
				// Without what only a second look can find.
				s.switches = slices.Concat(texts(), demands())
				s.people = []func(){s.leaves, s.bulk, s.late, s.amend, s.remove, s.vanish}
				if testing.Short() {
					s.end(s.blow(time.Minute))
					return
				}
				s.end(s.blow(8 * time.Minute))
				if _, spared := s.count(); len(spared) > 25 {
					t.Errorf("not met: %q", spared)
				}
			})
		})
	}
}

func seeds(t *testing.T) (all []uint64) {
	number := func(name string, fallback uint64) uint64 {
		text := os.Getenv(name)
		if text == "" {
			return fallback
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first, chosen := number("MISBEHAVIOUR_SEED", uint64(rand.Uint32())), os.Getenv("MISBEHAVIOUR_SEED") != ""
	for n := range number("MISBEHAVIOUR_RUNS", 1) {
		all = append(all, first+n)
	}
	switch {
	case chosen:
		return all
	case testing.Short():
		return []uint64{1}
	}
	return append(all, 1)
}

// storm is a DingTalk that misbehaves, and a company whose people go on leaving.
type storm struct {
	*rig
	chance   *rand.Rand // what happens, and when
	whom     *rand.Rand // to whom: drawn apart, since how many there are depends on the connector
	calm     dingtalktest.Switches
	switches [][]choice // that may be turned
	troubles []func()   // of DingTalk
	people   []func()   // what they do
	secret   secret
	deck     []dingtalktest.Fault
	ends     []func() // of what lasts, switches and faults apart
	staff    int
	story    []string
}

func newStorm(r *rig, seed uint64) *storm {
	s := &storm{rig: r, chance: rand.New(rand.NewPCG(seed, 1)), whom: rand.New(rand.NewPCG(seed, 2)), secret: secret{text: canarySecret}}
	s.switches = slices.Concat(interacting(), texts(), demands())
	s.troubles = []func(){s.fail, s.fail, s.fail, s.fail, s.rain, s.turn, s.turn, s.tokens, s.forget, s.rotate, s.slow, s.set}
	s.people = []func(){s.leaves, s.leaves, s.bulk, s.backdate, s.late, s.amend, s.move, s.remove, s.vanish}
	r.sim = dingtalktest.New(dingtalktest.Options{CorpID: "dingtest", AppKey: "key", AppSecret: canarySecret, Seed: seed}) // 20 calls a second
	r.sim.Set(func(sw *dingtalktest.Switches) {
		sw.ShortPages = true // half the work a call
		s.calm = *sw
	})
	r.cfg.Orgs[0].DingTalk.Rate = 20
	r.cfg.Orgs[0].DingTalk.Secret = s.present
	return s
}

// employ lets n people have left since, and the connector begin there at the latest.
func (s *storm) employ(n int, since time.Duration) {
	now := time.Now()
	if begin := now.Add(-since); begin.Before(s.cfg.Start.At(now)) {
		s.cfg.Start = connector.StartAt(begin)
	}
	for k := range n {
		s.left(now.Add(time.Duration(k-n) * (since / time.Duration(n))))
	}
}

// left lets one more person have left.
func (s *storm) left(at time.Time) {
	s.staff++
	s.sim.Leave(person(strconv.Itoa(s.staff), at))
}

// blow runs a connector through a storm, until it has cleared.
func (s *storm) blow(length time.Duration) *instance {
	s.t.Helper()
	i := s.start(nil)
	s.t.Cleanup(i.cancel) // or a failure would leave it behind
	for end := time.Now().Add(length); time.Now().Before(end); {
		s.pass(1500 * time.Millisecond)
		for range 1 + s.chance.IntN(5)/4 { // seldom two at once
			s.draw(s.troubles)
		}
		s.pass(1500 * time.Millisecond)
		s.draw(s.people)
		s.pass(1500 * time.Millisecond)
		s.clear()
		s.recovers(i)
	}
	s.sim.Set(func(sw *dingtalktest.Switches) { sw.Skew = 0 })
	s.ready(i, 8*time.Second) // a call that hangs, and a pause or two
	return i
}

// end waits until whoever shows late has shown and the mark has caught up, stops the connector and checks the guarantee.
func (s *storm) end(i *instance) {
	s.t.Helper()
	time.Sleep(2 * time.Minute)
	s.within(15*time.Minute, i, func(status connector.Status) bool {
		return time.Since(status.Orgs["dingtest"].Checkpoint.HighWaterMark) < time.Minute
	})
	s.ready(i, 0)
	s.stop(i)
	s.check()
	if s.t.Failed() {
		s.t.Logf("what happened:\n%s", strings.Join(s.story, "\n"))
	}
}

func (s *storm) say(format string, args ...any) {
	s.story = append(s.story, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// draw lets one of the things happen.
func (s *storm) draw(things []func()) { things[s.chance.IntN(len(things))]() }

// pass lets time pass, up to most.
func (s *storm) pass(most time.Duration) { time.Sleep(time.Duration(s.chance.Int64N(int64(most)))) }

// clear ends whatever lasts, but for where DingTalk's clock stands.
func (s *storm) clear() {
	s.sim.Heal()
	for _, end := range s.ends {
		end()
	}
	s.ends = nil
	s.sim.Set(func(sw *dingtalktest.Switches) {
		skew := sw.Skew
		*sw = s.calm
		sw.Skew = skew
	})
}

// recovers waits until a page has come: while pauses grow hardly a call is made, and what would come next would meet none.
func (s *storm) recovers(i *instance) {
	s.t.Helper()
	s.within(90*time.Second, i, func(status connector.Status) bool { return status.Orgs["dingtest"].Trouble == "" })
}

// ready waits until the connector is, as it must be within a poll or two after a pause.
func (s *storm) ready(i *instance, pause time.Duration) {
	s.t.Helper()
	s.within(pause+3*time.Second, i, func(status connector.Status) bool { return len(status.Ready(time.Now())) == 0 })
}

func (s *storm) within(d time.Duration, i *instance, is func(connector.Status) bool) {
	s.t.Helper()
	for end := time.Now().Add(d); !is(i.runner.Status()); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s after the end: %+v\n%s", d, i.runner.Status(), strings.Join(s.story, "\n"))
		}
	}
}

// fail lets the next calls go wrong. Every fault has its turn before one comes again.
func (s *storm) fail() {
	if len(s.deck) == 0 {
		s.deck = passing()
		s.chance.Shuffle(len(s.deck), func(i, j int) { s.deck[i], s.deck[j] = s.deck[j], s.deck[i] })
	}
	f, n := s.deck[0], 1+s.chance.IntN(3)
	s.deck = s.deck[1:]
	f.On = []dingtalktest.Target{dingtalktest.DataCalls, dingtalktest.DataCalls, dingtalktest.TokenCalls, dingtalktest.AllCalls}[s.chance.IntN(4)]
	if f.On == dingtalktest.TokenCalls {
		s.sim.ExpireTokens() // so that there is such a call
	}
	s.say("%d × %s on %q", n, f.Name, f.On)
	s.sim.Fail(f, n)
}

// rain lets calls go wrong by chance for a while.
func (s *storm) rain() {
	p := 0.05 + 0.2*s.chance.Float64()
	s.say("rain %.2f", p)
	s.sim.FailAtRandom(p, passing()...)
}

// turn turns a switch for a while.
func (s *storm) turn() {
	of := s.switches[s.chance.IntN(len(s.switches))]
	c := of[s.chance.IntN(len(of))]
	if c.set == nil || c.also != nil { // nothing to turn, or something that must not change in a running connector
		return
	}
	s.say("%s", c.name)
	s.sim.Set(c.set)
}

// tokens kills the access token, for good or for a while in which it is given again.
func (s *storm) tokens() {
	if s.chance.IntN(2) == 0 {
		s.say("access token expired")
		s.sim.ExpireTokens()
		return
	}
	s.say("access token revoked")
	s.sim.RevokeToken()
	s.ends = append(s.ends, s.sim.ExpireTokens)
}

func (s *storm) forget() {
	s.say("page tokens expired")
	s.sim.ExpirePageTokens()
}

// secret is the app's, and whether it is about to be rotated.
type secret struct {
	mu   sync.Mutex
	text string
	due  bool
}

// rotate has the secret rotated when the connector next reads it, and makes it read it: a call that has read it already shall not come
// too late, since a secret that is refused costs five minutes.
func (s *storm) rotate() {
	s.say("secret rotated")
	s.secret.mu.Lock()
	s.secret.due = true
	s.secret.mu.Unlock()
	s.sim.ExpireTokens()
}

// present is the app's present secret.
func (s *storm) present() (string, error) {
	s.secret.mu.Lock()
	defer s.secret.mu.Unlock()
	if s.secret.due {
		s.secret.due = false
		s.secret.text += "-rotated"
		s.sim.SetSecret(s.secret.text)
	}
	return s.secret.text, nil
}

func (s *storm) slow() {
	d := time.Duration(50+s.chance.IntN(2000)) * time.Millisecond
	s.say("latency %s", d)
	s.sim.Set(func(sw *dingtalktest.Switches) { sw.Latency = d })
}

// set sets DingTalk's clock, and leaves it so.
func (s *storm) set() {
	d := time.Duration(s.chance.IntN(1201)-600) * time.Second
	s.say("clock ahead by %s", d)
	s.sim.Set(func(sw *dingtalktest.Switches) { sw.Skew = d })
}

func (s *storm) leaves() {
	s.say("one leaves")
	s.left(time.Now())
}

func (s *storm) bulk() {
	n := 20 + s.chance.IntN(50)
	s.say("%d leave", n)
	for range n {
		s.left(time.Now())
	}
}

func (s *storm) backdate() {
	l := person("backdated-"+strconv.Itoa(len(s.story)), time.Now().Add(-time.Duration(s.chance.Int64N(int64(20*day)))))
	l.OperatedAt = time.Now()
	s.say("%s left at %s", l.UserID, l.LeaveTime)
	s.sim.Leave(l)
}

func (s *storm) late() {
	l := person("late-"+strconv.Itoa(len(s.story)), time.Now())
	l.VisibleAt = time.Now().Add(time.Duration(s.chance.IntN(60)) * time.Second)
	s.say("%s shows at %s", l.UserID, l.VisibleAt)
	s.sim.Leave(l)
}

// vanish withdraws somebody before he shows.
func (s *storm) vanish() {
	l := person("vanishes-"+strconv.Itoa(len(s.story)), time.Now())
	l.VisibleAt = time.Now().Add(time.Hour)
	s.say("%s", l.UserID)
	s.sim.Leave(l)
	s.ends = append(s.ends, func() { s.sim.Remove(l.UserID, l.LeaveTime) })
}

func (s *storm) amend() {
	if who, at := s.published(); who != "" {
		s.say("amended: %s", who)
		s.sim.Edit(who, at, func(l *dingtalktest.Leaver) { l.LeaveReason, l.Mobile = "delete", nil })
	}
}

func (s *storm) move() {
	if who, at := s.published(); who != "" {
		s.say("moved: %s", who)
		s.sim.Edit(who, at, func(l *dingtalktest.Leaver) { l.LeaveTime = at.Add(-time.Minute) })
	}
}

func (s *storm) remove() {
	if who, at := s.published(); who != "" {
		s.say("removed: %s", who)
		s.sim.Remove(who, at)
	}
}

// published is somebody who stands on the events topic: of anybody else who is removed nobody can say whether he is owed, since a page that
// showed him may be void.
func (s *storm) published() (who string, at time.Time) {
	events, err := kafkatest.ReadCommitted(context.Background(), s.brokers, s.topics.Events, kgo.Dialer(s.dial))
	if err != nil {
		s.t.Fatal(err)
	}
	if len(events) == 0 {
		return "", time.Time{}
	}
	key := strings.TrimPrefix(string(events[s.whom.IntN(len(events))].Key), "dingtest/")
	at, err = time.Parse(time.RFC3339, key[strings.LastIndex(key, "@")+1:])
	if err != nil {
		s.t.Fatal(err)
	}
	return key[:strings.LastIndex(key, "@")], at
}

// last has every trouble once that costs minutes, among them a secret that is refused.
func (s *storm) last(i *instance) {
	troubles := map[string]time.Duration{"": 5 * time.Minute, dingtalktest.QuotaExhausted.Name: time.Hour}
	names := append([]string{""}, lasting...)
	s.chance.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		time.Sleep(10 * time.Second)
		s.say("lasting trouble: %q", name)
		s.leaves()
		pause := max(troubles[name], time.Minute)
		fault, _ := dingtalktest.FaultNamed(name)
		right, _ := s.present()
		switch {
		case name == "":
			s.sim.SetSecret("another")
			s.sim.ExpireTokens()
		case strings.HasPrefix(name, "IP block"):
			s.sim.BlockIP(fault, 5*time.Second)
			pause = 5 * time.Minute
		default:
			s.sim.Fail(fault, 1)
		}
		time.Sleep(5 * time.Second)
		if reasons := i.runner.Status().Ready(time.Now()); len(reasons) == 0 {
			s.t.Errorf("ready in spite of %q", name)
		}
		s.sim.SetSecret(right)
		s.ready(i, pause+pause/4)
	}
}

// count looks at the calls: how many, how fast, and which faults they did not meet.
func (s *storm) count() (calls int, spared []string) {
	s.t.Helper()
	all, met, wrong := s.sim.Calls(), map[string]int{}, 0
	for n, c := range all {
		if n >= 20 && c.Time.Sub(all[n-20].Time) < time.Second-time.Microsecond { // the limiter's rounding is a nanosecond
			s.t.Errorf("21 calls within %s, from %s on", c.Time.Sub(all[n-20].Time), all[n-20].Time.Format("15:04:05.000"))
		}
		switch {
		case c.Fault != "":
			met[c.Fault]++
			wrong++
		case strings.Contains(c.Code, ".Qps"):
			s.t.Errorf("throttled at %s", c.Time.Format("15:04:05.000"))
		}
	}
	for _, f := range dingtalktest.Faults() {
		if met[f.Name] == 0 {
			spared = append(spared, f.Name)
		}
	}
	s.t.Logf("%d calls, %d of them wrong in %d ways; %d things happened, %d left", len(all), wrong, len(met), len(s.story), s.staff)
	return len(all), spared
}
