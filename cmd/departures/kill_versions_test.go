package main

import (
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"

	"departures/connector/kafka/kafkatest"
)

// TestKilledAtRandomOnOlderBrokers is TestKilledAtRandom where only Kafka's older transaction protocol is spoken: a session keeps its
// epoch from one transaction to the next, and adds each partition to a transaction by a request of its own.
func TestKilledAtRandomOnOlderBrokers(t *testing.T) {
	t.Parallel()
	if kafkatest.Real() {
		t.Skip("only on kfake: versions of its own")
	}
	for name, version := range map[string]*kversion.Versions{"2.8": kversion.V2_8_0(), "3.9": kversion.V3_9_0()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			brokers := func(t *testing.T) []string { return unhurried(kafkatest.Fake(t, "", kfake.MaxVersions(version))) }
			killOften(t, 5, howOften(50, 0, 10), brokers, func(r *rig, draw *rand.Rand, kills int) {
				r.killedAtRandom(draw, kills)
				if !r.keptAnEpoch() {
					r.t.Error("every transaction had an epoch of its own, as with the newer protocol")
				}
			})
		})
	}
}

// keptAnEpoch says whether a session wrote anything else by the epoch of its session record, which is a transaction of its own.
func (r *rig) keptAnEpoch() bool {
	type producer struct {
		id    int64
		epoch int16
	}
	opened := map[producer]bool{}
	for _, record := range r.account().State {
		by := producer{record.ProducerID, record.ProducerEpoch}
		switch string(record.Key) {
		case "session":
			opened[by] = true
		case "checkpoint/dingtest":
			if opened[by] {
				return true
			}
		}
	}
	return false
}
