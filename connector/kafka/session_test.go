package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/kafka/kafkatest"
	"departures/schema"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	s, restored := opened(t, ctx, c, 3)
	if len(restored) > 0 {
		t.Errorf("a new state restored %q", restored)
	}
	first := []Record{event(cfg, "corp/anna@2024-01-01T00:00:00Z"), state(cfg, "published/corp/anna", "1"), state(cfg, "checkpoint/corp", "a")}
	if err := s.Commit(ctx, slices.Values(first)); err != nil {
		t.Fatal(err)
	}
	second := []Record{state(cfg, "checkpoint/corp", "b"), {Topic: cfg.StateTopic, Key: "published/corp/anna"}}
	if err := s.Commit(ctx, slices.Values(second)); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx, slices.Values([]Record(nil))); err != nil {
		t.Errorf("a commit of nothing: %v", err)
	}
	s.Close()
	s.Close()
	if err := s.Commit(ctx, slices.Values(second)); err == nil {
		t.Error("a closed session committed")
	}
	_, restored = opened(t, ctx, c, 3)
	want := []string{"published/corp/anna=1", "checkpoint/corp=a", "checkpoint/corp=b", "published/corp/anna deleted"}
	if d := diff(restored, want); d != "" {
		t.Error("restored:" + d)
	}
	if d := diff(visible(t, ctx, cfg, cfg.EventsTopic), []string{"corp/anna@2024-01-01T00:00:00Z=left"}); d != "" {
		t.Error("events:" + d)
	}
	checkRecords(t, ctx, cfg)
}

// checkRecords looks at what a reader sees beside keys and values: partition, headers and time.
func checkRecords(t *testing.T, ctx context.Context, cfg Config) {
	t.Helper()
	records, err := kafkatest.ReadCommitted(ctx, cfg.Brokers, cfg.EventsTopic)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		want := int32(javaDefault.Partition(&kgo.Record{Key: schema.PartitionKey(r.Key)}, 12))
		if r.Partition != want {
			t.Errorf("%s is in partition %d, want %d", r.Key, r.Partition, want)
		}
		if len(r.Headers) != 1 || r.Headers[0].Key != "ce_id" || string(r.Headers[0].Value) != string(r.Key) {
			t.Errorf("%s has headers %v", r.Key, r.Headers)
		}
		if age := time.Since(r.Timestamp); age < 0 || age > time.Minute {
			t.Errorf("%s has the time %v", r.Key, r.Timestamp)
		}
	}
	states, err := kafkatest.ReadCommitted(ctx, cfg.Brokers, cfg.StateTopic)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range states {
		if r.Partition != 3 {
			t.Errorf("%s is in state partition %d, the session's is 3", r.Key, r.Partition)
		}
	}
}

// TestRestoreIsWhatWasCommitted lays before the barrier what takes offsets without being part of the state.
func TestRestoreIsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	owner := func() *kgo.Client { // an older instance: the same transactional id
		return outsider(t, cfg, kgo.TransactionalID(cfg.StateTopic+"-5"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	produce := func(cl *kgo.Client, keys ...string) {
		t.Helper()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			r := &kgo.Record{Topic: cfg.StateTopic, Partition: 5, Key: []byte(key), Value: []byte("v")}
			if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	end := func(cl *kgo.Client, commit kgo.TransactionEndTry) {
		t.Helper()
		if err := cl.EndTransaction(ctx, commit); err != nil {
			t.Fatal(err)
		}
	}
	older := owner()
	produce(older, "committed/1", "committed/2")
	end(older, kgo.TryCommit)
	for i := range 5 {
		produce(older, "aborted/"+strconv.Itoa(i))
		end(older, kgo.TryAbort)
	}
	produce(older, "committed/3")
	end(older, kgo.TryCommit)
	produce(older, "open/1", "open/2") // killed here

	want := []string{"committed/1=v", "committed/2=v", "committed/3=v"}
	for range 3 { // each session leaves a barrier of its own
		s, restored := opened(t, ctx, c, 5)
		if d := diff(restored, want); d != "" {
			t.Error("restored:" + d)
		}
		s.Close()
	}
	produce(owner(), "open/3") // the last thing in the partition
	_, restored := opened(t, ctx, c, 5)
	if d := diff(restored, want); d != "" {
		t.Error("restored:" + d)
	}
}

func TestRestoreErrorComesBackAsItIs(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	s, _ := opened(t, ctx, c, 0)
	if err := s.Commit(ctx, slices.Values([]Record{state(cfg, "checkpoint/corp", "1")})); err != nil {
		t.Fatal(err)
	}
	unreadable := errors.New("unreadable")
	if _, err := c.Open(ctx, 0, func(string, []byte) error { return unreadable }); err != unreadable {
		t.Errorf("got %v", err)
	}
}

// TestForeignTransactionStallsRestore: nothing can be read past an open transaction of somebody else, and no fence of ours ends it.
func TestForeignTransactionStallsRestore(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	id := cfg.StateTopic + "-somebody-else" // with the prefix of those that the connector may see
	foreign := outsider(t, cfg, kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := foreign.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := foreign.ProduceSync(ctx, &kgo.Record{Topic: cfg.StateTopic, Partition: 2, Key: []byte("k")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.restoreStall = 500 * time.Millisecond
	_, err := c.Open(ctx, 2, ignore)
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v", err)
	}
	for _, word := range []string{"last stable offset 0", "high watermark 3", cfg.StateTopic, id} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the refusal does not say %q: %v", word, err)
		}
	}
	if err := foreign.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	opened(t, ctx, c, 2)
}

func TestCommitsOfManyCallers(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
	var wg sync.WaitGroup
	for caller := range 6 {
		wg.Go(func() {
			for i := range 5 {
				key := fmt.Sprintf("corp/%d-%d", caller, i)
				if err := s.Commit(ctx, slices.Values([]Record{event(cfg, key+"@1"), state(cfg, "published/"+key, "1")})); err != nil {
					t.Errorf("%s: %v", key, err)
				}
			}
		})
	}
	wg.Wait()
	if n, m := len(visible(t, ctx, cfg, cfg.EventsTopic)), len(visibleState(t, ctx, cfg)); n != 30 || m != 30 {
		t.Errorf("%d events and %d state records, want 30 of each", n, m)
	}
}

func TestWaitingForATurnEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
	<-s.turn // another caller's commit is in progress
	short, cancel := context.WithCancel(ctx)
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := s.Commit(short, slices.Values([]Record{state(cfg, "k", "v")})); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.turn <- struct{}{}
	if err := s.Commit(short, slices.Values([]Record{state(cfg, "k", "v")})); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := s.Commit(ctx, slices.Values([]Record{state(cfg, "k", "v")})); err != nil {
		t.Errorf("the session did not survive somebody else's cancellation: %v", err)
	}
}

func TestOpenBeforePrepare(t *testing.T) {
	c, err := New(config(t, []string{"127.0.0.1:1"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), 0, ignore); err == nil {
		t.Error("a session was opened over topics that nobody looked at")
	}
	for _, err := range c.Assigned(t.Context()) {
		if err == nil {
			t.Error("partitions were assigned before their number is known")
		}
	}
}

func TestOpenOfAPartitionThatIsNotThere(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	c := prepared(t, ctx, config(t, kafkatest.Brokers(t)))
	for _, p := range []int32{-1, 12} {
		if _, err := c.Open(ctx, p, ignore); err == nil {
			t.Errorf("partition %d was opened", p)
		}
	}
}
