package connector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
	"departures/schema"
)

// TestALongWindowOfOneOrganisationKeepsNoOtherOfTheSameAppWaiting: the other has a call that yields when the long window begins, and always one
// that does not after that.
func TestALongWindowOfOneOrganisationKeepsNoOtherOfTheSameAppWaiting(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Orgs[0].DingTalk.Rate = 5
		r.cfg.Start = connector.StartAt(time.Now().Add(-100 * 24 * time.Hour))
		sim := r.second("key")
		for k := range 20_000 { // a bulk delete: 400 pages of one window
			sim.Leave(person(fmt.Sprint(k), time.Now().Add(-100*24*time.Hour+time.Minute)))
		}
		i := r.start(nil)
		time.Sleep(30 * time.Second)
		at := time.Now()
		r.sim.Leave(person("today", at))
		time.Sleep(25 * time.Second)
		if r.lost("today", at) {
			t.Errorf("not published after 25 s; %d calls of this organisation, %d of the other", r.pages(), len(sim.Calls()))
		}
		r.stop(i)
	})
}

// slowConn takes its time for whatever is written.
type slowConn struct {
	net.Conn
	delay *atomic.Int64
}

func (c slowConn) Write(b []byte) (int, error) {
	time.Sleep(time.Duration(c.delay.Load()))
	return c.Conn.Write(b)
}

func TestAWindowWalkedWhileAHeartbeatIsCommittedCounts(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		var delay atomic.Int64
		dial := r.dial
		r.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return slowConn{c, &delay}, err
		}
		r.cfg.PollInterval, r.cfg.ReconcileInterval = time.Hour, 0
		r.sim.Set(func(s *dingtalktest.Switches) { s.Latency = 1050 * time.Millisecond }) // token and page: 2.1 s, the first heartbeat comes after 2
		i := r.start(nil)
		r.wait("session", func() bool { return r.log.contains("session open") })
		delay.Store(int64(100 * time.Millisecond))
		time.Sleep(40 * time.Second)
		if reasons := i.runner.Status().Ready(time.Now()); len(reasons) > 0 {
			t.Errorf("not ready: %q", reasons)
		}
		delay.Store(0)
		if behind := time.Since(r.checkpoint().HighWaterMark); behind > time.Minute {
			t.Errorf("the mark in Kafka is %s behind", behind)
		}
		r.stop(i)
	})
}

func TestABanIsKeptThoughALesserTroubleOfTheSameMomentCameFirst(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Orgs[0].DingTalk.Rate = 5
		r.cfg.Start = connector.StartAt(time.Now().Add(-100 * 24 * time.Hour))
		first, second := dingtalktest.Throttled, dingtalktest.IPBlockHTML403
		first.Delay, second.Delay = time.Second, 1500*time.Millisecond
		r.sim.Fail(first, 1)
		r.sim.Fail(second, 1)
		i := r.start(nil)
		time.Sleep(4 * time.Minute)
		calls := r.callsOf(dingtalktest.DataCalls)
		for _, c := range calls {
			if since := c.Time.Sub(calls[1].Time); since > second.Delay {
				t.Errorf("a call %s after the one that was answered with a ban (of %d)", since, len(calls))
				break
			}
		}
		r.stop(i)
	})
}

func TestACatchUpIsOverOnce(t *testing.T) {
	long(t)
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.sim.Set(func(s *dingtalktest.Switches) { s.Latency = 100 * time.Millisecond })
		r.cfg.Orgs[0].DingTalk.Rate = 20
		r.cfg.Overlap = 144 * time.Hour
		r.cfg.Start = connector.StartAt(time.Now().Add(-20 * 24 * time.Hour))
		for k := range 40_000 { // 2,000 a day
			r.sim.Leave(person(fmt.Sprint(k), time.Now().Add(-time.Duration(k)*43*time.Second)))
		}
		i := r.start(nil)
		time.Sleep(6 * time.Minute)
		r.stop(i)
		if n := r.log.count("caught up"); n != 1 {
			t.Errorf("said %d times that it is caught up:\n%s", n, strings.Join(r.log.lines("cau"), ""))
		}
		r.check()
	})
}

func TestADenseHistoryAndQuietDaysWasteFewCalls(t *testing.T) {
	long(t)
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		const n = 30_000
		r.sim.Set(func(s *dingtalktest.Switches) { s.Latency = 100 * time.Millisecond })
		r.cfg.Orgs[0].DingTalk.Rate = 20
		r.cfg.Start = connector.StartAt(time.Now().Add(-100 * 24 * time.Hour))
		for k := range n {
			r.sim.Leave(person(fmt.Sprint(k), time.Now().Add(-50*24*time.Hour-time.Duration(k)*5*time.Second)))
		}
		i := r.start(nil)
		time.Sleep(5 * time.Minute)
		r.stop(i)
		r.check()
		if pages := r.pages(); pages > 2*n/50 {
			t.Errorf("%d calls for %d departures", pages, n)
		}
	})
}

func TestObservedAtDoesNotGoBack(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Orgs[0].DingTalk.Rate = 5
		r.cfg.PollInterval = time.Second
		r.sim.Set(func(s *dingtalktest.Switches) { s.Latency = 300 * time.Millisecond })
		r.cfg.Start = connector.StartAt(time.Now().Add(-100 * 24 * time.Hour))
		for k := range 3000 {
			r.sim.Leave(person(fmt.Sprint(k), time.Now().Add(-time.Duration(k)*40*time.Minute)))
		}
		i := r.start(nil)
		time.Sleep(2 * time.Minute)
		r.stop(i)
		a, err := r.account()
		if err != nil {
			t.Fatal(err)
		}
		var last time.Time
		for _, s := range a.State {
			var cp schema.Checkpoint
			if string(s.Key) != schema.CheckpointKey("dingtest") || json.Unmarshal(s.Value, &cp) != nil {
				continue
			}
			if cp.ObservedAt.Before(last) {
				t.Errorf("from %s back by %s", last, last.Sub(cp.ObservedAt))
			}
			last = cp.ObservedAt
		}
	})
}
