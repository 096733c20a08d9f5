package kafka

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// appearPause is how often a topic just created is looked for.
const appearPause = 50 * time.Millisecond

// createMissing creates what is missing, or says that it is missing.
func (p *preparation) createMissing(ctx context.Context) error {
	for _, w := range p.wanted() {
		switch {
		case !p.missing[w.name]:
		case !p.cfg.CreateTopics:
			p.fault(w.subject(), "topic %s does not exist and CREATE_TOPICS is false: create it with %d partitions and %s, or correct %s",
				w.name, w.partitions, w.settings(), w.variable)
		case p.inspects || len(p.texts(Fault)) == 0:
			if err := p.create(ctx, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// create creates one topic and waits until every partition has a leader. When it only inspects, the broker says what would
// come of it, and creates nothing.
func (p *preparation) create(ctx context.Context, w wantedTopic) error {
	configs := map[string]*string{}
	for k, v := range w.configs {
		configs[k] = &v
	}
	ask := p.adm.CreateTopics
	if p.inspects {
		ask = p.adm.ValidateCreateTopics
	}
	attempt := fmt.Sprintf("create topic %s with %d partitions and %s", w.name, w.partitions, w.settings())
	// Replication -1 is the broker's default: a number of our own would be wrong on one cluster or the other.
	answers, err := ask(ctx, w.partitions, -1, configs, w.name)
	resp := answers[w.name]
	err = cmp.Or(err, resp.Err)
	switch {
	case err == nil && p.inspects:
		p.fine(w.subject(), "does not exist; `departures run` creates it with %d partitions and %s, replication factor %d",
			w.partitions, w.settings(), resp.ReplicationFactor)
	case err == nil:
		delete(p.missing, w.name)
		p.log.Info("created topic "+w.name, "partitions", w.partitions, "settings", w.settings(), "replication_factor", resp.ReplicationFactor)
		if w.name != p.cfg.StateTopic {
			p.log.Warn("topic " + w.name + " keeps what it holds for ever, personal data included: set its retention.ms if that is too long")
		}
	case errors.Is(err, kerr.TopicAlreadyExists): // another instance was faster
		delete(p.missing, w.name)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		p.fault(w.subject(), "%s: %v: %s, or create it by hand and set CREATE_TOPICS=false", attempt, err, w.grant(kadm.OpCreate))
	case errors.Is(err, kerr.PolicyViolation), errors.Is(err, kerr.InvalidReplicationFactor), errors.Is(err, kerr.InvalidConfig),
		errors.Is(err, kerr.InvalidPartitions), errors.Is(err, kerr.InvalidTopicException), errors.Is(err, kerr.UnsupportedVersion):
		p.fault(w.subject(), "%s: %v %s: create it by hand, or correct %s", attempt, err, resp.ErrMessage, w.variable)
	default:
		return p.note(w.subject(), attempt, err)
	}
	if p.missing[w.name] {
		return nil
	}
	return p.appear(ctx, w)
}

// appear waits until a created topic is known with a leader for every partition.
func (p *preparation) appear(ctx context.Context, w wantedTopic) error {
	for {
		meta, err := p.adm.Metadata(uncached(ctx), w.name)
		if err != nil {
			return p.note(w.subject(), "look for topic "+w.name, err)
		}
		if detail := meta.Topics[w.name]; detail.Err == nil && len(detail.Partitions) > 0 && led(detail) {
			p.found[w.name] = detail
			return nil
		}
		select {
		case <-time.After(appearPause):
		case <-ctx.Done():
			return fmt.Errorf("kafka: topic %s was created but has no leader yet: %w", w.name, ctx.Err())
		}
	}
}

// uncached makes kadm ask the broker: kgo would repeat for metadataMinAge that there is no such topic.
func uncached(ctx context.Context) context.Context { return kadm.WithAuthorizedOps(ctx) }

// led says whether every partition has a leader.
func led(t kadm.TopicDetail) bool {
	for _, partition := range t.Partitions {
		if partition.Err != nil || partition.Leader < 0 {
			return false
		}
	}
	return true
}

// verify refuses a topic whose settings would break the promise, and warns about what only weakens it.
func (p *preparation) verify(ctx context.Context, w wantedTopic) error {
	if _, ok := p.found[w.name]; !ok {
		return nil
	}
	has, err := p.settings(ctx, p.adm, w.name)
	if err != nil {
		return p.keep(w.subject(), err)
	}
	p.has[w.name] = has
	policy := has["cleanup.policy"]
	if w.name == p.cfg.StateTopic && policy != "compact" {
		p.fault(w.subject(), "topic %s has cleanup.policy=%s, which would lose state: set it to exactly compact, or correct STATE_TOPIC",
			w.name, policy)
	}
	if w.name != p.cfg.StateTopic && policy != "compact" && has["retention.ms"] != "-1" {
		p.warn(w.subject(), "topic %s forgets: what is older than retention.ms=%s is deleted: set it to -1 unless that is meant", w.name, has["retention.ms"])
	}
	p.compareReplicas(w, has["min.insync.replicas"])
	*p.limits(&p.topics)[w.name], err = limitIn(w.name, has)
	return p.keep(w.subject(), err)
}

// compareReplicas warns where the acknowledgement of all replicas promises less, or asks more, than it seems.
func (p *preparation) compareReplicas(w wantedTopic, minInsync string) {
	need, err := strconv.Atoi(minInsync)
	if err != nil {
		return
	}
	const three = "make it 3 replicas and min.insync.replicas=2"
	have := len(p.found[w.name].Partitions[0].Replicas)
	switch {
	case need > have:
		p.warn(w.subject(), "topic %s has fewer replicas (%d) than min.insync.replicas=%d asks for: %s", w.name, have, need, three)
	case have == 1 && p.brokers > 1:
		p.warn(w.subject(), "topic %s has one replica on a cluster of %d brokers: whatever befalls one of them is the end of it: %s", w.name, p.brokers, three)
	case have == 2 && need < 2:
		p.warn(w.subject(), "topic %s acknowledges what only one broker has, and with 2 replicas could not do otherwise while one is down: %s", w.name, three)
	case have > 2 && need < 2:
		p.warn(w.subject(), "topic %s acknowledges what only one broker has (%d replicas, min.insync.replicas=%d): set min.insync.replicas to 2",
			w.name, have, need)
	}
}

// settings are the configs in words, for messages.
func (w wantedTopic) settings() string {
	s := "retention.ms=" + w.configs["retention.ms"]
	if policy, ok := w.configs["cleanup.policy"]; ok {
		s = "cleanup.policy=" + policy + ", " + s
	}
	return s
}

// topicID is a topic id as Kafka's own tools print it; empty if the broker gave none.
func topicID(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}
