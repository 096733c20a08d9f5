package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// scanStall is how long a scan may get nothing before it asks itself whether there is anything left: compaction may have
// removed the very record before the committed end.
const scanStall = 3 * time.Second

// ReadState gives every committed record of the state partitions (nil: all of the topic) to each, in log order within a
// partition, session and meta records too, up to the committed end at the call. It writes nothing, fences nobody, and does
// not need Prepare. An error of each ends it and is returned as it is.
func (c *Cluster) ReadState(ctx context.Context, partitions []int32, each func(partition int32, key string, value []byte) error) error {
	return c.scan(ctx, partitions, func(r *kgo.Record) (bool, error) {
		return true, each(r.Partition, string(r.Key), r.Value)
	})
}

// scan reads state partitions (nil: all) from their start to the committed end at the call. each says whether it wants
// more of the record's partition.
func (c *Cluster) scan(ctx context.Context, partitions []int32, each func(*kgo.Record) (more bool, err error)) error {
	asker, err := c.client()
	if err != nil {
		return err
	}
	defer asker.close()
	defer asker.bind(ctx)()
	ends, err := c.committedEnds(ctx, kadm.NewClient(asker.Client), partitions)
	if err != nil {
		return c.failed("read topic "+c.cfg.StateTopic, err)
	}
	return c.scanTo(ctx, asker, ends, each)
}

// scanTo reads partitions from their start to the offsets in ends, which it empties.
func (c *Cluster) scanTo(ctx context.Context, asker *client, ends map[int32]int64, each func(*kgo.Record) (more bool, err error)) error {
	if len(ends) == 0 {
		return nil
	}
	attempt := "read topic " + c.cfg.StateTopic
	from := map[int32]kgo.Offset{}
	for p := range ends {
		from[p] = kgo.NewOffset().AtStart()
	}
	answers := &fetchAnswers{since: map[int32]int{}}
	// Control records are kept: the last offset before the committed end usually is one.
	cl, err := c.reader(from, kgo.KeepControlRecords(), kgo.WithHooks(answers))
	if err != nil {
		return err
	}
	defer cl.close()
	for len(ends) > 0 {
		records, err := c.poll(ctx, cl, scanStall)
		if err == nil && len(records) == 0 {
			if err = c.nothingLeft(ctx, asker, ends, answers); err == nil {
				return nil
			}
		}
		if err != nil {
			return c.failed(attempt, err)
		}
		answers.reset()
		for _, r := range records {
			if err := deliver(r, ends, each); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliver gives a record to each if its partition is still wanted up to there, and drops the partition from ends when it is
// not any longer.
func deliver(r *kgo.Record, ends map[int32]int64, each func(*kgo.Record) (more bool, err error)) error {
	end, wanted := ends[r.Partition]
	if !wanted {
		return nil
	}
	more := true
	if !r.Attrs.IsControl() && r.Offset < end {
		var err error
		if more, err = each(r); err != nil {
			return err
		}
	}
	if !more || r.Offset+1 >= end {
		delete(ends, r.Partition)
	}
	return nil
}

// committedEnds is the last stable offset of every partition that is not empty.
func (c *Cluster) committedEnds(ctx context.Context, adm *kadm.Client, partitions []int32) (map[int32]int64, error) {
	starts, err := adm.ListStartOffsets(ctx, c.cfg.StateTopic)
	if err != nil {
		return nil, err
	}
	stable, err := adm.ListCommittedOffsets(ctx, c.cfg.StateTopic)
	if err != nil {
		return nil, err
	}
	if none := stable[c.cfg.StateTopic][-1].Err; errors.Is(none, kerr.UnknownTopicOrPartition) { // so kadm says it of a whole topic
		return nil, refuse("topic %s does not exist: correct STATE_TOPIC", c.cfg.StateTopic)
	}
	if err := errors.Join(starts.Error(), stable.Error()); err != nil {
		return nil, err
	}
	if partitions == nil {
		for p := range stable[c.cfg.StateTopic] {
			partitions = append(partitions, p)
		}
	}
	ends := map[int32]int64{}
	for _, p := range partitions {
		end, ok := stable.Lookup(c.cfg.StateTopic, p)
		if !ok {
			return nil, fmt.Errorf("there is no partition %d", p)
		}
		if starts[c.cfg.StateTopic][p].Offset < end.Offset {
			ends[p] = end.Offset
		}
	}
	return ends, nil
}

// nothingLeft says whether a scan that gets nothing more is complete: the leader of every partition left has answered
// fetches meanwhile, so what lies before the committed end was compacted away.
func (c *Cluster) nothingLeft(ctx context.Context, asker *client, ends map[int32]int64, answers *fetchAnswers) error {
	if answers.none() {
		return fmt.Errorf("no broker has answered for %v", scanStall)
	}
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	defer asker.bind(ctx)()
	meta, err := kadm.NewClient(asker.Client).Metadata(ctx, c.cfg.StateTopic)
	if err != nil {
		return err
	}
	for p := range ends {
		leader := meta.Topics[c.cfg.StateTopic].Partitions[p].Leader
		if answers.of(leader) < 2 { // one may have been on its way before
			return fmt.Errorf("partition %d: broker %d has not answered for %v", p, leader, scanStall)
		}
	}
	return nil
}

// fetchAnswers counts the fetches that each broker answered since the last record.
type fetchAnswers struct {
	mu    sync.Mutex
	since map[int32]int // by node id
}

// OnBrokerRead is kgo's hook for every answer.
func (f *fetchAnswers) OnBrokerRead(broker kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key != int16(kmsg.Fetch) || err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since[broker.NodeID]++
}

func (f *fetchAnswers) of(node int32) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since[node]
}

func (f *fetchAnswers) none() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.since) == 0
}

func (f *fetchAnswers) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.since)
}
