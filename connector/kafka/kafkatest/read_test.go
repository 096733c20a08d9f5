package kafkatest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// transact writes records into a topic in one transaction and ends it, or leaves it open.
func transact(t *testing.T, ctx context.Context, cl *kgo.Client, topic string, end func() error, keys ...string) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte(key)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
}

func TestReadCommitted(t *testing.T) {
	for _, version := range []string{"new", "old"} {
		t.Run(version, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			var brokers []string
			if version == "old" {
				brokers = Fake(t, "an old version", kfake.MaxVersions(kversion.V2_8_0())).ListenAddrs()
			} else {
				brokers = Brokers(t)
			}
			cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics(), kgo.TransactionalID(Name(t, "txn")))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			topic := Name(t, "topic")
			if _, err := kadm.NewClient(cl).CreateTopic(ctx, 3, -1, nil, topic); err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range 20 {
				key := fmt.Sprintf("committed/%02d", i)
				want = append(want, key)
				transact(t, ctx, cl, topic, func() error { return cl.EndTransaction(ctx, kgo.TryCommit) }, key)
				transact(t, ctx, cl, topic, func() error { return cl.EndTransaction(ctx, kgo.TryAbort) }, "aborted")
				if i == 19 {
					transact(t, ctx, cl, topic, func() error { return nil }, "open")
				}
				records, err := ReadCommitted(ctx, brokers, topic)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, r := range records {
					got = append(got, string(r.Key))
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
		})
	}
}
