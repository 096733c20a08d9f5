package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
// settings, and reads what the state says about itself. It may be called again, and has to be before anything else.
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
	if err := p.look(ctx); err != nil {
		return Topics{}, err
	}
	if len(p.faults) == 0 {
		if err := p.readState(ctx); err != nil {
			return Topics{}, err
		}
	}
	if len(p.faults) > 0 {
		return Topics{}, &Refusal{Faults: p.faults}
	}
	c.topics.Store(&p.topics)
	return p.topics, nil
}

// preparation is one run of Prepare.
type preparation struct {
	*Cluster
	cl     *client
	adm    *kadm.Client
	found  map[string]kadm.TopicDetail
	faults []string
	topics Topics
}

func (p *preparation) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// note keeps err as a fault if only a person can help, and gives it back if another attempt may.
func (p *preparation) note(attempt string, err error) error { return p.keep(p.failed(attempt, err)) }

// keep takes over the faults of a refusal, and gives every other error back.
func (p *preparation) keep(err error) error {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return err
	}
	p.faults = append(p.faults, refusal.Faults...)
	return nil
}

// look finds, creates and verifies the topics.
func (p *preparation) look(ctx context.Context) error {
	if err := p.reach(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, prepareBound)
	defer cancel()
	defer p.cl.bind(ctx)()
	if err := p.find(ctx); err != nil || len(p.faults) > 0 {
		return err
	}
	if err := p.lookIntoEvents(ctx); err != nil {
		return err
	}
	if err := p.createMissing(ctx); err != nil || len(p.faults) > 0 {
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
		return p.failed("reach Kafka", err)
	}
	if len(meta.Brokers) == 0 || meta.Controller < 0 {
		return errors.New("kafka: reach Kafka: no controller yet")
	}
	return nil
}

// find asks for each topic by itself: kadm does not say which of several it was that a right is missing for.
func (p *preparation) find(ctx context.Context) error {
	p.found = map[string]kadm.TopicDetail{}
	for _, w := range p.wanted() {
		meta, err := p.adm.Metadata(ctx, w.name)
		if err != nil {
			if err := p.note("look for topic "+w.name, err); err != nil {
				return err
			}
			continue
		}
		detail := meta.Topics[w.name]
		switch {
		case errors.Is(detail.Err, kerr.UnknownTopicOrPartition):
		case errors.Is(detail.Err, kerr.InvalidTopicException):
			p.fault("topic %q is not a legal name: correct %s", w.name, w.variable)
		case detail.Err != nil:
			return fmt.Errorf("kafka: look for topic %s: %w", w.name, detail.Err)
		default:
			p.found[w.name] = detail
		}
	}
	return nil
}

// lookIntoEvents sees whether the events topic holds anything, or ever did: before a topic is created, since a start that
// is going to be refused should leave nothing behind that looks like a state.
func (p *preparation) lookIntoEvents(ctx context.Context) error {
	if _, ok := p.found[p.cfg.EventsTopic]; !ok {
		return nil
	}
	attempt := "look at the end of topic " + p.cfg.EventsTopic
	ends, err := p.adm.ListEndOffsets(ctx, p.cfg.EventsTopic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return p.note(attempt, err)
	}
	ends.Each(func(o kadm.ListedOffset) { p.topics.HasEvents = p.topics.HasEvents || o.Offset > 0 })
	if _, ok := p.found[p.cfg.StateTopic]; !ok && p.topics.HasEvents && !p.cfg.Init {
		p.fault("%s", p.lostState("does not exist"))
	}
	return nil
}

// lostState is the fault of a start that would publish everything a second time.
func (p *preparation) lostState(what string) string {
	return fmt.Sprintf("events topic %s is not empty, but state topic %s %s: going on would publish departures a second time; "+
		"correct STATE_TOPIC or EVENTS_TOPIC, or begin anew with `departures state init` and START=now (an earlier START publishes again "+
		"what the topic already holds since then)", p.cfg.EventsTopic, p.cfg.StateTopic, what)
}

// readState reads every meta and judges them.
func (p *preparation) readState(ctx context.Context) error {
	p.topics.EventsTopicID = topicID(p.found[p.cfg.EventsTopic].ID)
	p.topics.stateTopicID = topicID(p.found[p.cfg.StateTopic].ID)
	p.topics.Partitions = len(p.found[p.cfg.StateTopic].Partitions)
	metas, unreadable, err := p.readMetas(ctx, p.topics)
	if err != nil {
		return err
	}
	p.faults = append(p.faults, unreadable...)
	if len(metas) == 0 {
		if len(unreadable) == 0 && p.topics.HasEvents && !p.cfg.Init {
			p.fault("%s", p.lostState("says nothing about them (no meta record in any partition)"))
		}
		return nil
	}
	p.topics.MetaPartitions = slices.Sorted(maps.Keys(metas))
	p.judge(metas)
	return nil
}

// judge holds the metas against each other, the configuration and the topics.
func (p *preparation) judge(metas map[int32]schema.Meta) {
	there := p.topics.Partitions
	p.topics.Partitions = metas[p.topics.MetaPartitions[0]].Partitions
	if there < p.topics.Partitions {
		p.fault("topic %s has %d partitions, its state was written for %d: correct STATE_TOPIC, or restore the topic as it was",
			p.cfg.StateTopic, there, p.topics.Partitions)
	}
	for _, partition := range p.topics.MetaPartitions {
		p.faults = append(p.faults, p.metaFaults(partition, metas[partition], p.topics)...)
	}
}

// wantedTopic is one of the three topics as Prepare would create it.
type wantedTopic struct {
	name, variable string
	partitions     int32
	configs        map[string]string
}

func (p *preparation) wanted() []wantedTopic {
	forever := map[string]string{"retention.ms": "-1"}
	return []wantedTopic{
		{p.cfg.EventsTopic, "EVENTS_TOPIC", 12, forever},
		{p.cfg.QuarantineTopic, "QUARANTINE_TOPIC", 1, forever},
		{p.cfg.StateTopic, "STATE_TOPIC", 12, map[string]string{"retention.ms": "-1", "cleanup.policy": "compact"}},
	}
}
