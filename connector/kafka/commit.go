package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/schema"
)

const (
	// commitBound bounds everything before the end of a transaction: the broker has aborted it by then.
	commitBound = transactionTimeout
	// endBound bounds the end itself, kgo's own retries included.
	endBound = 10 * time.Second
	// commitGrace is what a transaction in progress still gets when its context ends: enough for an ordinary one, and short
	// enough for SIGTERM to end the program within 5 s on a broker that hangs.
	commitGrace = 1500 * time.Millisecond
	// abortBound bounds the abort after a failed produce: a courtesy to readers, the next session's fence aborts anyway.
	abortBound = time.Second
	// whoBound is how long a fenced session looks for the newer one's record: between its fence and its barrier lie a few
	// milliseconds, or a read_committed wait.
	whoBound = 2 * time.Second
)

// Record is one record to commit. Topic is one of the three topics of Config; a record of the state topic goes to the
// session's own partition, every other to the partition that its key picks. Its timestamp is our clock at the commit.
type Record struct {
	Topic   string
	Key     string
	Value   []byte // nil: a tombstone
	Headers []schema.Header
}

const (
	// recordOverhead and headerOverhead bound what a record takes beside its bytes: eight varints, and two for each header.
	recordOverhead = 40
	headerOverhead = 10
)

// Size is an upper bound of the bytes that the record takes in a batch, uncompressed. Commit takes a record whose Size is
// not above the Topics.Max…Bytes of its topic.
func (r Record) Size() int {
	n := recordOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += headerOverhead + len(h.Key) + len(h.Value)
	}
	return n
}

// Commit writes the records in one transaction: a read_committed reader sees all of them or none. No records are no
// transaction. Commits of several callers are made one after the other; records is asked for its records once, when it is this
// commit's turn. It may use a record's headers for the next one, but its value must stay as it is until Commit returns.
//
// After an error the session is dead and nothing is known about the transaction: it may have been committed. Only the
// caller's own ctx that ends while another commit is still in progress leaves the session as it was. *Fenced says that a
// newer session owns the partition, *Refusal that a right is missing.
func (s *Session) Commit(ctx context.Context, records iter.Seq[Record]) error {
	const attempt = "kafka: commit not begun"
	select {
	case <-ctx.Done():
	case <-s.closed:
		return errors.New(attempt + ": the session is closed")
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	if s.dead != nil {
		return fmt.Errorf("%s: the session has failed before: %w", attempt, s.dead)
	}
	if s.dead = s.commit(ctx, records); s.dead != nil {
		return s.dead
	}
	return nil
}

// commit checks and writes the records.
func (s *Session) commit(ctx context.Context, records iter.Seq[Record]) error {
	b := s.slab
	s.slab = slab{} // a transaction that fails may keep hold of it
	now := time.Now()
	for r := range records {
		limit, known := s.limit(r.Topic)
		switch {
		case !known:
			return fmt.Errorf("kafka: commit of a record for topic %s, which is none of the three", r.Topic)
		case r.Size() > limit:
			return fmt.Errorf("kafka: commit of a record of %d bytes, too many for topic %s, which takes %d", r.Size(), r.Topic, limit)
		}
		b.add(r, s.partition, now)
	}
	if len(b.records) == 0 {
		s.slab = b
		return nil
	}
	if err := s.transact(ctx, b.records); err != nil {
		return s.explain(ctx, fmt.Sprintf("commit of %d records", len(b.records)), err)
	}
	s.slab = b.emptied()
	return nil
}

// slab is a transaction's records as kgo takes them, with the bytes of their keys and headers. It serves one transaction after the
// other: a large one has five thousand records, and every second of them has eight such strings.
type slab struct {
	records []kgo.Record
	headers []kgo.RecordHeader
	text    []byte
}

func (b *slab) add(r Record, partition int32, now time.Time) {
	record := kgo.Record{Topic: r.Topic, Partition: partition, Key: b.copied(r.Key), Value: r.Value, Timestamp: now}
	first := len(b.headers)
	for _, h := range r.Headers {
		b.headers = append(b.headers, kgo.RecordHeader{Key: h.Key, Value: b.copied(h.Value)})
	}
	record.Headers = b.headers[first:len(b.headers):len(b.headers)]
	b.records = append(b.records, record)
}

func (b *slab) copied(s string) []byte {
	b.text = append(b.text, s...)
	return b.text[len(b.text)-len(s) : len(b.text) : len(b.text)]
}

// emptied is the slab for the next transaction: nothing, after one that needed little of it.
func (b *slab) emptied() slab {
	if len(b.records) < cap(b.records)/4 {
		return slab{}
	}
	clear(b.records)
	return slab{b.records[:0], b.headers[:0], b.text[:0]}
}

// transact is one transaction: begin, produce, flush, every promise checked, end. A ctx that ends gives it commitGrace.
func (s *Session) transact(ctx context.Context, records []kgo.Record) error {
	ctx, cancel := outlive(ctx, commitGrace, commitBound)
	defer cancel()
	defer s.cl.bind(ctx)()
	if err := s.cl.BeginTransaction(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := s.produce(ctx, records); err != nil {
		s.abort(ctx)
		return err
	}
	end, cancelEnd := context.WithTimeout(ctx, endBound)
	defer cancelEnd()
	defer s.cl.bind(end)()
	// Here it becomes durable. A crash just before this line leaves an open transaction: no reader sees it, the next
	// session's fence aborts it, and the same departures are fetched and published then. A crash just after it, or a lost
	// answer, leaves events and state committed together: the next session restores that state and publishes none of it
	// again. Which of the two it was is known only from the restored state, so nothing here tries a second time.
	if err := s.cl.EndTransaction(end, kgo.TryCommit); err != nil {
		return fmt.Errorf("end transaction, outcome unknown: %w", err)
	}
	return nil
}

// produce writes the records into the open transaction and returns once Kafka has acknowledged every one of them.
// EndTransaction does not look whether a produce failed, and commits what is left.
func (s *Session) produce(ctx context.Context, records []kgo.Record) error {
	answers := &produceAnswers{missing: len(records), all: make(chan struct{})}
	take := answers.take // once, not for every record
	for i := range records {
		s.cl.Produce(ctx, &records[i], take)
	}
	flushErr := s.cl.Flush(ctx)
	select {
	case <-answers.all:
		if err := cmp.Or(answers.failed, flushErr); err != nil {
			return err
		}
		return s.seen(ctx, records)
	case <-ctx.Done():
		return fmt.Errorf("produce %d records: no answer: %w", len(records), context.Cause(ctx))
	}
}

// seen waits until EndTransaction can see that the records were produced, which is when the client shows their partitions. franz-go
// 1.22 sends the first records for a topic a moment before it stores what it has learned of the topic. Where the broker's answer comes
// first, EndTransaction finds nothing that was produced: it aborts the transaction, or on Kafka's older protocol leaves it open, and
// reports success either way.
func (s *Session) seen(ctx context.Context, records []kgo.Record) error {
	for i := range records {
		r := &records[i]
		if s.known[r.Topic] {
			continue
		}
		for !s.shows(r) {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("produce to %s: its partitions stay unknown: %w", r.Topic, context.Cause(ctx))
			}
		}
		s.known[r.Topic] = true
	}
	return nil
}

// shows says whether the client has stored the record's partition, which has a leader from then on; before, there is none, or an error.
func (s *Session) shows(r *kgo.Record) bool {
	leader, _, _ := s.cl.PartitionLeader(r.Topic, r.Partition)
	return leader >= 0
}

// produceAnswers collects what becomes of produced records, also when nobody waits for it any longer.
type produceAnswers struct {
	mu      sync.Mutex
	missing int
	failed  error         // the first; to be read when all are there
	all     chan struct{} // closed with the last answer
}

// take is the promise of every record.
func (a *produceAnswers) take(r *kgo.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && a.failed == nil {
		a.failed = fmt.Errorf("produce to %s: %w", r.Topic, err) // without the key: it may name a person
	}
	if a.missing--; a.missing == 0 {
		close(a.all)
	}
}

// abort ends the open transaction without its records, if that can be done at once. Its outcome changes nothing: the
// session is dead, and what it left is unknown until the state is read again.
func (s *Session) abort(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, abortBound)
	defer cancel()
	defer s.cl.bind(ctx)()
	if s.cl.AbortBufferedRecords(ctx) == nil {
		_ = s.cl.EndTransaction(ctx, kgo.TryAbort)
	}
}

// explain finds out what an error of a transaction means: a missing right, a newer session, or an unknown outcome.
func (s *Session) explain(ctx context.Context, attempt string, err error) error {
	attempt = fmt.Sprintf("%s, state partition %d", attempt, s.partition)
	if !maybeFenced(err) {
		return s.cluster.failed(attempt, err)
	}
	ctx, cancel := context.WithTimeout(ctx, whoBound)
	defer cancel()
	if newer, ok := s.newerSession(ctx); ok {
		return &Fenced{Partition: s.partition, By: newer, Err: err}
	}
	return s.cluster.failed(attempt, err) // our own record is the newest: the transaction timed out, or the id expired
}
