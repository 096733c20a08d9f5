package kafka

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"departures/connector/kafka/kafkatest"
)

// TestAStrayEndOfATransaction is what Kafka's older transaction protocol cannot tell apart (KIP-890): a request that ended one
// transaction and comes once more, late, because the network or a broker had held it back, ends the next one of the same session as
// well, half written as that is. Since 4.0 every transaction has an epoch of its own, and the stray is refused.
func TestAStrayEndOfATransaction(t *testing.T) {
	t.Parallel()
	for name, brokers := range map[string]func(*testing.T) []string{
		"these brokers": func(t *testing.T) []string { return kafkatest.Brokers(t) },
		"older brokers": func(t *testing.T) []string {
			return kafkatest.Fake(t, "versions of its own", kfake.MaxVersions(kversion.V3_9_0())).ListenAddrs()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			cfg := config(t, brokers(t))
			create(t, ctx, cfg, cfg.EventsTopic, 1, nil)
			id := kafkatest.Name(t, "stray")
			cl := outsider(t, cfg, kgo.TransactionalID(id), kgo.DefaultProduceTopic(cfg.EventsTopic))
			write := func(key string) {
				t.Helper()
				if err := cl.ProduceSync(ctx, &kgo.Record{Key: []byte(key)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			begin := func() (epoch int16) {
				t.Helper()
				if err := cl.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				_, epoch, err := cl.ProducerID(ctx)
				if err != nil {
					t.Fatal(err)
				}
				return epoch
			}
			first := begin()
			write("whole")
			if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
			older := begin() == first
			write("half")

			producer, _, _ := cl.ProducerID(ctx)
			stray := kmsg.NewPtrEndTxnRequest()
			stray.TransactionalID, stray.ProducerID, stray.ProducerEpoch, stray.Commit = id, producer, first, true
			speaks := kversion.Stable()
			if older {
				speaks = kversion.V3_9_0()
			}
			resp, err := stray.RequestWith(ctx, outsider(t, cfg, kgo.MaxVersions(speaks)))
			if err != nil {
				t.Fatal(err)
			}
			seen, err := kafkatest.ReadCommitted(ctx, cfg.Brokers, cfg.EventsTopic)
			if err != nil {
				t.Fatal(err)
			}
			answer := kerr.ErrorForCode(resp.ErrorCode)
			t.Logf("older protocol: %v; the answer to the stray is %v", older, answer)
			if half := len(seen) == 2; half != older || (answer == nil) != older {
				t.Errorf("older protocol: %v; the answer to the stray is %v, and the half transaction can be read: %v", older, answer, half)
			}
		})
	}
}

// TestTheEndOfATransactionIsAskedForOnceOnOlderBrokers: there a request for it that comes late would end the next transaction. So an end
// whose answer is lost is unknown and the session dead, although a second request would be answered.
func TestTheEndOfATransactionIsAskedForOnceOnOlderBrokers(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	var cutter kafkatest.Cutter
	cfg := config(t, kafkatest.Fake(t, "versions of its own", kfake.MaxVersions(kversion.V3_9_0())).ListenAddrs())
	cfg.Dial = cutter.Dial
	c := prepared(t, ctx, cfg)
	s, _ := opened(t, ctx, c, 0)
	cutter.OnCut(func(int16) { cutter.Heal() })
	cutter.CutAt(1, kafkatest.Applied, int16(kmsg.EndTxn))
	if err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1")})); err == nil {
		t.Error("the end of a transaction was asked for twice by one epoch")
	}
}
