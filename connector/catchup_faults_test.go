package connector_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// ofWindow is a fault of the pages of one window.
func ofWindow(f dingtalktest.Fault, startTime string) dingtalktest.Fault {
	f.When = func(c dingtalktest.Call) bool { return c.Param("startTime") == startTime }
	return f
}

// askedOnce checks that of so many windows of history no page was asked for twice, but for those of one.
func (r *rig) askedOnce(windows int, but string) {
	r.t.Helper()
	times, first := map[string]int{}, map[string]bool{}
	for _, c := range r.callsOf(dingtalktest.DataCalls) {
		start := c.Param("startTime")
		if at, err := time.Parse(time.RFC3339, start); err != nil || time.Since(at) < 3*day {
			continue // the last 24 hours
		}
		first[start] = true
		if times[start+c.Param("nextToken")]++; times[start+c.Param("nextToken")] == 2 && start != but {
			r.t.Errorf("the window from %s: %s was asked for twice", start, c.Param("nextToken"))
		}
	}
	if len(first) != windows {
		r.t.Errorf("%d windows, want %d", len(first), windows)
	}
}

// callsFor are the calls for a window so far.
func (r *rig) callsFor(startTime string) (calls []dingtalktest.Call) {
	for _, c := range r.callsOf(dingtalktest.DataCalls) {
		if c.Param("startTime") == startTime {
			calls = append(calls, c)
		}
	}
	return calls
}

func TestARefusedNextTokenAheadOfItsTurnRepeatsThatWindowAlone(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.latency(100 * time.Millisecond)
		start := r.since(49 * day)
		r.crowd("p-", start.Add(time.Second), time.Now(), 49*40)
		fourth := askedFrom(start, 3)
		refused := dingtalktest.ParameterRefused
		refused.When = func(c dingtalktest.Call) bool {
			return c.Param("startTime") == fourth && strings.HasPrefix(c.Param("nextToken"), "page-")
		}
		r.sim.Fail(refused, 1)
		i := r.start(nil)
		time.Sleep(9 * time.Second)
		r.stop(i)
		r.complete()
		r.askedOnce(7, fourth)
		if n := len(r.callsFor(fourth)); n != 2+280/50+1 {
			t.Errorf("%d calls for the window, want two before and all after the refusal", n)
		}
	})
}

// TestAWindowThatFailsAheadOfItsTurnKeepsNobodyWaitingButThoseBehindIt has a first window that takes five minutes, and a fourth one that
// cannot be had meanwhile.
func TestAWindowThatFailsAheadOfItsTurnKeepsNobodyWaitingButThoseBehindIt(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		const latency = 3 * time.Second
		r.cfg.PollInterval = 10 * time.Minute
		r.latency(latency)
		start := r.since(49 * day)
		r.crowd("first-", start.Add(time.Second), start.Add(7*day), 4900)
		r.crowd("p-", start.Add(7*day+time.Minute), time.Now(), 42*20)
		fourth := askedFrom(start, 3)
		r.sim.Fail(ofWindow(dingtalktest.SystemError, fourth), 1_000_000)
		i := r.start(nil)
		time.Sleep(98*latency - time.Second) // the first window has its last page to come
		calls := r.callsFor(fourth)
		for k, least := range []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 60e9, 60e9} {
			if len(calls) < k+2 {
				t.Fatalf("%d calls", len(calls))
			}
			if pause := calls[k+1].Time.Sub(calls[k].Time) - latency; pause < least || pause > least*5/4+time.Second/10 {
				t.Errorf("asked again after %s, want %s and at most a quarter more", pause, least)
			}
		}
		if said := r.log.lines("level=WARN msg=\"DingTalk"); len(said) > 0 {
			t.Errorf("a warning, though nobody waits: %s", said)
		}
		time.Sleep(30 * time.Second)
		if mark, want := r.checkpoint().HighWaterMark, start.Add(21*day+2*time.Second); !mark.Equal(want) {
			t.Errorf("the mark stands at %s, want the end of the third window, %s", mark, want)
		}
		r.sim.Heal()
		time.Sleep(2 * time.Minute)
		r.stop(i)
		r.complete()
		r.askedOnce(7, fourth)
	})
}

// TestATroubleOfAllCallsPausesEveryWindow has eight windows under way when one call meets it.
func TestATroubleOfAllCallsPausesEveryWindow(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(r *rig)
		pause time.Duration
	}{
		"throttled":               {func(r *rig) { r.sim.Fail(dingtalktest.Throttled, 1) }, time.Second},
		"throttled for a minute":  {func(r *rig) { r.sim.Fail(dingtalktest.ThrottledForMinute, 1) }, time.Minute},
		"banned":                  {func(r *rig) { r.sim.BlockIP(dingtalktest.IPBlockHTML403, 5*time.Minute) }, 5 * time.Minute},
		"a token that stays dead": {func(r *rig) { r.sim.Fail(dingtalktest.TokenRefused, 100) }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				const latency = 200 * time.Millisecond
				r.rate(1000)
				r.latency(latency)
				start := r.since(360 * day)
				r.crowd("p-", start.Add(time.Second), time.Now(), 360*15)
				i := r.start(nil)
				time.Sleep(time.Second)
				before := len(r.sim.Calls())
				c.begin(r)
				time.Sleep(c.pause + c.pause/4 + time.Second)
				r.sim.Heal()
				r.quiet(r.sim.Calls()[before:], latency, c.pause)
				time.Sleep(time.Minute)
				r.stop(i)
				r.complete()
			})
		})
	}
}

// quiet checks that after the first call that met a trouble, as soon as that was heard of, there was none for as long as pause, and then those
// of one window alone until one was answered.
func (r *rig) quiet(calls []dingtalktest.Call, latency, pause time.Duration) {
	r.t.Helper()
	var heard time.Time
	var first *dingtalktest.Call
	for k, c := range calls {
		switch {
		case heard.IsZero() && c.Status != 200:
			heard = c.Time.Add(latency)
		case heard.IsZero() || !c.Time.After(heard):
		case c.Time.Sub(heard) < pause:
			r.t.Errorf("call %d came %s after the trouble was heard of, want %s", k, c.Time.Sub(heard), pause)
		case first == nil:
			first = &calls[k]
		case c.Time.Sub(first.Time) < latency:
			r.t.Errorf("call %d came %s after the first one, which was not answered yet", k, c.Time.Sub(first.Time))
		}
	}
	if heard.IsZero() || first == nil {
		r.t.Errorf("the trouble was heard of at %s, and the first call after it was %v", heard, first)
	}
}

// at is when each line was logged that contains what.
func (l *logbook) at(what string) (all []time.Time) {
	for _, line := range l.lines(what) {
		text, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		t, _ := time.Parse(time.RFC3339Nano, text)
		all = append(all, t)
	}
	return all
}

func TestFetchingAheadEndsWithItsSession(t *testing.T) {
	for name, end := range map[string]func(r *rig, i *instance) *instance{
		"fenced: the next session goes on": func(r *rig, i *instance) *instance {
			r.takeOver()
			return i
		},
		"stopped: the next instance goes on": func(r *rig, i *instance) *instance {
			r.stop(i)
			fmt.Fprintf(r.log, "time=%s Kafka: fenced\n", time.Now().Format(time.RFC3339Nano)) // as if
			time.Sleep(time.Minute)
			return r.start(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.rate(20)
				r.latency(200 * time.Millisecond)
				start := r.since(360 * day)
				r.crowd("p-", start.Add(time.Second), time.Now(), 360*20)
				i := r.start(nil)
				time.Sleep(5 * time.Second)
				i = end(r, i)
				time.Sleep(time.Minute)
				r.stop(i)
				r.complete()
				lost, opened := r.log.at("Kafka: fenced"), r.log.at("session open")
				if len(lost) != 1 || len(opened) != 2 {
					t.Fatalf("sessions were lost at %v and opened at %v", lost, opened)
				}
				before, after := 0, 0
				for _, c := range r.sim.Calls() {
					switch {
					case !c.Time.After(lost[0]):
						before++
					case c.Time.Before(opened[1]):
						t.Errorf("a call at %s, without a session", c.Time)
					default:
						after++
					}
				}
				if before < 60 || after < 60 {
					t.Errorf("%d calls before and %d after", before, after)
				}
			})
		})
	}
}

func TestAHistoryAtTheLimitOfWhatDingTalkShows(t *testing.T) {
	for name, c := range map[string]struct {
		since       time.Duration
		strict, gap bool
	}{
		"START 8736 hours ago, and DingTalk refuses more than 365 days": {8736 * time.Hour, true, false},
		"START 400 days ago, and DingTalk shows them all":               {400 * day, false, false},
		"START 400 days ago, and DingTalk refuses more than 365":        {400 * day, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.sim.Set(func(s *dingtalktest.Switches) { s.StrictHistory = c.strict })
				began, start := time.Now(), r.since(c.since)
				shown := start
				if c.gap {
					shown = began.Add(-364*day + 2*time.Minute)
				}
				r.crowd("p-", shown, began, 500)
				i := r.start(nil)
				time.Sleep(time.Minute)
				if r.hasGap(i, start, began) != c.gap {
					t.Errorf("gaps %v, notes %q", r.checkpoint().Gaps, i.runner.Status().Notes())
				}
				r.stop(i)
				r.complete()
			})
		})
	}
}

// hasGap is whether the checkpoint and the status name a gap, and checks that it lasts from since until 364 days before began, the minute by
// which a window is clamped, and the seconds that it took to be refused twice.
func (r *rig) hasGap(i *instance, since, began time.Time) bool {
	r.t.Helper()
	gaps, notes := r.checkpoint().Gaps, i.runner.Status().Notes()
	if len(gaps)+len(notes) == 0 {
		return false
	}
	end := began.Add(-364*day + time.Minute)
	if len(gaps) != 1 || !gaps[0].Start.Equal(since) || gaps[0].End.Before(end) || gaps[0].End.After(end.Add(5*time.Second)) {
		r.t.Errorf("gaps %v, want one from %s to %s or five seconds later", gaps, since, end)
		return true
	}
	if span := gaps[0].Start.Format(time.RFC3339) + " to " + gaps[0].End.Format(time.RFC3339); len(notes) != 1 || !strings.Contains(notes[0], span) {
		r.t.Errorf("notes %q, want %s", notes, span)
	}
	return true
}

func TestAStopOf400Days(t *testing.T) {
	long(t)
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.sim.Set(func(s *dingtalktest.Switches) { s.StrictHistory = true })
		start := r.since(10 * day)
		r.crowd("before-", start, time.Now(), 50)
		i := r.start(nil)
		time.Sleep(time.Minute)
		r.stop(i)
		mark := r.checkpoint().HighWaterMark
		time.Sleep(400 * day)
		began := time.Now()
		r.crowd("away-", began.Add(-364*day+2*time.Minute), began, 1000)
		i = r.start(nil)
		time.Sleep(time.Minute)
		if !r.hasGap(i, mark.Add(-r.cfg.Overlap), began) {
			t.Error("no gap")
		}
		r.stop(i)
		if lost, twice, extra := count(r, r.truth()...); len(lost)+len(twice)+len(extra) > 0 {
			t.Errorf("lost %v, twice %v, extra %v", lost, twice, extra)
		}
	})
}
