package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
	"departures/schema"
)

// TestFailedProduceAbortsAll: EndTransaction would commit what is left of a transaction that lost a record.
func TestFailedProduceAbortsAll(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	cfg.Compression = "none"
	c := prepared(t, ctx, cfg)
	s, _ := opened(t, ctx, c, 0)
	if err := s.Commit(ctx, slices.Values([]Record{state(cfg, "checkpoint/corp", "1")})); err != nil {
		t.Fatal(err)
	}
	less := []kadm.AlterConfig{{Name: "max.message.bytes", Value: kadm.StringPtr("5000")}}
	if _, err := admin(t, cfg).AlterTopicConfigs(ctx, less, cfg.EventsTopic); err != nil {
		t.Fatal(err)
	}
	big := event(cfg, "corp/big@1")
	big.Value = make([]byte, 20_000)
	rand.Read(big.Value)
	probe := outsider(t, cfg, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.TransactionalID(kafkatest.Name(t, "probe")))
	eventually(t, ctx, "the broker knows the new setting", func() bool {
		if err := probe.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		err := probe.ProduceSync(ctx, &kgo.Record{Topic: cfg.EventsTopic, Value: big.Value}).FirstErr()
		if abort := probe.EndTransaction(ctx, kgo.TryAbort); abort != nil {
			t.Fatal(abort)
		}
		return errors.Is(err, kerr.MessageTooLarge)
	})
	err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1"), big, event(cfg, "corp/b@1"), state(cfg, "checkpoint/corp", "2")}))
	if !errors.Is(err, kerr.MessageTooLarge) {
		t.Fatalf("got %v", err)
	}
	if err := s.Commit(ctx, slices.Values([]Record{state(cfg, "checkpoint/corp", "3")})); err == nil {
		t.Error("the session went on after a failed commit")
	}
	s.Close()
	_, restored := opened(t, ctx, c, 0)
	if d := diff(restored, []string{"checkpoint/corp=1"}); d != "" {
		t.Error("restored:" + d)
	}
	if got := visible(t, ctx, cfg, cfg.EventsTopic); len(got) > 0 {
		t.Errorf("%q of an aborted transaction are visible", got)
	}
}

// TestProduceRefusedByTheBroker is the same for a broker that refuses one topic's records, whatever their size.
func TestProduceRefusedByTheBroker(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]*kerr.Error{
		"an invalid record": kerr.InvalidRecord,
		"a missing right":   kerr.TopicAuthorizationFailed,
		"an old epoch":      kerr.InvalidProducerEpoch,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			fake := kafkatest.Fake(t, "the refusal is injected")
			cfg := config(t, fake.ListenAddrs())
			c := prepared(t, ctx, cfg)
			s, _ := opened(t, ctx, c, 0)
			refuseProduce(fake, cfg.EventsTopic, code.Code)
			err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "checkpoint/corp", "1")}))
			if !errors.Is(err, code) && !strings.Contains(fmt.Sprint(err), code.Message) {
				t.Fatalf("got %v", err)
			}
			var refusal *Refusal
			if errors.As(err, &refusal) != (code == kerr.TopicAuthorizationFailed) {
				t.Errorf("%v: a refusal? %T", code, err)
			}
			var fenced *Fenced
			if errors.As(err, &fenced) {
				t.Errorf("nobody else is there, but: %v", err)
			}
			s.Close()
			_, restored := opened(t, ctx, c, 0)
			if len(restored) > 0 || len(visible(t, ctx, cfg, cfg.EventsTopic)) > 0 {
				t.Errorf("part of an aborted transaction is visible: state %q", restored)
			}
		})
	}
}

// refuseProduce answers every produce that has records for a topic with an error for that topic, and acknowledges the rest
// of the request as the broker would.
func refuseProduce(fake *kfake.Cluster, topic string, code int16) {
	id := fake.TopicInfo(topic).TopicID
	fake.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		req := kreq.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.Topics {
			if rt.Topic != topic && rt.TopicID != id {
				return nil, nil, false
			}
			st := kmsg.NewProduceResponseTopic()
			st.Topic, st.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				sp := kmsg.NewProduceResponseTopicPartition()
				sp.Partition, sp.ErrorCode = rp.Partition, code
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		fake.KeepControl()
		return resp, nil, true
	})
}

func TestRecordTooLarge(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	cfg.Compression = "none"
	c := prepared(t, ctx, cfg)
	limit := c.topics.Load().MaxEventBytes
	for _, more := range []int{0, 1} {
		s, _ := opened(t, ctx, c, 0)
		r := event(cfg, "corp/big@1")
		r.Value = make([]byte, limit-r.Size()+len(r.Value)+more)
		rand.Read(r.Value)
		err := s.Commit(ctx, slices.Values([]Record{r}))
		if more == 0 && err != nil {
			t.Errorf("a record of exactly the limit: %v", err)
		}
		if more == 1 && (err == nil || !strings.Contains(err.Error(), cfg.EventsTopic) || strings.Contains(err.Error(), "corp/big@1")) {
			t.Errorf("a record above the limit: %v", err)
		}
		s.Close()
	}
	s, _ := opened(t, ctx, c, 0)
	if err := s.Commit(ctx, slices.Values([]Record{{Topic: "nobody's", Key: "k"}})); err == nil {
		t.Error("a record went to a topic that is not ours")
	}
}

func TestNoKeyIsQuoted(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	for _, topic := range []string{cfg.EventsTopic, "nobody's"} {
		s, _ := opened(t, ctx, c, 0)
		err := s.Commit(ctx, slices.Values([]Record{{Topic: topic, Key: "somebody" + strings.Repeat("x", 2_000_000)}}))
		if err == nil || strings.Contains(err.Error(), "somebody") {
			t.Errorf("got %.300v", err)
		}
		s.Close()
	}
}

// TestLostAnswer cuts the network at the end of a transaction. Whether it was committed can be read from the state only.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	for _, when := range []kafkatest.When{kafkatest.NotApplied, kafkatest.Applied} {
		t.Run(when.String(), func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			var cutter kafkatest.Cutter
			cfg := config(t, kafkatest.Brokers(t))
			cfg.Dial = cutter.Dial
			c := prepared(t, ctx, cfg)
			s, _ := opened(t, ctx, c, 0)
			stopped, stop := context.WithCancel(ctx)
			cutter.OnCut(func(int16) { stop() }) // without it kgo tries for as long as endBound
			cutter.CutAt(1, when, int16(kmsg.EndTxn))
			err := s.Commit(stopped, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "checkpoint/corp", "1")}))
			if err == nil {
				t.Fatal("a commit whose answer never came succeeded")
			}
			s.Close()
			cutter.Heal()
			_, restored := opened(t, ctx, c, 0)
			var want, events []string
			if when == kafkatest.Applied {
				want, events = []string{"checkpoint/corp=1"}, []string{"corp/a@1=left"}
			}
			if d := diff(restored, want); d != "" {
				t.Error("restored:" + d)
			}
			if d := diff(visible(t, ctx, cfg, cfg.EventsTopic), events); d != "" {
				t.Error("events:" + d)
			}
		})
	}
}

// TestCutAnywhere cuts at every kind of request that a session sends, heals at once, and does the work again from the
// restored state, as the connector would: nothing is lost, nothing is there twice.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Brokers(t)
	for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.Produce, kmsg.EndTxn, kmsg.Fetch, kmsg.FindCoordinator} {
		for _, when := range []kafkatest.When{kafkatest.NotApplied, kafkatest.Applied} {
			for n := 1; n <= 3; n++ {
				t.Run(fmt.Sprintf("%s %d, %v", key.Name(), n, when), func(t *testing.T) {
					t.Parallel()
					ctx := within(t, 60*time.Second)
					var cutter kafkatest.Cutter
					cfg := config(t, brokers)
					cfg.Dial = cutter.Dial
					c := prepared(t, ctx, cfg)
					cutter.OnCut(func(int16) { cutter.Heal() })
					cutter.CutAt(n, when, int16(key))
					publish(t, ctx, c, cfg, 4)
					want := []string{"corp/0@1=left", "corp/1@1=left", "corp/2@1=left", "corp/3@1=left"}
					if d := diff(sortedStrings(visible(t, ctx, cfg, cfg.EventsTopic)), want); d != "" {
						t.Error("events:" + d)
					}
				})
			}
		}
	}
}

// publish commits n events one after the other, each with its ledger entry, opening a new session after every error.
func publish(t *testing.T, ctx context.Context, c *Cluster, cfg Config, n int) {
	t.Helper()
	for ctx.Err() == nil {
		published := map[string]bool{}
		s, err := c.Open(ctx, 0, func(key string, _ []byte) error {
			published[key] = true
			return nil
		})
		if err != nil {
			t.Logf("open: %v", err)
			continue
		}
		for i := 0; i < n && err == nil; i++ {
			key := fmt.Sprintf("corp/%d@1", i)
			if !published["published/"+key] {
				err = s.Commit(ctx, slices.Values([]Record{event(cfg, key), state(cfg, "published/"+key, "1")}))
			}
		}
		s.Close()
		if err == nil {
			return
		}
		t.Logf("commit: %v", err)
	}
}

// TestErrorsAtTheEnd: whatever an end of a transaction is answered with, the session is dead and nobody is accused.
func TestErrorsAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, code := range []*kerr.Error{
		kerr.UnknownServerError, kerr.InvalidTxnState, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping,
	} {
		t.Run(code.Message, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			fake := kafkatest.Fake(t, "the answer is injected")
			cfg := config(t, fake.ListenAddrs())
			c := prepared(t, ctx, cfg)
			s, _ := opened(t, ctx, c, 0)
			fake.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
				resp := req.ResponseKind().(*kmsg.EndTxnResponse)
				resp.ErrorCode = code.Code
				return resp, nil, true
			})
			err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "checkpoint/corp", "1")}))
			var fenced *Fenced
			var refusal *Refusal
			if !errors.Is(err, code) || errors.As(err, &fenced) || errors.As(err, &refusal) {
				t.Fatalf("got %T: %v", err, err)
			}
			returnsWithin(t, time.Second, "a commit of the dead session", func() {
				if err := s.Commit(ctx, slices.Values([]Record{state(cfg, "checkpoint/corp", "2")})); err == nil {
					t.Error("a dead session committed")
				}
			})
			s.Close()
			publish(t, ctx, c, cfg, 1)
			if d := diff(visible(t, ctx, cfg, cfg.EventsTopic), []string{"corp/0@1=left"}); d != "" {
				t.Error("events:" + d)
			}
		})
	}
}

// TestStopDuringACommit: a signal lets the transaction in progress end.
func TestStopDuringACommit(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	fake := kafkatest.Fake(t, "the signal comes while the broker works")
	cfg := config(t, fake.ListenAddrs())
	s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
	stopped, stop := context.WithCancel(ctx)
	var once sync.Once
	fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		once.Do(stop)
		return nil, nil, false
	})
	if err := s.Commit(stopped, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "checkpoint/corp", "1")})); err != nil {
		t.Errorf("got %v", err)
	}
	if stopped.Err() == nil {
		t.Error("the signal never came")
	}
	if d := diff(visible(t, ctx, cfg, cfg.EventsTopic), []string{"corp/a@1=left"}); d != "" {
		t.Error("events:" + d)
	}
}

// TestALargeCommitKeepsEveryRecordApart: there are more records than kgo buffers, and each has its own key, value and headers, although
// they share their memory with those of the commit before, and their headers with one another.
func TestALargeCommitKeepsEveryRecordApart(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
	want := map[string]string{}
	committed := 0
	for _, n := range []int{11_000, 9_000, 20, 3_000} {
		err := s.Commit(ctx, func(yield func(Record) bool) {
			var headers []schema.Header
			for i := committed; i < committed+n; i++ {
				headers = headers[:0]
				for j := range i % 8 {
					headers = append(headers, schema.Header{Key: fmt.Sprint("header ", j), Value: strings.Repeat(fmt.Sprint(i), j)})
				}
				r := Record{Topic: cfg.EventsTopic, Key: fmt.Sprintf("corp/%d@1", i), Value: fmt.Append(nil, "value of ", i), Headers: headers}
				want[r.Key] = fmt.Sprint(string(r.Value), r.Headers)
				if !yield(r) {
					t.Error("not all records were wanted")
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		committed += n
	}
	var got []*kgo.Record
	eventually(t, ctx, "every record visible", func() bool { // a real broker ends a transaction partition by partition
		var err error
		if got, err = kafkatest.ReadCommitted(ctx, cfg.Brokers, cfg.EventsTopic); err != nil {
			t.Fatal(err)
		}
		return len(got) == committed
	})
	for _, r := range got {
		var headers []schema.Header
		for _, h := range r.Headers {
			headers = append(headers, schema.Header{Key: h.Key, Value: string(h.Value)})
		}
		if seen := fmt.Sprint(string(r.Value), headers); seen != want[string(r.Key)] {
			t.Fatalf("%s is %s, want %s", r.Key, seen, want[string(r.Key)])
		}
	}
}

// TestATopicIsSeenOnceTheClientShowsIt: what was produced to a topic that the client does not show yet would be aborted with success.
func TestATopicIsSeenOnceTheClientShowsIt(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
	first := []kgo.Record{{Topic: cfg.EventsTopic, Key: []byte("corp/a@1")}}
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := s.seen(soon, first); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("nothing was produced to the topic, and yet: %v", err)
	}
	if err := s.seen(ctx, []kgo.Record{s.stateRecord("session", nil)}); err != nil {
		t.Errorf("the barrier's own topic: %v", err)
	}
	seen := make(chan error, 1)
	if err := s.cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	go func() { seen <- s.seen(ctx, first) }()
	if err := s.cl.ProduceSync(ctx, &kgo.Record{Topic: cfg.EventsTopic, Key: []byte("corp/b@1")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := <-seen; err != nil {
		t.Error(err)
	}
	if leader, _, err := s.cl.PartitionLeader(cfg.EventsTopic, 0); leader < 0 || err != nil {
		t.Errorf("leader %d: %v", leader, err)
	}
}

// TestATopicIsNotSeenWhileBrokersDoNotKnowIt: a client that was answered so shows an error, and not yet what comes after it.
func TestATopicIsNotSeenWhileBrokersDoNotKnowIt(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	fake := kafkatest.Fake(t, "the answer is injected")
	cfg := config(t, fake.ListenAddrs())
	s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
	var healed atomic.Bool
	fake.ControlKey(int16(kmsg.Metadata), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := kreq.(*kmsg.MetadataRequest)
		asked := slices.IndexFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool { return t.Topic != nil && *t.Topic == cfg.EventsTopic })
		if healed.Load() || asked < 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = &cfg.EventsTopic, kerr.UnknownTopicOrPartition.Code
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	if err := s.cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produced := make(chan error, 1)
	record := []kgo.Record{{Topic: cfg.EventsTopic, Key: []byte("corp/a@1")}}
	s.cl.Produce(ctx, &record[0], func(_ *kgo.Record, err error) { produced <- err })
	for err := error(nil); err == nil && ctx.Err() == nil; _, _, err = s.cl.PartitionLeader(cfg.EventsTopic, 0) {
		time.Sleep(time.Millisecond)
	}
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := s.seen(soon, record); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the brokers do not know the topic, and yet: %v", err)
	}
	healed.Store(true)
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	if err := s.seen(ctx, record); err != nil {
		t.Error(err)
	}
}
