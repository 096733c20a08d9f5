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
		days = 8 // beyond the 7 days after which Kafka would forget an idle transactional id
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

		a, err := r.account()
		if err != nil {
			t.Fatal(err)
		}
		var last time.Time
		for _, s := range a.State {
			if string(s.Key) != "checkpoint/dingtest" {
				continue
			}
			if gap := s.Timestamp.Sub(last); gap > time.Minute && !last.IsZero() {
				t.Errorf("no checkpoint for %s before %s", gap, s.Timestamp)
			}
			last = s.Timestamp
		}
		if age := time.Since(last); age > time.Minute {
			t.Errorf("the last checkpoint is %s old", age)
		}
	})
}
