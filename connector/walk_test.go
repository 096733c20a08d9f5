package connector_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
	"departures/schema"
)

// onSimulatedTime runs f with a rig on an in-memory network and a clock that jumps ahead whenever everybody waits, so that pauses
// of minutes cost nothing and can be measured to the second. The clock begins at midnight UTC, 2000-01-01.
func onSimulatedTime(t *testing.T, f func(t *testing.T, r *rig)) {
	if kafkatest.Real() {
		t.Skip("simulated time needs the embedded broker")
	}
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		cluster, err := kafkatest.Start(kfake.ListenFn(network.Listen), kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "86400000"}))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		r := newRig(t, cluster.ListenAddrs())
		r.dial = network.DialContext
		r.cfg.PollInterval = 10 * time.Second
		r.cfg.Kafka.Heartbeat = 12 * time.Second // most of a simulated month is heartbeats
		f(t, r)
	})
}

// checkpoint is the newest committed checkpoint.
func (r *rig) checkpoint() schema.Checkpoint {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	var cp schema.Checkpoint
	for _, s := range a.State {
		if string(s.Key) != "checkpoint/dingtest" {
			continue
		}
		if err := json.Unmarshal(s.Value, &cp); err != nil {
			r.t.Fatal(err)
		}
	}
	return cp
}

// callsOf are the calls of one kind so far, oldest first.
func (r *rig) callsOf(target dingtalktest.Target) []dingtalktest.Call {
	return slices.DeleteFunc(r.sim.Calls(), func(c dingtalktest.Call) bool {
		return strings.HasSuffix(c.Path, "/empLeaveRecords") != (target == dingtalktest.DataCalls)
	})
}

// pages counts the data calls so far.
func (r *rig) pages() int { return len(r.callsOf(dingtalktest.DataCalls)) }

func TestAWindowWithTooManyRecordsIsCutAndPublishedWhole(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		for i := range 12_000 {
			r.sim.Leave(person(fmt.Sprintf("p%d", i), time.Now().Add(-time.Duration(i)*200*time.Millisecond)))
		}
		i := r.start(nil)
		time.Sleep(5 * time.Second) // less than a poll interval: one walk
		r.stop(i)
		r.check()
		if n := r.pages(); n > 4*12_000/50 {
			t.Errorf("%d calls for 12,000 departures", n)
		}
		if mark := r.checkpoint().HighWaterMark; time.Since(mark) > time.Minute {
			t.Errorf("the mark stands at %s, now is %s", mark, time.Now())
		}
	})
}

func TestABulkDeleteInOneSecondIsTakenWhole(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.leave(30, "others")
		for i := range 6000 {
			r.sim.Leave(person(fmt.Sprintf("bulk%d", i), time.Now().Add(-time.Minute)))
		}
		i := r.start(nil)
		time.Sleep(5 * time.Second)
		r.stop(i)
		r.check()
		if n := r.pages(); n > 3*6030/50 {
			t.Errorf("%d calls for 6,030 departures", n)
		}
	})
}

func TestHistoryThatDingTalkRefusesIsAGap(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		start := time.Now().Add(-400 * 24 * time.Hour)
		r.cfg.Start = connector.StartAt(start)
		r.sim.Set(func(s *dingtalktest.Switches) { s.StrictHistory = true })
		r.sim.Leave(person("recent", time.Now().Add(-100*24*time.Hour)), person("within", time.Now().Add(-363*24*time.Hour)))
		i := r.start(nil)
		time.Sleep(5 * time.Minute)
		r.stop(i)
		r.check()
		cp := r.checkpoint()
		if len(cp.Gaps) != 1 || !cp.Gaps[0].Start.Equal(start.Truncate(time.Second)) || time.Since(cp.Gaps[0].End) > 364*24*time.Hour+10*time.Minute {
			t.Errorf("gaps are %+v", cp.Gaps)
		}
		if !r.log.contains("gap: DingTalk refused to show") {
			t.Error("the gap was not said")
		}
	})
}

func TestWindowsWithoutAnEnd(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Start = connector.StartAt(time.Now().Add(-100 * 24 * time.Hour))
		r.cfg.Orgs[0].DingTalk.EndTime = false
		r.sim.Set(func(s *dingtalktest.Switches) { s.RefuseEndTime = true })
		for i := range 6000 {
			r.sim.Leave(person(fmt.Sprintf("p%d", i), time.Now().Add(-time.Duration(i)*time.Minute)))
		}
		i := r.start(nil)
		time.Sleep(time.Minute)
		r.stop(i)
		r.check()
	})
}

func TestADepartureThatShowsLateIsPublishedLate(t *testing.T) {
	for name, late := range map[string]time.Duration{
		"within the overlap, by the next poll":      20 * time.Hour,
		"beyond the overlap, by the reconcile walk": 3 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.cfg.Start = connector.StartAt(time.Now().Add(-60 * 24 * time.Hour))
				r.cfg.PollInterval = 10 * time.Minute
				l := person("late", time.Now())
				l.VisibleAt = time.Now().Add(late)
				r.sim.Leave(l)
				i := r.start(nil)
				time.Sleep(late - time.Second)
				if lost, _, _ := count(r, departure("late", l.LeaveTime)); len(lost) == 0 {
					t.Error("published before it was shown")
				}
				time.Sleep(time.Hour + time.Minute)
				r.stop(i)
				r.check()
			})
		})
	}
}

func count(r *rig, shown ...promisetest.Departure) (lost, twice, extra []string) {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	return a.Count("dingtest", shown)
}

func TestSTARTDoesNotSlideWhileDingTalkIsDown(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Start = connector.StartNow
		r.sim.Fail(dingtalktest.SystemError.Against(dingtalktest.AllCalls), 1_000_000)
		i := r.start(nil)
		time.Sleep(time.Second)
		left := time.Now()
		r.leave(1, "while-down")
		time.Sleep(500 * time.Millisecond) // before any heartbeat: only the first act has committed anything
		r.stop(i)
		time.Sleep(time.Hour)
		r.sim.Heal()
		i = r.start(nil)
		time.Sleep(time.Minute)
		r.stop(i)
		lost, twice, extra := count(r, departure("while-down-0", left))
		if len(lost)+len(twice)+len(extra) > 0 {
			t.Errorf("lost %v, twice %v, extra %v\n%s", lost, twice, extra, r.log.tail())
		}
	})
}

func TestAServerWhoseClockIsBehind(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.sim.Set(func(s *dingtalktest.Switches) { s.Skew = -10 * time.Minute; s.RefuseFutureEndTime = true })
		r.leave(1, "early")
		i := r.start(nil)
		time.Sleep(5 * time.Minute)
		if mark := r.checkpoint().HighWaterMark; time.Since(mark) < 10*time.Minute {
			t.Errorf("the mark %s is beyond DingTalk's now", mark)
		}
		if !r.log.contains("clock and this host's are apart") {
			t.Error("nothing was said of the clocks")
		}
		time.Sleep(10 * time.Minute)
		r.stop(i)
		r.check()
	})
}
