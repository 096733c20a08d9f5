package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/schema"
)

// meta is what a partition of this cluster's state has to say about itself.
func (c *Cluster) meta(t Topics) schema.Meta {
	return schema.Meta{
		FormatVersion:    schema.FormatVersion,
		MinReaderVersion: schema.FormatVersion,
		Partitions:       t.Partitions,
		EventsTopic:      c.cfg.EventsTopic,
		EventsTopicID:    t.EventsTopicID,
		Encoding:         c.cfg.Encoding,
		KeyFormat:        schema.KeyFormat,
	}
}

// bindAnew is the way out where the events topic is not the one that the state was written for.
const bindAnew = "bind this state to the new topic with `departures state init`: checkpoint and ledger stay, so what was published " +
	"before is not published to it again; to publish everything again, use a new STATE_TOPIC and `departures state init` with START"

// noTopic stands for the id of an events topic that does not exist: whatever is created under its name is another one.
const noTopic = "none"

// metaFaults says what in a partition's meta does not fit the configuration and the topics, each with the way out.
func (c *Cluster) metaFaults(partition int32, m schema.Meta, t Topics) []string {
	var faults []string
	add := func(format string, args ...any) {
		faults = append(faults, fmt.Sprintf("topic %s, partition %d, meta: ", c.cfg.StateTopic, partition)+fmt.Sprintf(format, args...))
	}
	if m.Partitions != t.Partitions {
		add("written for %d partitions, another for %d: the state is mixed from two; correct STATE_TOPIC", m.Partitions, t.Partitions)
	}
	if m.EventsTopic != c.cfg.EventsTopic {
		add("this state belongs to events topic %s, configured is %s: correct EVENTS_TOPIC or STATE_TOPIC", m.EventsTopic, c.cfg.EventsTopic)
	} else if m.EventsTopicID != "" && t.EventsTopicID != "" && m.EventsTopicID != t.EventsTopicID && !c.cfg.Init {
		add("events topic %s is not the one that this state was written for (id %s, now %s), it was deleted, and perhaps created again: "+
			"correct EVENTS_TOPIC or STATE_TOPIC, or %s", m.EventsTopic, m.EventsTopicID, t.EventsTopicID, bindAnew)
	}
	if m.Encoding != c.cfg.Encoding {
		add("events are encoded as %s, configured is %s: correct ENCODING or SCHEMA_REGISTRY_URL, or use another EVENTS_TOPIC and STATE_TOPIC", m.Encoding, c.cfg.Encoding)
	}
	if m.KeyFormat != schema.KeyFormat {
		add("event keys are formed as %s, this program forms %s: use the version of departures that wrote it", m.KeyFormat, schema.KeyFormat)
	}
	return faults
}

// readMetas is the meta of every partition of the state topic that has one, with the faults of those that cannot be read. A
// partition is read up to its first meta: it is written with the first session, so it stands at the beginning. Only where
// that one does not fit (`state init` wrote another later) is the partition read to its end, for the last one.
func (c *Cluster) readMetas(ctx context.Context, t Topics) (map[int32]schema.Meta, []string, error) {
	metas := map[int32]schema.Meta{}
	unreadable := map[int32]string{}
	err := c.scan(ctx, nil, func(r *kgo.Record) (bool, error) {
		if string(r.Key) != schema.MetaKey || r.Value == nil {
			return true, nil
		}
		delete(unreadable, r.Partition)
		m, err := c.parseMeta(r)
		if err != nil {
			unreadable[r.Partition] = err.(*Refusal).Faults[0]
			return true, nil
		}
		metas[r.Partition] = *m
		return m.EventsTopicID != t.EventsTopicID, nil
	})
	var faults []string
	for _, partition := range slices.Sorted(maps.Keys(unreadable)) {
		faults = append(faults, unreadable[partition])
	}
	return metas, faults, err
}
