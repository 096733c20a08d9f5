package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/schema"
)

const (
	// transactionTimeout is how long the broker keeps a transaction open whose owner is silent: above the 30 s that a
	// produce request may take, and as short as that allows, since read_committed readers wait for it after a hard kill.
	transactionTimeout = 45 * time.Second
	// fenceBound bounds the fence: the coordinator may first have to end an older instance's transaction.
	fenceBound = 30 * time.Second
)

// Session is the right to write for one state partition, until a newer session is opened for it or an error says
// otherwise. Its methods are safe for concurrent use; transactions are made one after the other.
type Session struct {
	cluster   *Cluster
	cl        *client
	partition int32
	topics    Topics          // with the limits as this session found them; constant once it is open
	limits    map[string]*int // of topics, by the topic's name
	older     atomic.Bool     // Kafka's older transaction protocol is spoken, or may be

	own    schema.Session // our session record
	before int64          // end offset of the partition before the fence: every newer session's barrier lies at or past it
	mark   int64          // offset of our barrier, -1 until it is committed

	turn   chan struct{}   // holds one token; who has it may use cl, dead, slab and known
	dead   error           // why the session can no longer commit
	slab   slab            // what the last transaction left to the next
	known  map[string]bool // topics whose partitions the client shows
	closed chan struct{}
	once   sync.Once
}

// Open takes a state partition over: fence, barrier, restore, in the order that the package comment draws. Every committed
// record of the partition but session and meta is given to restore in log order, a tombstone as a nil value; an error of
// restore is returned as it is. What the topics take is asked anew ([Session.Topics]). Prepare must have succeeded before.
//
// Errors: *Fenced when a newer session appeared meanwhile, *Refusal when meta does not match, a right is missing, a topic
// takes too little by now, or the partition cannot be read to the barrier within a minute because somebody holds a
// transaction open; anything else is worth another attempt.
func (c *Cluster) Open(ctx context.Context, partition int32, restore func(key string, value []byte) error) (*Session, error) {
	topics := c.topics.Load()
	if topics == nil {
		return nil, errNotPrepared
	}
	if partition < 0 || int(partition) >= topics.Partitions {
		return nil, fmt.Errorf("kafka: open state partition %d: there are %d", partition, topics.Partitions)
	}
	s := &Session{
		cluster: c, partition: partition, topics: *topics, mark: -1,
		turn: make(chan struct{}, 1), closed: make(chan struct{}), known: map[string]bool{},
	}
	s.limits = c.limits(&s.topics)
	s.older.Store(true)
	s.turn <- struct{}{}
	if err := s.open(ctx, restore); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Topics is what the session goes by: the Max…Bytes as they were when it was opened, everything else as Prepare found it. An
// older session may have gone by others.
func (s *Session) Topics() Topics { return s.topics }

// open goes through the five steps.
func (s *Session) open(ctx context.Context, restore func(key string, value []byte) error) error {
	if err := s.fence(ctx); err != nil {
		return err
	}
	if err := s.readLimits(ctx); err != nil { // before anything is produced: kgo asks maxBatch once a partition
		return err
	}
	if err := s.raiseBarrier(ctx); err != nil {
		return err
	}
	meta, err := s.restore(ctx, restore)
	if err != nil {
		return err
	}
	return s.settleMeta(ctx, meta)
}

// fence makes the client and its producer id. From here on no older session can commit; what it left open is aborted.
func (s *Session) fence(ctx context.Context) error {
	id := s.cluster.cfg.StateTopic + "-" + strconv.Itoa(int(s.partition))
	codec, err := s.cluster.compression()
	if err != nil {
		return err
	}
	s.cl, err = s.cluster.client(
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordPartitioner(partitioner{s.cluster.cfg.StateTopic, s.cluster.cfg.PartitionKey}),
		kgo.ProducerBatchMaxBytesFn(s.maxBatch),
		kgo.ProducerBatchCompression(codec, kgo.NoCompression()),
		kgo.RetryTimeoutFn(s.retryTimeout),
	)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fenceBound)
	defer cancel()
	defer s.cl.bind(ctx)()
	attempt := "fence transactional id " + id
	adm := kadm.NewClient(s.cl.Client)
	if err := s.cluster.sameTopics(ctx, adm, s.topics); err != nil {
		return err
	}
	ends, err := adm.ListEndOffsets(ctx, s.cluster.cfg.StateTopic)
	end, ok := ends.Lookup(s.cluster.cfg.StateTopic, s.partition)
	if err = errors.Join(err, end.Err); !ok || end.Err != nil { // what is wrong with other partitions is not our affair
		return s.cluster.failed(attempt+", end offset", cmp.Or(err, error(kerr.UnknownTopicOrPartition)))
	}
	s.before = end.Offset
	s.own = schema.Session{Instance: s.cluster.cfg.Instance, Since: time.Now()}
	if s.own.ProducerID, s.own.Epoch, err = s.cl.ProducerID(ctx); err != nil {
		return s.cluster.failed(attempt, err)
	}
	return nil
}

// sameTopics refuses a state or events topic that was deleted and created again since Prepare: an empty one under the old
// name would look like a first start, and everything would be published again.
func (c *Cluster) sameTopics(ctx context.Context, adm *kadm.Client, t Topics) error {
	for topic, id := range map[string]string{c.cfg.StateTopic: t.stateTopicID, c.cfg.EventsTopic: t.EventsTopicID} {
		meta, err := adm.Metadata(uncached(ctx), topic)
		if err == nil {
			err = meta.Topics[topic].Err
		}
		if err != nil {
			return c.failed("look for topic "+topic, err)
		}
		if now := topicID(meta.Topics[topic].ID); now != id {
			wayOut := "restore it, or begin anew with `departures state init` and START"
			if topic == c.cfg.EventsTopic {
				wayOut = bindAnew
			}
			return refuse("topic %s was deleted and created again while it was in use (id %s, now %s): %s", topic, id, now, wayOut)
		}
	}
	return nil
}

// raiseBarrier commits our session record, in a transaction of its own.
//
// A crash before the commit leaves nothing; a crash after it leaves a session record that the next session supersedes.
func (s *Session) raiseBarrier(ctx context.Context) error {
	barrier := []kgo.Record{s.stateRecord(schema.SessionKey, s.own.JSON())}
	if err := s.transact(ctx, barrier); err != nil {
		return s.explain(ctx, "write the session record", err)
	}
	if barrier[0].Offset < 0 { // a retried produce may be acknowledged without an offset; a barrier that is nowhere restores nothing
		return fmt.Errorf("kafka: write the session record, state partition %d: acknowledged without an offset", s.partition)
	}
	s.mark = barrier[0].Offset
	_, epoch, err := s.cl.ProducerID(ctx) // known already
	s.older.Store(err != nil || epoch == s.own.Epoch)
	return nil
}

// retryTimeout is for how long franz-go may ask for something again; 30 s is its own choice. The end of a transaction is asked for once
// where all transactions of a session have one epoch (before transaction.version 2, KIP-890): an answer that never came may mean a
// request that comes late, and there it would end the next transaction, half written as that is. So the outcome is unknown, the session
// dead, and what comes late of its epoch is refused.
func (s *Session) retryTimeout(key int16) time.Duration {
	if kmsg.Key(key) == kmsg.EndTxn && s.older.Load() {
		return time.Nanosecond
	}
	return 30 * time.Second
}

// settleMeta writes meta where the partition has none, in a transaction of its own and before the session can be used, so
// that no event is ever committed beside a state that does not say what it was written for.
//
// A crash before the commit leaves a partition with session records only, which the next session treats as this one did.
func (s *Session) settleMeta(ctx context.Context, found *schema.Meta) error {
	want := s.cluster.meta(s.topics)
	if found != nil {
		faults := s.cluster.metaFaults(s.partition, *found, s.topics)
		if len(faults) > 0 {
			return &Refusal{Faults: faults}
		}
		if !s.cluster.cfg.Init || found.EventsTopicID == want.EventsTopicID {
			return nil
		}
	}
	if err := s.transact(ctx, []kgo.Record{s.stateRecord(schema.MetaKey, want.JSON())}); err != nil {
		return s.explain(ctx, "write the meta record", err)
	}
	return nil
}

// stateRecord is a record for our own partition of the state topic.
func (s *Session) stateRecord(key string, value []byte) kgo.Record {
	return kgo.Record{Topic: s.cluster.cfg.StateTopic, Partition: s.partition, Key: []byte(key), Value: value}
}

// maxBatch is what a batch of a topic may weigh uncompressed.
func (s *Session) maxBatch(topic string) int32 {
	if limit, ok := s.limit(topic); ok {
		return int32(limit + batchMargin)
	}
	return kgoMaxBatch // also asked for the empty topic, when the client is made
}

// limit is the largest Record.Size for a topic; false if it is none of the three.
func (s *Session) limit(topic string) (int, bool) {
	n, ok := s.limits[topic]
	if !ok {
		return 0, false
	}
	return *n, true
}

// Close ends the session and frees its client. It is bounded whatever the broker does, may be called twice, and makes a
// commit in progress fail. An open transaction is left to the next session's fence.
func (s *Session) Close() {
	s.once.Do(func() {
		close(s.closed)
		if s.cl != nil {
			s.cl.close()
		}
	})
}
