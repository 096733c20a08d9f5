package connector

import (
	"context"
	"time"

	"departures/connector/walk"
)

// skewWarning is how far DingTalk's clock and ours may lie apart before a person should know: a host that is ten minutes
// behind delays every departure ten minutes.
const skewWarning = time.Minute

// clock tells the time of one organisation's walk within one session.
type clock struct {
	opened time.Time // with Go's monotonic reading
	last   time.Time
}

func newClock() *clock { return &clock{opened: time.Now()} }

// read is the walk's time: the earlier of DingTalk's clock and ours, in whole seconds, never back within a session. skew is
// how far DingTalk's clock is ahead of ours, zero while unknown.
func (c *clock) read(skew time.Duration) walk.Clock {
	now := time.Now()
	uptime := now.Sub(c.opened)
	if skew < 0 {
		now = now.Add(skew)
	}
	if now = now.UTC().Truncate(time.Second); now.After(c.last) {
		c.last = now
	}
	return walk.Clock{Now: c.last, Uptime: uptime}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
