package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// coordinatorBound bounds the questions put to a coordinator: it may first have to create its internal topic.
const coordinatorBound = 15 * time.Second

// Inspect looks at everything that the connector needs of Kafka, at any time and beside a running one, and needs no Prepare:
// brokers, transactions, the three topics, what the state says about itself, the group, and the rights to all of them. It
// finds all faults at once. Where it finds none, Prepare refuses nothing, and where Prepare would refuse, it finds a fault.
//
// It writes nothing, joins nothing and fences nobody. What it leaves behind is the broker's own: the transactional id
// "<state topic>-check" is known to it until transactional.id.expiration.ms have passed, and the first user of a cluster makes
// it create its internal topics.
//
// It takes about a second, at most two minutes on a Kafka that hangs in the worst places, and ends soon after ctx; what was
// not looked at is then a fault as well.
func (c *Cluster) Inspect(ctx context.Context) ([]Finding, StateTopic) {
	i := &inspection{Cluster: c}
	if i.brokers(ctx) && i.keepToReached() {
		i.look(ctx, "transactions", coordinatorBound, i.transactions)
		i.look(ctx, "topics", prepareBound, i.topicsAndState)
		i.look(ctx, i.groupSubject(), coordinatorBound, i.group)
	}
	if ctx.Err() != nil {
		i.fault("kafka", "the inspection was ended before it had looked at everything: %v", ctx.Err())
	}
	return i.findings, i.state
}

// StateTopic says what [Cluster.Inspect] found under the name of the state topic.
type StateTopic int

// The kinds of StateTopic.
const (
	StateUnfit   StateTopic = iota // it cannot be a state of this configuration, or could not be looked at: not to be read
	StateMissing                   // there is none yet
	StateFound                     // ReadState reads it
)

// inspection is one run of Inspect.
type inspection struct {
	*Cluster
	findings
	state   StateTopic
	reached []broker // those that answered
}

// keepToReached leaves the addresses out from here on that do not answer: what was said of them is enough, and kgo gives some
// requests up when it happens to meet one.
func (i *inspection) keepToReached() bool {
	cfg := i.cfg
	cfg.Brokers = nil
	for _, b := range i.reached {
		cfg.Brokers = append(cfg.Brokers, b.addr)
	}
	c, err := New(cfg)
	if err != nil {
		i.fault(brokerSubject, "%v", err)
		return false
	}
	i.Cluster = c
	return true
}

// look looks at one part, with a client of its own: one whose bound has passed is of no use any more. What else keeps the part
// from being looked at is a fault.
func (i *inspection) look(ctx context.Context, subject string, bound time.Duration, part func(context.Context, *client) error) {
	if ctx.Err() != nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	cl, err := i.client()
	if err == nil {
		defer cl.close()
		defer cl.bind(bounded)()
		err = part(bounded, cl)
	}
	switch refusal, ok := errors.AsType[*Refusal](err); {
	case err == nil, ctx.Err() != nil:
	case ok:
		i.fault(subject, "%s", strings.Join(refusal.Faults, "; "))
	case bounded.Err() != nil:
		i.fault(subject, "%v (given up after %v)", err, bound)
	default:
		i.fault(subject, "%v", err)
	}
}

// coordinator asks a coordinator until it is there: the first user of a cluster makes it create the internal topic, whose
// settings begin with internal. Where there is none for long, that topic cannot be created.
func (i *inspection) coordinator(ctx context.Context, attempt, internal string, ask func() error) error {
	var last error
	for {
		err := ask()
		if ctx.Err() != nil && last != nil {
			err = last // tells more than that the time is over
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && errors.Is(err, kerr.CoordinatorNotAvailable):
			return refuse("%s: %v: make %s.replication.factor at most the number of brokers, and see that enough of them live",
				attempt, err, internal)
		case ctx.Err() != nil, !kerr.IsRetriable(err):
			return i.failed(attempt, err)
		}
		last = err
		select {
		case <-time.After(appearPause):
		case <-ctx.Done():
		}
	}
}

// transactions asks for a producer id under a transactional id that nobody uses: the right to it is the right to the prefix,
// and to ask under a live one would fence its owner.
func (i *inspection) transactions(ctx context.Context, cl *client) error {
	id := i.cfg.StateTopic + "-check"
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &id, int32(transactionTimeout.Milliseconds())
	req.ProducerID, req.ProducerEpoch = -1, -1
	err := i.coordinator(ctx, "use transactional id "+id, "transaction.state.log", func() error {
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if errors.Is(err, kerr.ConcurrentTransactions) { // another inspection; rights are looked at first
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	i.judgeProtocol()
	return nil
}

// judgeProtocol says which of Kafka's two transaction protocols the cluster has: the finalized feature transaction.version
// is 2 from Kafka 4.0 on (KIP-890), but for clusters that were upgraded and did not finalize it.
func (i *inspection) judgeProtocol() {
	finalized, supported := i.features("transaction.version")
	may := fmt.Sprintf("the transactional ids %s-* may be used; transaction.version=%d", i.cfg.StateTopic, finalized)
	switch {
	case finalized >= 2:
		i.fine("transactions", "%s", may)
	case supported >= 2:
		i.warn("transactions", "%s, %s: raise it with kafka-features.sh upgrade --feature transaction.version=2", may, olderProtocol)
	default:
		i.warn("transactions", "%s, %s: use Kafka 4.0 or later", may, olderProtocol)
	}
}

// olderProtocol is what is weaker below transaction.version 2: a request carries the epoch of its session, not of its transaction.
const olderProtocol = "the older protocol: a request that the network or a broker holds back until the next transaction counts for that one, " +
	"and a departure can then be lost or published twice (KIP-890)"
