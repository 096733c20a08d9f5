package connector_test

import (
	"testing"
	"time"
)

// TestThirtyIdleDaysThenADeparture lets nobody leave for thirty days of simulated time, and then somebody. In between the checkpoint
// has to stand in Kafka at least once a minute.
func TestThirtyIdleDaysThenADeparture(t *testing.T) {
	days := 30
	if testing.Short() {
		days = 1
	}
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.PollInterval = time.Minute
		i := r.start(nil)
		r.leave(1, "before")
		time.Sleep(time.Duration(days) * 24 * time.Hour)
		r.leave(1, "after")
		time.Sleep(70 * time.Second) // a poll interval with its jitter
		r.stop(i)
		r.check()
		r.checkpointsAMinute()
	})
}
