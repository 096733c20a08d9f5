package kafka

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// kgoMaxBatch is franz-go's own limit for a batch, and Kafka's default for max.message.bytes less its overhead.
	kgoMaxBatch = 1_000_012
	// batchMargin is what a batch takes beside its records.
	batchMargin = 128
	// leastMessageBytes: below this a checkpoint or a session record might not fit.
	leastMessageBytes = 4096
)

// readLimits asks anew what the topics take. A max.message.bytes that was lowered under a running program would otherwise
// fail the same commit in every session, and one that was raised would not count before the next start.
func (s *Session) readLimits(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fenceBound)
	defer cancel()
	defer s.cl.bind(ctx)()
	adm := kadm.NewClient(s.cl.Client)
	for topic, limit := range s.limits {
		has, err := s.cluster.settings(ctx, adm, topic)
		if err != nil {
			return err
		}
		if *limit, err = limitIn(topic, has); err != nil {
			return err
		}
	}
	return nil
}

// limits are where t keeps the largest Record.Size of each topic, by the topic's name.
func (c *Cluster) limits(t *Topics) map[string]*int {
	return map[string]*int{
		c.cfg.EventsTopic:     &t.MaxEventBytes,
		c.cfg.QuarantineTopic: &t.MaxQuarantineBytes,
		c.cfg.StateTopic:      &t.MaxStateBytes,
	}
}

// settings are one topic's configs by name; a *Refusal if the right to see them is missing. One topic at a time: kadm does
// not say for which of several it is.
func (c *Cluster) settings(ctx context.Context, adm *kadm.Client, topic string) (map[string]string, error) {
	attempt := "describe the settings of topic " + topic
	described, err := adm.DescribeTopicConfigs(ctx, topic)
	if err == nil && len(described) == 1 {
		err = described[0].Err
	}
	if err == nil && len(described) != 1 {
		err = errors.New("no answer for it")
	}
	if errors.Is(err, kerr.TopicAuthorizationFailed) {
		return nil, refuse("%s: %v: grant DescribeConfigs on Topic %s", attempt, err, topic)
	}
	if err != nil {
		return nil, c.failed(attempt, err)
	}
	has := map[string]string{}
	for _, config := range described[0].Configs {
		has[config.Key] = cmp.Or(config.MaybeValue(), "")
	}
	return has, nil
}

// limitIn is the largest Record.Size for a topic with these settings; a *Refusal if even our own records might not fit.
func limitIn(topic string, has map[string]string) (int, error) {
	n, err := strconv.Atoi(has["max.message.bytes"])
	switch {
	case err != nil: // not said: Kafka's default
		n = kgoMaxBatch
	case n < leastMessageBytes:
		return 0, refuse("topic %s has max.message.bytes=%d: raise it to %d at least", topic, n, leastMessageBytes)
	}
	return min(n, kgoMaxBatch) - batchMargin, nil
}
