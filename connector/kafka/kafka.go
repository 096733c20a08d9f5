// Package kafka is the connector's way to Kafka: its three topics, the ownership of state partitions, and the sessions in
// which opaque records and the state that remembers them are committed together. It knows nothing of departures.
//
// # Who may write
//
// The state topic has a fixed number of partitions; an organisation lives in one of them ([Cluster.Partition]). A consumer
// group over the state topic decides which instance should work on a partition ([Cluster.Assigned]). Kafka's fence decides
// which one may: a [Session] of partition n has the transactional id "<state topic>-n", so that a second deployment under
// another group name on the same state is fenced as well.
//
//	Prepare ─► Assigned ─► Open ─────────────────────────────────────────────► Commit … Commit ─► Close
//	                       │ 1 fence     InitProducerId: older instances can no longer write, their open transaction ends;
//	                       │             then what a record may weigh, asked anew
//	                       │ 2 barrier   a session record, committed on its own
//	                       │ 3 restore   the partition from its start, read_committed, up to the barrier
//	                       │ 4 verdict   is the newest session record ours? does meta match?
//	                       └ 5 meta      written, in a transaction of its own, where the partition has none
//
// The barrier is what makes the restore complete: whatever an older session committed lies before it, and nothing of an
// older session can come after it. End offsets are never compared: aborted records and control markers take offsets too.
//
// [Cluster.Inspect] stands beside all this: it looks at what the steps need, by the rules of Prepare, and changes nothing.
//
// # What an error means
//
// [*Refusal] needs a person. [*Fenced] says who took the partition. Every other error is worth another attempt, and after
// one from [Session.Commit] it is unknown whether the transaction was committed: the session is dead, and only a new
// [Cluster.Open] tells what is true. A commit is never repeated. When a call's context ends, it returns soon, also on a
// broker that hangs; its error then need not be the context's, since what ends is the client: look at the context itself.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says which Kafka to use, as whom, and which topics. Brokers, Group and the three topics are required.
type Config struct {
	Brokers []string    // host:port
	TLS     *tls.Config // nil: plaintext

	Mechanism string // "" (no SASL), PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
	Username  string
	Password  string

	Compression string // gzip (also when empty), zstd, lz4, snappy, none

	Group      string        // consumer group that shares the state partitions among instances
	InstanceID string        // not empty: a static member of the group
	Heartbeat  time.Duration // from one heartbeat to the group to the next; 0: 750 ms
	Instance   string        // host name and process id; stands in the session record, for people

	EventsTopic     string
	StateTopic      string
	QuarantineTopic string
	CreateTopics    bool // create what is missing; false: a missing topic is refused

	Encoding string // of the event values; frozen in meta
	// PartitionKey gives the part of a key that picks the partition of the events and quarantine topics. Nil: all of it.
	PartitionKey func(key []byte) []byte

	// Init is for `departures state init` only, a deliberate new start or binding: a non-empty events topic without any meta,
	// and an events topic whose id is not the one in meta, are then no reason to refuse, and Open writes meta anew where it is
	// stale, beside a checkpoint and a ledger that stay.
	Init bool

	// Dial opens the connections to brokers. Nil: a net.Dialer. With TLS the handshake is made on what Dial returns.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Log  *slog.Logger // nil: slog.Default
}

// Cluster is one Kafka with the connector's three topics. Its methods are safe for concurrent use.
type Cluster struct {
	cfg     Config
	log     *slog.Logger
	options []kgo.Opt // of every client
	topics  atomic.Pointer[Topics]
	group   atomic.Pointer[error] // see GroupError

	restoreStall time.Duration // a restore without progress for so long is given up
}

// errNotPrepared is the program's own mistake, not an operator's.
var errNotPrepared = errors.New("kafka: Prepare has not succeeded yet")

// New returns a cluster that has not dialled anything. It fails for settings that no broker could make good.
func New(cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg, log: cfg.Log, restoreStall: restoreStall}
	if c.log == nil {
		c.log = slog.Default()
	}
	if c.cfg.PartitionKey == nil {
		c.cfg.PartitionKey = func(key []byte) []byte { return key }
	}
	topics := []string{cfg.EventsTopic, cfg.StateTopic, cfg.QuarantineTopic}
	slices.Sort(topics)
	switch {
	case len(cfg.Brokers) == 0:
		return nil, errors.New("kafka: no brokers")
	case cfg.Group == "" || topics[0] == "":
		return nil, errors.New("kafka: no group, or a topic without a name")
	case len(slices.Compact(topics)) < 3:
		return nil, errors.New("kafka: two of the three topics have one name")
	}
	if _, err := c.compression(); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	var err error
	if c.options, err = c.clientOptions(); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return c, nil
}
