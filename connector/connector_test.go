package connector_test

import (
	"testing"

	"departures/connector/kafka/kafkatest"
)

func TestADepartureIsPublishedOnce(t *testing.T) {
	r := newRig(t, kafkatest.Brokers(t))
	r.leave(3, "before")
	i := r.start(nil)
	r.settle()
	r.leave(120, "during")
	r.settle()
	r.stop(i)
	r.check()

	i = r.start(nil)
	r.leave(5, "after")
	r.settle()
	r.stop(i)
	r.check()
}
