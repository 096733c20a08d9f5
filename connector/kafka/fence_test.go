package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"

	"departures/connector/kafka/kafkatest"
)

func TestOlderSessionIsFenced(t *testing.T) {
	t.Parallel()
	for name, group := range map[string]string{
		"by a newer session of the same group":     "",
		"by a second deployment, in another group": "another",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			cfg := config(t, kafkatest.Brokers(t))
			older, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
			if err := older.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "checkpoint/corp", "1")})); err != nil {
				t.Fatal(err)
			}
			cfg.Instance = "the newer one"
			if group != "" {
				cfg.Group = kafkatest.Name(t, group)
			}
			newer, restored := opened(t, ctx, prepared(t, ctx, cfg), 0)
			if d := diff(restored, []string{"checkpoint/corp=1"}); d != "" {
				t.Error("the newer session restored:" + d)
			}
			err := older.Commit(ctx, slices.Values([]Record{event(cfg, "corp/b@1"), state(cfg, "checkpoint/corp", "older")}))
			var fenced *Fenced
			if !errors.As(err, &fenced) || fenced.By.Instance != "the newer one" || fenced.Partition != 0 {
				t.Fatalf("the older session's commit: %v", err)
			}
			if !strings.Contains(err.Error(), "the newer one") {
				t.Errorf("the error does not say by whom: %v", err)
			}
			if again := older.Commit(ctx, slices.Values([]Record{event(cfg, "corp/c@1")})); again == nil {
				t.Error("a dead session committed")
			}
			if err := newer.Commit(ctx, slices.Values([]Record{state(cfg, "checkpoint/corp", "2")})); err != nil {
				t.Errorf("the newer session's commit: %v", err)
			}
			if d := diff(visible(t, ctx, cfg, cfg.EventsTopic), []string{"corp/a@1=left"}); d != "" {
				t.Error("events:" + d)
			}
			if d := diff(visibleState(t, ctx, cfg), []string{"checkpoint/corp=1", "checkpoint/corp=2"}); d != "" {
				t.Error("state:" + d)
			}
		})
	}
}

// TestFencedWhileOpening steps through Open, with another session opening in between.
func TestFencedWhileOpening(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"the fence", "the barrier"} {
		t.Run("after "+after, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			cfg := config(t, kafkatest.Brokers(t))
			c := prepared(t, ctx, cfg)
			s := &Session{cluster: c, topics: *c.topics.Load(), mark: -1, turn: make(chan struct{}, 1), closed: make(chan struct{}), known: map[string]bool{}}
			defer s.Close()
			if err := s.fence(ctx); err != nil {
				t.Fatal(err)
			}
			if after == "the barrier" {
				if err := s.raiseBarrier(ctx); err != nil {
					t.Fatal(err)
				}
			}
			cfg.Instance = "the newer one"
			opened(t, ctx, prepared(t, ctx, cfg), 0)
			err := error(nil)
			if after == "the fence" {
				err = s.raiseBarrier(ctx)
			} else {
				_, err = s.restore(ctx, ignore)
			}
			var fenced *Fenced
			if !errors.As(err, &fenced) || fenced.By.Instance != "the newer one" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestNobodyElse: a session whose barrier is there, but that never heard so, does not take itself for a newer one.
func TestNobodyElse(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
	for _, mark := range []int64{s.mark, -1} {
		s.mark = mark
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		if by, ok := s.newerSession(short); ok {
			t.Errorf("with mark %d: fenced by %+v", mark, by)
		}
		cancel()
	}
}

// TestRecreatedTopicIsNotAFirstStart: the state topic, or the events topic, is deleted and created again under a running program.
func TestRecreatedTopicIsNotAFirstStart(t *testing.T) {
	t.Parallel()
	for which, wayOut := range map[string]string{
		"state":  "begin anew with `departures state init` and START",
		"events": "bind this state to the new topic with `departures state init`: checkpoint and ledger stay",
	} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			cfg := config(t, kafkatest.Brokers(t))
			c := prepared(t, ctx, cfg)
			s, _ := opened(t, ctx, c, 0)
			if err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "checkpoint/corp", "1")})); err != nil {
				t.Fatal(err)
			}
			topic := map[string]string{"state": cfg.StateTopic, "events": cfg.EventsTopic}[which]
			adm := admin(t, cfg)
			if _, err := adm.DeleteTopics(ctx, topic); err != nil {
				t.Fatal(err)
			}
			eventually(t, ctx, "the topic is gone", func() bool {
				meta, err := adm.Metadata(uncached(ctx), topic)
				return err == nil && meta.Topics[topic].Err != nil
			})
			if _, err := c.Open(ctx, 0, ignore); err == nil {
				t.Error("a session was opened over a topic that is gone")
			}
			create(t, ctx, cfg, topic, 12, map[string]string{"cleanup.policy": "compact"})
			_, epoch, _ := s.cl.ProducerID(ctx) // of the next transaction
			err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/b@1"), state(cfg, "checkpoint/corp", "2")}))
			if err == nil && epoch != s.own.Epoch { // in the older protocol topics have no ids, so a new one is noticed with the next session
				t.Error("the running session went on")
			}
			_, err = c.Open(ctx, 0, ignore)
			refusedFor(t, err, topic, "created again", wayOut)
		})
	}
}

// TestOldProtocol: transactions of version 1, without the broker's own guard against late produces.
func TestOldProtocol(t *testing.T) {
	t.Parallel()
	for name, versions := range map[string]*kversion.Versions{"2.4": kversion.V2_4_0(), "2.8": kversion.V2_8_0(), "3.9": kversion.V3_9_0()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			fake := kafkatest.Fake(t, "old versions", kfake.MaxVersions(versions))
			cfg := config(t, fake.ListenAddrs())
			c := prepared(t, ctx, cfg)
			older, _ := opened(t, ctx, c, 0)
			if err := older.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "checkpoint/corp", "1")})); err != nil {
				t.Fatal(err)
			}
			newer, restored := opened(t, ctx, prepared(t, ctx, cfg), 0)
			if d := diff(restored, []string{"checkpoint/corp=1"}); d != "" {
				t.Error("restored:" + d)
			}
			var fenced *Fenced
			if err := older.Commit(ctx, slices.Values([]Record{event(cfg, "corp/b@1")})); !errors.As(err, &fenced) {
				t.Errorf("the older session: %v", err)
			}
			if err := newer.Commit(ctx, slices.Values([]Record{event(cfg, "corp/c@1")})); err != nil {
				t.Error(err)
			}
			if d := diff(sortedStrings(visible(t, ctx, cfg, cfg.EventsTopic)), []string{"corp/a@1=left", "corp/c@1=left"}); d != "" {
				t.Error("events:" + d)
			}
		})
	}
}
