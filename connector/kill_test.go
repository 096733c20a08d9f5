package connector_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

// TestKilledAtEveryRequestToKafka kills the connector at each request that it sends to Kafka, from its very first start to a
// stop with departures published in several transactions: once before the broker has seen the request, once after the broker has
// answered it and before the connector could know. Another instance then takes over, and the whole guarantee must hold.
func TestKilledAtEveryRequestToKafka(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	step := 1
	if testing.Short() {
		step = 7
	}
	for _, when := range []kafkatest.When{kafkatest.NotApplied, kafkatest.Applied} {
		t.Run(when.String(), func(t *testing.T) {
			var reached atomic.Bool // a run came to its end before the request at which it was to be killed
			for first := 1; !reached.Load(); first += 8 * step {
				t.Run(fmt.Sprintf("requests from %d", first), func(t *testing.T) {
					for n := first; n < first+8*step; n += step {
						t.Run(fmt.Sprintf("killed at request %d", n), func(t *testing.T) {
							t.Parallel()
							if !killAt(t, brokers, n, when) {
								reached.Store(true)
							}
						})
					}
				})
			}
		})
	}
}

// killAt runs a connector that is killed at its nth request, if it gets that far, and lets another one finish.
func killAt(t *testing.T, brokers []string, n int, when kafkatest.When) (killed bool) {
	r := newRig(t, brokers)
	r.cfg.Kafka.InstanceID = "static" // a killed member's partitions come back at once
	r.leave(60, "before")             // two pages
	var cutter kafkatest.Cutter
	cut := make(chan int16, 1)
	cutter.OnCut(func(key int16) { cut <- key })
	cutter.CutAt(n, when)
	victim := r.start(&cutter)
	for i := 0; i < 5 && !killed; i++ {
		select {
		case key := <-cut:
			t.Logf("killed at a %s request", kmsg.NameForKey(key))
			killed = true
		case <-time.After(150 * time.Millisecond):
			r.leave(2, fmt.Sprintf("during-%d", i))
		}
	}
	r.stop(victim)
	heir := r.start(nil)
	r.leave(2, "after")
	r.settle()
	r.stop(heir)
	r.check()
	return killed
}
