package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"departures/schema"
)

const (
	// metadataBound bounds the first question: Kafka is reachable, or the caller waits and asks again.
	metadataBound = 10 * time.Second
	// prepareBound bounds everything after it but the reading of metas, which is bounded by its progress.
	prepareBound = 30 * time.Second
)

// Topics is what Prepare found, and what a session goes by.
type Topics struct {
	Partitions    int    // state partitions in use: from meta, or the topic's own number while there is none
	EventsTopicID string // Kafka's id of the events topic; empty below Kafka 2.8
	// MetaPartitions are the state partitions that have a meta record, in order; none: this state has not been used before. A
	// start with Config.Init opens each of them: one left with a stale meta refuses the next start.
	MetaPartitions []int32

	// The largest Record.Size that Commit takes for each topic, uncompressed. Every session asks for them anew.
	MaxEventBytes      int
	MaxQuarantineBytes int
	MaxStateBytes      int

	// HasEvents: the events topic was not empty. Beside an empty ledger, what it holds since START is published again.
	HasEvents bool

	stateTopicID string
}

// Prepare makes sure that Kafka answers, creates the topics that are missing (with Config.CreateTopics), verifies their
// settings, and reads what the state says about itself. It may be called again, and has to be before anything else. Where
// there is a fault it creates nothing more: a start that is refused should leave nothing behind that looks like a state.
//
// A *Refusal names every fault at once. Any other error means that Kafka did not answer for as long as 10 s: wait and call
// again.
func (c *Cluster) Prepare(ctx context.Context) (Topics, error) {
	cl, err := c.client()
	if err != nil {
		return Topics{}, err
	}
	defer cl.close()
	defer cl.bind(ctx)()
	p := &preparation{Cluster: c, cl: cl, adm: kadm.NewClient(cl.Client)}
	if err := p.reach(ctx); err != nil {
		return Topics{}, err
	}
	err = p.look(ctx)
	for _, warning := range p.texts(Warning) {
		p.log.Warn(warning)
	}
	if faults := p.texts(Fault); len(faults) > 0 {
		return Topics{}, &Refusal{Faults: faults}
	}
	if err != nil {
		return Topics{}, err
	}
	c.topics.Store(&p.topics)
	return p.topics, nil
}

// preparation looks at the topics and the state: for Prepare, or, when it only inspects, for Inspect, which has the same rules
// and creates nothing.
type preparation struct {
	*Cluster
	findings
	inspects bool
	cl       *client
	adm      *kadm.Client
	found    map[string]kadm.TopicDetail
	brokers  int             // in the cluster
	missing  map[string]bool // topics that do not exist; one that may not be seen is neither here nor in found
	allowed  map[string][]kadm.ACLOperation
	has      map[string]map[string]string // the settings of each topic
	topics   Topics
}

// note keeps err as a fault if only a person can help, and gives it back if another attempt may.
func (p *preparation) note(subject, attempt string, err error) error {
	return p.keep(subject, p.failed(attempt, err))
}

// keep takes over the faults of a refusal, and gives every other error back.
func (p *preparation) keep(subject string, err error) error {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return err
	}
	p.takeOver(subject, refusal.Faults)
	return nil
}

// takeOver makes faults that somebody else put into words findings.
func (p *preparation) takeOver(subject string, faults []string) {
	for _, fault := range faults {
		p.fault(subject, "%s", fault)
	}
}

// look goes through everything, whatever is wrong with the part before. An error is what another attempt may change.
func (p *preparation) look(ctx context.Context) error {
	if err := p.lookAtTopics(ctx); err != nil {
		return err
	}
	return p.readState(ctx)
}

// lookAtTopics finds, creates and verifies the topics.
func (p *preparation) lookAtTopics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareBound)
	defer cancel()
	defer p.cl.bind(ctx)()
	if err := p.find(ctx); err != nil {
		return err
	}
	if err := p.lookIntoEvents(ctx); err != nil {
		return err
	}
	if err := p.createMissing(ctx); err != nil {
		return err
	}
	for _, w := range p.wanted() {
		if err := p.verify(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// reach waits until the cluster answers and has a controller: before that it can create nothing.
func (p *preparation) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, metadataBound)
	defer cancel()
	defer p.cl.bind(ctx)()
	meta, err := p.adm.BrokerMetadata(ctx)
	if err != nil {
		return p.unreached(ctx, err)
	}
	if len(meta.Brokers) == 0 || meta.Controller < 0 {
		return errors.New("kafka: reach Kafka: no controller yet")
	}
	return nil
}

// find asks for each topic by itself: kadm does not say which of several it was that a right is missing for.
func (p *preparation) find(ctx context.Context) error {
	p.found, p.missing = map[string]kadm.TopicDetail{}, map[string]bool{}
	p.allowed, p.has = map[string][]kadm.ACLOperation{}, map[string]map[string]string{}
	for _, w := range p.wanted() {
		attempt := "look for topic " + w.name
		meta, err := p.adm.Metadata(uncached(ctx), w.name)
		if errors.Is(err, kerr.TopicAuthorizationFailed) {
			p.fault(w.subject(), "%s: %v: %s", attempt, err, w.grant(w.needs...))
			continue
		}
		if err != nil {
			if err := p.note(w.subject(), attempt, err); err != nil {
				return err
			}
			continue
		}
		p.brokers = len(meta.Brokers)
		detail := meta.Topics[w.name]
		p.allowed[w.name] = detail.AuthorizedOperations
		switch {
		case errors.Is(detail.Err, kerr.UnknownTopicOrPartition):
			p.missing[w.name] = true
		case errors.Is(detail.Err, kerr.InvalidTopicException):
			p.fault(w.subject(), "topic %q is not a legal name: correct %s", w.name, w.variable)
		case detail.Err != nil:
			return fmt.Errorf("kafka: %s: %w", attempt, detail.Err)
		default:
			p.found[w.name] = detail
		}
	}
	return nil
}

// lookIntoEvents sees whether the events topic holds anything, or ever did: before a topic is created, since a start that
// is going to be refused should leave nothing behind that looks like a state.
func (p *preparation) lookIntoEvents(ctx context.Context) error {
	if detail, ok := p.found[p.cfg.EventsTopic]; !ok || p.inspects && !led(detail) { // kgo would wait half a minute for a leader
		return nil
	}
	holds, err := p.holds(ctx, p.cfg.EventsTopic)
	if err != nil {
		return p.keep("topic "+p.cfg.EventsTopic, err)
	}
	p.topics.HasEvents = holds
	if p.missing[p.cfg.StateTopic] && p.topics.HasEvents && !p.cfg.Init {
		p.fault(stateSubject, "%s", p.lostState("does not exist"))
	}
	return nil
}

// holds says whether a topic that exists holds anything, or ever did.
func (p *preparation) holds(ctx context.Context, topic string) (holds bool, err error) {
	ends, err := p.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return false, p.failed("look at the end of topic "+topic, err)
	}
	ends.Each(func(o kadm.ListedOffset) { holds = holds || o.Offset > 0 })
	return holds, nil
}

// lostState is the fault of a start that would publish everything a second time.
func (p *preparation) lostState(what string) string {
	return fmt.Sprintf("events topic %s is not empty, but state topic %s %s: going on would publish departures a second time; "+
		"correct STATE_TOPIC or EVENTS_TOPIC, or begin anew with `departures state init` and START=now (an earlier START publishes again "+
		"what the topic already holds since then)", p.cfg.EventsTopic, p.cfg.StateTopic, what)
}

// readState reads every meta and judges them. A state topic that cannot be one is not read: under a mistyped name there may be
// anything, of any size.
func (p *preparation) readState(ctx context.Context) error {
	if _, ok := p.found[p.cfg.StateTopic]; !ok || p.faulty("topic "+p.cfg.StateTopic) {
		return nil
	}
	p.topics.EventsTopicID = topicID(p.found[p.cfg.EventsTopic].ID)
	if p.missing[p.cfg.EventsTopic] {
		p.topics.EventsTopicID = noTopic
	}
	p.topics.stateTopicID = topicID(p.found[p.cfg.StateTopic].ID)
	p.topics.Partitions = len(p.found[p.cfg.StateTopic].Partitions)
	metas, unreadable, err := p.readMetas(ctx, p.topics)
	if err != nil {
		return p.keep(stateSubject, err)
	}
	p.takeOver(stateSubject, unreadable)
	if len(metas) == 0 {
		if len(unreadable) == 0 && p.topics.HasEvents && !p.cfg.Init {
			p.fault(stateSubject, "%s", p.lostState("says nothing about them (no meta record in any partition)"))
		}
		return p.lookForStrangers(ctx)
	}
	p.topics.MetaPartitions = slices.Sorted(maps.Keys(metas))
	p.judge(metas)
	return nil
}

// lookForStrangers warns of a state topic that holds something, but no state: under a mistyped name it may be somebody else's. (A first
// session that was killed between its barrier and its meta leaves one too.)
func (p *preparation) lookForStrangers(ctx context.Context) error {
	holds, err := p.holds(ctx, p.cfg.StateTopic)
	if err != nil {
		return p.keep(stateSubject, err)
	}
	if holds {
		p.warn(stateSubject, "topic %s is not empty, and holds no state of ours: correct STATE_TOPIC, unless a first run was broken off here", p.cfg.StateTopic)
	}
	return nil
}

// judge holds the metas against each other, the configuration and the topics.
func (p *preparation) judge(metas map[int32]schema.Meta) {
	there := p.topics.Partitions
	p.topics.Partitions = metas[p.topics.MetaPartitions[0]].Partitions
	if there < p.topics.Partitions {
		p.fault(stateSubject, "topic %s has %d partitions, its state was written for %d: correct STATE_TOPIC, or restore the topic as it was",
			p.cfg.StateTopic, there, p.topics.Partitions)
	}
	for _, partition := range p.topics.MetaPartitions {
		p.takeOver(stateSubject, p.metaFaults(partition, metas[partition], p.topics))
	}
}

// stateSubject is what a finding about the state, not about its topic, is about.
const stateSubject = "state"

// wantedTopic is one of the three topics as Prepare would create it.
type wantedTopic struct {
	name, variable string
	partitions     int32
	configs        map[string]string
	needs          []kadm.ACLOperation // Describe is part of each
}

func (p *preparation) wanted() []wantedTopic {
	forever := map[string]string{"retention.ms": "-1"}
	write := []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribeConfigs}
	return []wantedTopic{
		{p.cfg.EventsTopic, "EVENTS_TOPIC", 12, forever, write},
		{p.cfg.QuarantineTopic, "QUARANTINE_TOPIC", 1, forever, write},
		{
			p.cfg.StateTopic, "STATE_TOPIC", 12,
			map[string]string{"retention.ms": "-1", "cleanup.policy": "compact"},
			append([]kadm.ACLOperation{kadm.OpRead}, write...),
		},
	}
}

// subject is what a finding about the topic is about.
func (w wantedTopic) subject() string { return "topic " + w.name }

// grant is the way out where rights on the topic are missing.
func (w wantedTopic) grant(rights ...kadm.ACLOperation) string {
	names := map[kadm.ACLOperation]string{
		kadm.OpRead: "Read", kadm.OpWrite: "Write", kadm.OpDescribeConfigs: "DescribeConfigs", kadm.OpCreate: "Create",
	}
	var words []string
	for _, right := range rights {
		words = append(words, names[right])
	}
	return fmt.Sprintf("grant %s on Topic %s", strings.Join(words, ", "), w.name)
}
