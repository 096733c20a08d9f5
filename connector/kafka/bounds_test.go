package kafka

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

// TestAnEndThatIsNeverAnswered: a commit gives up by itself, without anybody's signal.
func TestAnEndThatIsNeverAnswered(t *testing.T) {
	t.Parallel()
	ctx := within(t, 60*time.Second)
	c, cfg, cutter := frozen(t, ctx)
	s, _ := opened(t, ctx, c, 0)
	cutter.OnCut(func(int16) {
		cutter.Heal()
		cutter.Freeze()
	})
	cutter.CutAt(1, kafkatest.Applied, int16(kmsg.EndTxn))
	returnsWithin(t, endBound+stopBound, "commit", func() {
		if err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1")})); err == nil {
			t.Error("a commit without an answer succeeded")
		}
	})
}

// TestAHandOverIsBounded: work that does not stop does not keep the partitions from another instance.
func TestAHandOverIsBounded(t *testing.T) {
	t.Parallel()
	ctx := within(t, 40*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	stuck := make(chan struct{})
	a := own(t, ctx, c, func(owned []int32) {
		if len(owned) < 12 {
			<-stuck
		}
	})
	t.Cleanup(func() { close(stuck) }) // before the owner is waited for
	eventually(t, ctx, "one instance owns everything", func() bool { return len(a.has()) == 12 })
	b := own(t, ctx, c, nil)
	began := time.Now()
	eventually(t, ctx, "the other has its share", func() bool { return len(b.has()) == 6 })
	if took := time.Since(began); took > handOverBound+3*time.Second {
		t.Errorf("that took %v", took)
	}
}

// TestMembersFetchNothing: the group is used for the assignment alone.
func TestMembersFetchNothing(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	fake := kafkatest.Fake(t, "what is asked for is counted")
	cfg := config(t, fake.ListenAddrs())
	c := prepared(t, ctx, cfg)
	var fetches atomic.Int64
	fake.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		fetches.Add(1)
		return nil, nil, false
	})
	a := own(t, ctx, c, nil)
	eventually(t, ctx, "it owns everything", func() bool { return slices.Equal(a.has(), all12) })
	time.Sleep(time.Second)
	if n := fetches.Load(); n > 0 {
		t.Errorf("%d fetches", n)
	}
}

// TestAStaticMemberStaysAway: it closes before it leaves; in the other order it would hear of it and join again.
func TestAStaticMemberStaysAway(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	fake := kafkatest.Fake(t, "an answer is held back")
	cfg := config(t, fake.ListenAddrs())
	cfg.InstanceID, cfg.Heartbeat = "pod-0", 10*time.Millisecond
	a := own(t, ctx, prepared(t, ctx, cfg), nil)
	eventually(t, ctx, "it owns everything", func() bool { return shared(a) })
	var left, after atomic.Int64
	fake.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		switch kmsg.Key(r.Key()) {
		case kmsg.LeaveGroup:
			left.Add(1)
		case kmsg.Heartbeat, kmsg.JoinGroup:
			if left.Load() > 0 {
				after.Add(1)
			}
		}
		return nil, nil, false
	})
	// The answer to the leave takes long enough for a member that is still there to be seen.
	fake.ControlKey(int16(kmsg.LeaveGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		left.Add(1)
		fake.SleepControl(func() { time.Sleep(200 * time.Millisecond) })
		return nil, nil, false
	})
	a.leaves()
	if left.Load() == 0 || after.Load() > 0 {
		t.Errorf("%d goodbyes, %d requests of the member after it", left.Load(), after.Load())
	}
}
