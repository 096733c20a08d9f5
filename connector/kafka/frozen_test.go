package kafka

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

// stopBound is what a part of the connector may take to stop on a broker that hangs; the whole has 5 s.
const stopBound = 3 * time.Second

// frozen is a prepared cluster whose network can be frozen.
func frozen(t *testing.T, ctx context.Context) (*Cluster, Config, *kafkatest.Cutter) {
	t.Helper()
	var cutter kafkatest.Cutter
	cfg := config(t, kafkatest.Brokers(t))
	cfg.Dial = cutter.Dial
	c := prepared(t, ctx, cfg)
	t.Cleanup(cutter.Heal) // lets what still hangs end
	return c, cfg, &cutter
}

// TestFrozenBroker: whatever is being done when the broker stops answering, it ends soon after its context.
func TestFrozenBroker(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(ctx context.Context, c *Cluster, cfg Config, s *Session) error{
		"prepare": func(ctx context.Context, c *Cluster, _ Config, _ *Session) error {
			_, err := c.Prepare(ctx)
			return err
		},
		"open": func(ctx context.Context, c *Cluster, _ Config, _ *Session) error {
			_, err := c.Open(ctx, 1, ignore)
			return err
		},
		"commit, and close": func(ctx context.Context, _ *Cluster, cfg Config, s *Session) error {
			err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "checkpoint/corp", "1")}))
			s.Close()
			return err
		},
		"read state": func(ctx context.Context, c *Cluster, _ Config, _ *Session) error {
			return c.ReadState(ctx, nil, func(int32, string, []byte) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 40*time.Second)
			c, cfg, cutter := frozen(t, ctx)
			s, _ := opened(t, ctx, c, 0)
			cutter.Freeze()
			stopped, stop := context.WithCancel(ctx)
			time.AfterFunc(300*time.Millisecond, stop)
			returnsWithin(t, stopBound, name, func() {
				err := do(stopped, c, cfg, s)
				var refusal *Refusal
				if err == nil || errors.As(err, &refusal) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestFrozenAtTheEnd freezes between the last produce and the end of the transaction.
func TestFrozenAtTheEnd(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	c, cfg, cutter := frozen(t, ctx)
	s, _ := opened(t, ctx, c, 0)
	stopped, stop := context.WithCancel(ctx)
	cutter.OnCut(func(int16) { // the answer to EndTxn is lost, and so is everything after it
		cutter.Heal()
		cutter.Freeze()
		stop()
	})
	cutter.CutAt(1, kafkatest.Applied, int16(kmsg.EndTxn))
	returnsWithin(t, stopBound, "commit and close", func() {
		if err := s.Commit(stopped, slices.Values([]Record{event(cfg, "corp/a@1")})); err == nil {
			t.Error("a commit without an answer succeeded")
		}
		s.Close()
	})
}

// TestFrozenDuringRestore freezes behind the barrier.
func TestFrozenDuringRestore(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	c, _, cutter := frozen(t, ctx)
	cutter.OnCut(func(int16) {
		cutter.Heal()
		cutter.Freeze()
	})
	cutter.CutAt(1, kafkatest.NotApplied, int16(kmsg.Fetch))
	stopped, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	returnsWithin(t, stopBound, "open", func() {
		if _, err := c.Open(stopped, 0, ignore); err == nil {
			t.Error("restored what could not be read")
		}
	})
}

// TestStalledRestoreOnAFrozenBroker: nobody answers, so nobody is to blame: not a refusal.
func TestStalledRestoreOnAFrozenBroker(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	c, _, cutter := frozen(t, ctx)
	c.restoreStall = 300 * time.Millisecond
	cutter.OnCut(func(int16) {
		cutter.Heal()
		cutter.Freeze()
	})
	cutter.CutAt(1, kafkatest.NotApplied, int16(kmsg.Fetch))
	_, err := c.Open(ctx, 0, ignore)
	var refusal *Refusal
	if err == nil || errors.As(err, &refusal) {
		t.Errorf("got %v", err)
	}
}

func TestFrozenGroup(t *testing.T) {
	t.Parallel()
	for name, instanceID := range map[string]string{"dynamic member": "", "static member": "pod-0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 40*time.Second)
			c, _, cutter := frozen(t, ctx)
			c.cfg.InstanceID = instanceID
			a := own(t, ctx, c, nil)
			eventually(t, ctx, "it owns everything", func() bool { return shared(a) })
			cutter.Freeze()
			returnsWithin(t, stopBound, "leaving", a.leaves)
		})
	}
	// The requests that a member sends before it is one.
	for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup} {
		t.Run("at "+key.Name(), func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 40*time.Second)
			c, _, cutter := frozen(t, ctx)
			reached := make(chan struct{})
			cutter.OnCut(func(int16) {
				cutter.Heal()
				cutter.Freeze()
				close(reached)
			})
			cutter.CutAt(1, kafkatest.Applied, int16(key))
			a := own(t, ctx, c, nil)
			if key == kmsg.LeaveGroup {
				eventually(t, ctx, "it owns everything", func() bool { return shared(a) })
				a.stop()
			}
			<-reached
			returnsWithin(t, stopBound, "leaving", a.leaves)
		})
	}
}

func TestAbsentBroker(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	c, err := New(config(t, []string{"127.0.0.1:1"}))
	if err != nil {
		t.Fatal(err)
	}
	returnsWithin(t, 2*metadataBound, "prepare", func() {
		_, err := c.Prepare(ctx)
		var refusal *Refusal
		if err == nil || errors.As(err, &refusal) {
			t.Errorf("got %v", err)
		}
	})
}
