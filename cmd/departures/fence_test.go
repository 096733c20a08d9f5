package main

import (
	"fmt"
	"strings"
	"testing"

	"departures/connector/kafka/kafkatest"
)

// TestASecondDeploymentOnTheSameState is two deployments that know nothing of each other: each is alone in its group and owns every
// partition there. The state's own fence keeps them apart: nothing is twice, and who was fenced says by whom.
func TestASecondDeploymentOnTheSameState(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	first := r.start("run", "GROUP="+kafkatest.Name(t, "first"))
	first.isReady()
	second := r.start("run", "GROUP="+kafkatest.Name(t, "second"))
	second.isReady()
	for n := 0; !first.stderr.contains("was taken over by") || !second.stderr.contains("was taken over by"); n++ {
		r.leave(1, fmt.Sprintf("round-%d", n))
		r.settle(second)
		if n > 20 {
			t.Fatalf("after %d departures the two have not met\n%s\n%s", n, first.tail(), second.tail())
		}
	}
	r.leave(3, "after")
	r.settle(second)
	for fenced, by := range map[*process]*process{first: second, second: first} {
		name := fmt.Sprintf("-%d at ", by.cmd.Process.Pid) // host name and process id
		said := fenced.lines("Kafka: fenced; opening a new session")
		if len(said) == 0 || !strings.Contains(said[0]["err"].(string), name) {
			t.Errorf("it does not say that process%s fenced it: %v", name, said)
		}
	}
	r.check()
}
