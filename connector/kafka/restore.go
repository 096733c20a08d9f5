package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"departures/schema"
)

const (
	// restoreStall is how long a restore may get nothing before it is given up.
	restoreStall = time.Minute
	// fetchWait is how long a broker may hold an empty answer back.
	fetchWait = 250 * time.Millisecond
	// fetchBytes bounds an answer, compressed: some 6,000 ledger entries, and all of the next answer is in memory while they are
	// restored. kgo's own 1 MiB takes 20 MB more and no less time.
	fetchBytes = 256 << 10
	// askBound bounds the questions asked about a stalled read.
	askBound = 5 * time.Second
)

// reader is a client that reads state partitions directly, without a group, at read_committed: an uncommitted record may
// be one that never was.
func (c *Cluster) reader(from map[int32]kgo.Offset, opts ...kgo.Opt) (*client, error) {
	return c.client(append([]kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.cfg.StateTopic: from}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // kgo's own choice would skip all but the last minute
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxPartitionBytes(fetchBytes),
	}, opts...)...)
}

// poll is the next records of a reader, at most stall later. Nothing and no error: there was none.
func (c *Cluster) poll(ctx context.Context, cl *client, stall time.Duration) ([]*kgo.Record, error) {
	wait, cancel := context.WithTimeout(ctx, stall)
	defer cancel()
	fetches := cl.PollFetches(wait)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.DeadlineExceeded) || wait.Err() == nil {
			return nil, fmt.Errorf("state partition %d: %w", e.Partition, e.Err)
		}
	}
	return fetches.Records(), nil
}

// restore reads the partition from its start to our barrier, gives every record but session and meta to each, and returns
// meta if there is one. The end is a record at or past the barrier's own offset, never an end offset: aborted records and
// control markers take offsets too.
func (s *Session) restore(ctx context.Context, each func(key string, value []byte) error) (*schema.Meta, error) {
	c := s.cluster
	attempt := fmt.Sprintf("restore state partition %d", s.partition)
	cl, err := c.reader(map[int32]kgo.Offset{s.partition: kgo.NewOffset().AtStart()})
	if err != nil {
		return nil, err
	}
	defer cl.close()
	var meta, newest *kgo.Record
	for read := int64(-1); read < s.mark; {
		records, err := c.poll(ctx, cl, c.restoreStall)
		if err != nil {
			return nil, c.failed(attempt, err)
		}
		if len(records) == 0 {
			return nil, s.stalled(ctx, attempt, read)
		}
		for _, r := range records {
			read = r.Offset
			switch string(r.Key) {
			case schema.SessionKey:
				newest = r
			case schema.MetaKey:
				meta = r
			default:
				if err := each(string(r.Key), r.Value); err != nil {
					return nil, err
				}
			}
		}
	}
	if newest != nil && newest.Offset > s.mark {
		by, _ := schema.ParseSession(newest.Value)
		return nil, &Fenced{Partition: s.partition, By: by}
	}
	return c.parseMeta(meta)
}

// parseMeta is the meta of a record, or nil if there is no record. One that cannot be read is refused.
func (c *Cluster) parseMeta(r *kgo.Record) (*schema.Meta, error) {
	if r == nil || r.Value == nil {
		return nil, nil
	}
	m, err := schema.ParseMeta(r.Value)
	if err != nil {
		return nil, refuse("topic %s, partition %d: %v", c.cfg.StateTopic, r.Partition, err)
	}
	return &m, nil
}

// stalled says why a restore gets nothing: a *Refusal if somebody holds a transaction open before our barrier, for another attempt
// would wait as long.
func (s *Session) stalled(ctx context.Context, attempt string, read int64) error {
	c := s.cluster
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	defer s.cl.bind(ctx)()
	adm := kadm.NewClient(s.cl.Client)
	stable, err := adm.ListCommittedOffsets(ctx, c.cfg.StateTopic)
	if err != nil {
		return c.failed(attempt+": no progress", err)
	}
	high, err := adm.ListEndOffsets(ctx, c.cfg.StateTopic)
	if err != nil {
		return c.failed(attempt+": no progress", err)
	}
	lso, _ := stable.Lookup(c.cfg.StateTopic, s.partition)
	hwm, _ := high.Lookup(c.cfg.StateTopic, s.partition)
	if lso.Offset > s.mark {
		// Nobody holds a transaction open before the barrier, and yet it is not shown, as if it had been aborted: a new session
		// raises its own.
		return fmt.Errorf("kafka: %s: no progress: topic %s is read to offset %d, barrier %d, last stable offset %d, high watermark %d",
			attempt, c.cfg.StateTopic, read, s.mark, lso.Offset, hwm.Offset)
	}
	return refuse("%s: no progress for %v: topic %s is read to offset %d, barrier %d, last stable offset %d, high watermark %d; %s",
		attempt, c.restoreStall, c.cfg.StateTopic, read, s.mark, lso.Offset, hwm.Offset, s.holders(ctx, adm))
}

// holders names who holds a transaction open on the partition, as far as our rights show it, and the way out.
func (s *Session) holders(ctx context.Context, adm *kadm.Client) string {
	topic := s.cluster.cfg.StateTopic
	const wayOut = "end it with kafka-transactions.sh abort, or wait for its timeout"
	var set kadm.TopicsSet
	set.Add(topic, s.partition)
	described, err := adm.DescribeProducers(ctx, set)
	if err != nil {
		return fmt.Sprintf("who holds a transaction open could not be asked (%v): %s", err, wayOut)
	}
	var ids []int64
	var found []string
	described.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			ids = append(ids, p.ProducerID)
			found = append(found, fmt.Sprintf("producer %d epoch %d since offset %d", p.ProducerID, p.ProducerEpoch, p.CurrentTxnStartOffset))
		}
	})
	if len(ids) == 0 {
		return "no open transaction is shown on it: restart the broker that leads it"
	}
	if listed, err := adm.ListTransactions(ctx, ids, nil); err == nil {
		for _, t := range listed.Sorted() {
			found = append(found, fmt.Sprintf("transactional id %s is producer %d", t.TxnID, t.ProducerID))
		}
	}
	return "a transaction is held open by " + strings.Join(found, ", ") + ": " + wayOut
}

// newerSession is the newest session record other than ours that was written since our fence, waited for until ctx ends.
func (s *Session) newerSession(ctx context.Context) (schema.Session, bool) {
	from := max(s.before, s.mark+1)
	cl, err := s.cluster.reader(map[int32]kgo.Offset{s.partition: kgo.NewOffset().At(from)})
	if err != nil {
		return schema.Session{}, false
	}
	defer cl.close()
	for {
		records, err := s.cluster.poll(ctx, cl, whoBound)
		if err != nil || len(records) == 0 {
			return schema.Session{}, false
		}
		var newer *schema.Session
		for _, r := range records {
			if string(r.Key) != schema.SessionKey {
				continue
			}
			by, err := schema.ParseSession(r.Value)
			if err == nil && (by.ProducerID != s.own.ProducerID || by.Epoch != s.own.Epoch) {
				newer = &by
			}
		}
		if newer != nil {
			return *newer, true
		}
	}
}
