package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"departures/schema"
)

// Refusal needs a person: wrong topic settings, a missing right, a state that does not belong to this configuration.
// Trying again changes nothing. Each fault names the topic or setting, and the way out.
type Refusal struct {
	Faults []string
}

// Error is every fault on one line.
func (r *Refusal) Error() string { return "kafka: refused: " + strings.Join(r.Faults, "; ") }

// refuse is a refusal with one fault.
func refuse(format string, args ...any) *Refusal {
	return &Refusal{Faults: []string{fmt.Sprintf(format, args...)}}
}

// Fenced says that a newer session owns the partition. Opening again at once would take it back, and the two instances
// would fight: let a pause pass that grows, and open only while the partition is still ours.
type Fenced struct {
	Partition int32
	By        schema.Session // the newest session record
	Err       error          // what Kafka said; nil when the session record alone told
}

// Error names the partition and the instance that owns it now.
func (f *Fenced) Error() string {
	msg := fmt.Sprintf("kafka: state partition %d was taken over by %s at %s", f.Partition, f.By.Instance, f.By.Since.UTC().Format(time.RFC3339))
	if f.Err != nil {
		msg += ": " + f.Err.Error()
	}
	return msg
}

// Unwrap gives what Kafka said.
func (f *Fenced) Unwrap() error { return f.Err }

// fenceCodes are what a broker answers to a producer that a newer one has replaced. A transaction that timed out gets the
// same codes, and a producer id that expired while idle the last one: only the session records tell them apart.
var fenceCodes = []error{
	kerr.InvalidProducerEpoch,
	kerr.ProducerFenced,
	kerr.InvalidTxnState,
	kerr.TransactionAbortable,
	kerr.OperationNotAttempted,
	kerr.OutOfOrderSequenceNumber,
	kerr.UnknownProducerID,
	kerr.InvalidProducerIDMapping,
}

// maybeFenced says whether Kafka may have answered so because a newer session exists.
func maybeFenced(err error) bool {
	for _, code := range fenceCodes {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// inWords puts an answer that no further attempt can change into words that name the setting and the way out; "" for every
// other error. What was being done is told by the caller's own words, attempt.
func (c *Cluster) inWords(attempt string, err error) string {
	var right string
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		right = fmt.Sprintf("a right on a topic is missing: grant Write on %s and %s, Read and Write on %s, DescribeConfigs on all three",
			c.cfg.EventsTopic, c.cfg.QuarantineTopic, c.cfg.StateTopic)
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		right = fmt.Sprintf("a right on the transactional id is missing: grant Write on TransactionalId with the prefix %s-", c.cfg.StateTopic)
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		right = fmt.Sprintf("a right on the group is missing: grant Read on Group %s, or correct GROUP", c.cfg.Group)
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		right = "a right on the cluster is missing: grant Create on the three topics, or create them by hand and set CREATE_TOPICS=false"
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		right = "the broker refuses the credentials: correct KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD or KAFKA_SASL_MECHANISM"
	case errors.Is(err, kerr.IllegalSaslState):
		right = "the broker asks for no credentials on this port: correct the port in KAFKA_BROKERS, or leave KAFKA_SASL_MECHANISM empty"
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		right = "the broker does not take this SASL mechanism: correct KAFKA_SASL_MECHANISM"
	case errors.Is(err, kerr.InvalidTransactionTimeout):
		right = fmt.Sprintf("the broker's transaction.max.timeout.ms is below %d: raise it", transactionTimeout.Milliseconds())
	default:
		return ""
	}
	return fmt.Sprintf("%s: %v: %s", attempt, err, right)
}

// failed is err with the attempt it belongs to: a *Refusal if only a person can help.
func (c *Cluster) failed(attempt string, err error) error {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal
	}
	if fault := c.inWords(attempt, err); fault != "" {
		return &Refusal{Faults: []string{fault}}
	}
	return fmt.Errorf("kafka: %s: %w", attempt, err)
}

// unreached is what keeps every configured broker from being used, in the words of an inspection, which asks each of them by itself: to
// a client most of it looks alike. When no time is left for that, it is what the client said.
func (c *Cluster) unreached(ctx context.Context, err error) error {
	err = c.failed("reach Kafka", err)
	if ctx.Err() != nil || is[*Refusal](err) {
		return err
	}
	i := &inspection{Cluster: c}
	if i.brokers(ctx); len(i.texts(Fault)) == 0 {
		return err // they answer by now
	}
	return &explained{"kafka: reach Kafka: " + strings.Join(i.texts(Fault), "; "), err}
}

// explained is an error in other words.
type explained struct {
	words string
	error
}

// Error is the words.
func (e *explained) Error() string { return e.words }

// Unwrap gives the error.
func (e *explained) Unwrap() error { return e.error }
