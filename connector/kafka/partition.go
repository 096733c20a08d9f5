package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// javaDefault places a keyed record as Java's default partitioner does: murmur2 of the key, & 0x7fffffff, modulo the count. It
// keeps something in mind for records without a key only, so this one serves all topics and goroutines.
var javaDefault = kgo.StickyKeyPartitioner(nil).ForTopic("")

// Partition is the state partition in which an organisation lives: murmur2(corpID) & 0x7fffffff modulo the count in meta.
// It may be asked once Prepare has succeeded, and gives -1 before.
func (c *Cluster) Partition(corpID string) int32 {
	t := c.topics.Load()
	if t == nil {
		return -1
	}
	return int32(javaDefault.Partition(&kgo.Record{Key: []byte(corpID)}, t.Partitions))
}

// partitioner sends state records where their Partition says, and every other record where the part of its key says that
// partitionKey gives.
type partitioner struct {
	stateTopic   string
	partitionKey func(key []byte) []byte
}

// ForTopic is the rule for one topic.
func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == p.stateTopic {
		return kgo.ManualPartitioner().ForTopic(topic)
	}
	return &byPartOfKey{TopicPartitioner: javaDefault, part: p.partitionKey}
}

// byPartOfKey is one topic's, and kgo asks it under the topic's lock.
type byPartOfKey struct {
	kgo.TopicPartitioner
	part func(key []byte) []byte

	short kgo.Record // made once, since there may be a million; its key is the part
}

// Partition hashes the part of the key instead of the key.
func (b *byPartOfKey) Partition(r *kgo.Record, n int) int {
	b.short.Key = b.part(r.Key)
	return b.TopicPartitioner.Partition(&b.short, n)
}
