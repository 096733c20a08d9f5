package kafka

import (
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/schema"
)

// javaHashes are from Kafka's own test of its murmur2 (org.apache.kafka.common.utils.UtilsTest, testMurmur2).
var javaHashes = map[string]int32{
	"21":                         -973932308,
	"foobar":                     -790332482,
	"a-little-bit-long-string":   -985981536,
	"a-little-bit-longer-string": -1486304829,
	"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	"abc": 479470107,
}

// TestPartitionIsJavas: another client in another language has to find the same partition.
func TestPartitionIsJavas(t *testing.T) {
	t.Parallel()
	for key, hash := range javaHashes {
		for _, n := range []int{1, 2, 12, 50, math.MaxInt32} {
			want := int32(int(hash&0x7fffffff) % n)
			c := &Cluster{}
			c.topics.Store(&Topics{Partitions: n})
			if got := c.Partition(key); got != want {
				t.Errorf("state partition of %q among %d is %d, Java says %d", key, n, got, want)
			}
			events := partitioner{"state", schema.PartitionKey}.ForTopic("events")
			r := &kgo.Record{Key: []byte(key + "@2024-01-01T00:00:00Z"), Partition: 7}
			if got := int32(events.Partition(r, n)); got != want {
				t.Errorf("partition of %q among %d is %d, Java says %d for the part before the @", r.Key, n, got, want)
			}
			if !events.RequiresConsistency(r) {
				t.Error("an event would change its partition while that one is down")
			}
		}
	}
}

func TestStateRecordsGoWhereTheSessionSays(t *testing.T) {
	states := partitioner{"state", schema.PartitionKey}.ForTopic("state")
	if got := states.Partition(&kgo.Record{Key: []byte("checkpoint/corp"), Partition: 7}, 12); got != 7 {
		t.Errorf("a state record of partition 7 goes to %d", got)
	}
}

func TestPartitionBeforePrepare(t *testing.T) {
	if got := new(Cluster).Partition("corp"); got != -1 {
		t.Errorf("a partition is %d before anybody knows how many there are", got)
	}
}
