package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readStall ends a read that gets nothing any more: compaction may have removed the last record before the committed end.
const readStall = 2 * time.Second

// settlePause lies between two looks at a transaction that is being ended, which takes a broker some milliseconds.
const settlePause = 5 * time.Millisecond

// ReadCommitted is everything committed in a topic at the moment of the call, from the start, by a plain client that shares
// nothing with the connector. The records are ordered by partition, then offset; tombstones are among them.
//
// A real broker acknowledges a commit before readers can see it, so transactions that are just being ended are waited for;
// open ones are not.
func ReadCommitted(ctx context.Context, brokers []string, topic string, opts ...kgo.Opt) ([]*kgo.Record, error) {
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(OpenSide(brokers)...),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords(),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	if err := settle(ctx, kadm.NewClient(cl), topic); err != nil {
		return nil, err
	}
	ends, err := unread(ctx, kadm.NewClient(cl), topic)
	if err != nil || len(ends) == 0 {
		return nil, err
	}
	from := map[int32]kgo.Offset{}
	for p := range ends {
		from[p] = kgo.NewOffset().AtStart()
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	var all []*kgo.Record
	for len(ends) > 0 {
		wait, cancel := context.WithTimeout(ctx, readStall)
		fetches := cl.PollFetches(wait)
		stalled := wait.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if stalled && fetches.NumRecords() == 0 {
			_, err := unread(ctx, kadm.NewClient(cl), topic) // the broker answers: there is nothing more
			return sorted(all), err
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return nil, fmt.Errorf("read %s/%d: %w", topic, e.Partition, e.Err)
			}
		}
		for _, r := range fetches.Records() {
			end, wanted := ends[r.Partition]
			if wanted && r.Offset < end && !r.Attrs.IsControl() {
				all = append(all, r)
			}
			if wanted && r.Offset+1 >= end {
				delete(ends, r.Partition)
			}
		}
	}
	return sorted(all), nil
}

// ReadAttempts is ReadCommitted with what was written and taken back again, up to the same end.
func ReadAttempts(ctx context.Context, brokers []string, topic string, opts ...kgo.Opt) ([]*kgo.Record, error) {
	return ReadCommitted(ctx, brokers, topic, append(opts, kgo.FetchIsolationLevel(kgo.ReadUncommitted()))...)
}

// settle waits until no transaction on the topic is between its commit, or abort, and the markers that tell readers.
func settle(ctx context.Context, adm *kadm.Client, topic string) error {
	for {
		producers, err := adm.DescribeProducers(ctx, kadm.TopicsSet{topic: nil})
		if unsupported(err) {
			return nil // an old version, which only kfake plays here; its markers are there with the answer
		}
		if err != nil {
			return fmt.Errorf("read %s: producers: %w", topic, err)
		}
		var open []int64
		producers.EachProducer(func(p kadm.DescribedProducer) {
			if p.CurrentTxnStartOffset >= 0 {
				open = append(open, p.ProducerID)
			}
		})
		if len(open) == 0 {
			return nil
		}
		ending, err := adm.ListTransactions(ctx, open, []string{"PrepareCommit", "PrepareAbort"})
		if unsupported(err) || err == nil && len(ending) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: transactions: %w", topic, err)
		}
		select {
		case <-time.After(settlePause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unsupported says whether the broker does not know the request.
func unsupported(err error) bool {
	return err != nil && (errors.Is(err, kerr.UnsupportedVersion) || strings.Contains(err.Error(), "broker is too old"))
}

// unread is the last stable offset of every partition that holds anything.
func unread(ctx context.Context, adm *kadm.Client, topic string) (map[int32]int64, error) {
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	stable, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(starts.Error(), stable.Error()); err != nil {
		return nil, fmt.Errorf("read %s: %w", topic, err)
	}
	ends := map[int32]int64{}
	stable.Each(func(o kadm.ListedOffset) {
		if start, _ := starts.Lookup(topic, o.Partition); start.Offset < o.Offset {
			ends[o.Partition] = o.Offset
		}
	})
	return ends, nil
}

func sorted(rs []*kgo.Record) []*kgo.Record {
	slices.SortStableFunc(rs, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
	return rs
}
