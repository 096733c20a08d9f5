package connector_test

import (
	"testing"
	"time"

	"departures/connector/kafka/kafkatest"
)

// TestASecondDeploymentOnTheSameState runs two connectors side by side that know nothing of each other: the same state, another
// group. Each takes the partition from the other now and then, and nothing is published twice.
func TestASecondDeploymentOnTheSameState(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	one := r.start(nil)
	r.leave(5, "alone")
	r.settle()
	r.cfg.Kafka.Group += "-second"
	r.cfg.Kafka.Instance = "the-other-deployment"
	two := r.start(nil)
	for n := range 40 {
		r.leave(1, "together-"+string(rune('a'+n)))
		time.Sleep(100 * time.Millisecond)
	}
	r.settle()
	r.stop(one)
	r.stop(two)
	r.check()
	if !r.log.contains("was taken over by the-other-deployment") {
		t.Errorf("the log does not say who took over\n%s", r.log.tail())
	}
}
