package connector

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestNowIsTheEarlierClockAndNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, ours := newClock(), time.Now()
		for _, step := range []struct {
			name   string
			theirs time.Time
			known  bool
			want   time.Time
		}{
			{"theirs is behind", ours.Add(-time.Hour), true, ours.Add(-time.Hour)},
			{"theirs goes further back", ours.Add(-2 * time.Hour), true, ours.Add(-time.Hour)},
			{"theirs is ahead", ours.Add(time.Hour), true, ours},
			{"theirs is not known any more", time.Time{}, false, ours},
			{"theirs is behind again", ours.Add(-time.Minute), true, ours},
		} {
			if got := c.read(step.theirs, step.known).Now; !got.Equal(step.want.Truncate(time.Second)) {
				t.Errorf("%s: now is %s, want %s", step.name, got, step.want)
			}
		}
	})
}
