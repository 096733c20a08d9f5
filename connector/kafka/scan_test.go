package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/kafka/kafkatest"
)

func TestReadState(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	for _, p := range []int32{0, 3, 11} {
		s, _ := opened(t, ctx, c, p)
		r := state(cfg, "checkpoint/corp", fmt.Sprint(p))
		if err := s.Commit(ctx, slices.Values([]Record{r, {Topic: cfg.StateTopic, Key: "published/corp/a"}})); err != nil {
			t.Fatal(err)
		}
	}
	// What is open is not waited for, and what is aborted not shown.
	foreign := outsider(t, cfg, kgo.TransactionalID(kafkatest.Name(t, "foreign")), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, end := range []func() error{func() error { return foreign.EndTransaction(ctx, kgo.TryAbort) }, func() error { return nil }} {
		if err := foreign.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := foreign.ProduceSync(ctx, &kgo.Record{Topic: cfg.StateTopic, Partition: 3, Key: []byte("checkpoint/never")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	read := func(partitions []int32) (seen []string) {
		t.Helper()
		reader, err := New(cfg) // no Prepare
		if err != nil {
			t.Fatal(err)
		}
		err = reader.ReadState(ctx, partitions, func(p int32, key string, value []byte) error {
			if strings.Contains(key, "/") {
				seen = append(seen, fmt.Sprintf("%02d %s", p, keyValue(key, value)))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return sortedStrings(seen)
	}
	began := time.Now()
	want := []string{
		"00 checkpoint/corp=0", "00 published/corp/a deleted", "03 checkpoint/corp=3", "03 published/corp/a deleted",
		"11 checkpoint/corp=11", "11 published/corp/a deleted",
	}
	if d := diff(read(nil), want); d != "" {
		t.Error("all partitions:" + d)
	}
	if d := diff(read([]int32{3, 5}), want[2:4]); d != "" {
		t.Error("partitions 3 and 5:" + d)
	}
	if took := time.Since(began); took > scanStall && !kafkatest.Real() {
		t.Errorf("reading twice took %v: a control record at the end was waited for", took)
	}
	enough := errors.New("enough")
	if err := c.ReadState(ctx, nil, func(int32, string, []byte) error { return enough }); err != enough {
		t.Errorf("the caller's error came back as %v", err)
	}
	if err := c.ReadState(ctx, []int32{99}, nil); err == nil {
		t.Error("a partition that is not there was read")
	}
}

func TestReadStateOfNothing(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	refusedFor(t, c.ReadState(ctx, nil, nil), cfg.StateTopic, "STATE_TOPIC")
}

// TestScanPastTheLastRecord: compaction may have removed what stood before the committed end. A broker that answers and has
// nothing more is the end; one that does not answer is not.
func TestScanPastTheLastRecord(t *testing.T) {
	t.Parallel()
	for _, frozen := range []bool{false, true} {
		t.Run(fmt.Sprintf("frozen %v", frozen), func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 20*time.Second)
			var cutter kafkatest.Cutter
			cfg := config(t, kafkatest.Brokers(t))
			cfg.Dial = cutter.Dial
			c := prepared(t, ctx, cfg)
			opened(t, ctx, c, 0)
			asker, err := c.client()
			if err != nil {
				t.Fatal(err)
			}
			defer asker.close()
			n := 0
			err = c.scanTo(ctx, asker, map[int32]int64{0: 1000}, func(*kgo.Record) (bool, error) {
				if n++; frozen {
					cutter.Freeze()
				}
				return true, nil
			})
			cutter.Heal()
			if n != 2 || (err != nil) != frozen {
				t.Errorf("%d records, %v", n, err)
			}
		})
	}
}

// TestScanAsksTheLeader: of several brokers, the one that leads the partition must have answered.
func TestScanAsksTheLeader(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	meta, err := admin(t, cfg).Metadata(ctx, cfg.StateTopic)
	if err != nil {
		t.Fatal(err)
	}
	leader := meta.Topics[cfg.StateTopic].Partitions[0].Leader
	for node, left := range map[int32]bool{leader: false, leader + 100: true} {
		asker, err := c.client()
		if err != nil {
			t.Fatal(err)
		}
		err = c.nothingLeft(ctx, asker, map[int32]int64{0: 1}, &fetchAnswers{since: map[int32]int{node: 2}})
		asker.close()
		if (err != nil) != left {
			t.Errorf("broker %d answered, %d leads: %v", node, leader, err)
		}
	}
}

// TestCompactionHoles: kfake compacts the end of a log as well, markers and all.
func TestCompactionHoles(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	fake := kafkatest.Fake(t, "compaction at a chosen moment", kfake.BrokerConfigs(nil))
	cfg := config(t, fake.ListenAddrs())
	c := prepared(t, ctx, cfg)
	for round := range 5 {
		s, restored := opened(t, ctx, c, 0)
		if round > 0 {
			if d := diff(restored[len(restored)-1:], []string{fmt.Sprintf("checkpoint/corp=%d", 10*round-1)}); d != "" {
				t.Error("restored:" + d)
			}
		}
		for i := range 10 {
			if err := s.Commit(ctx, slices.Values([]Record{state(cfg, "checkpoint/corp", fmt.Sprint(10*round+i))})); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		fake.Compact()
		var last string
		err := c.ReadState(ctx, nil, func(_ int32, key string, value []byte) error {
			if key == "checkpoint/corp" {
				last = string(value)
			}
			return nil
		})
		if want := fmt.Sprint(10*round + 9); err != nil || last != want {
			t.Errorf("read %s, want %s (%v)", last, want, err)
		}
		if _, err := preparedBy(t, ctx, cfg); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
}
