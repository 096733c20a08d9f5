package connector

import (
	"context"
	"time"

	"departures/connector/walk"
)

// Further apart than SkewWarning, DingTalk's clock and this host's are worth a word: a host that is ten minutes behind delays every
// departure ten minutes. They agree again below skewCalm.
const (
	SkewWarning = time.Minute
	skewCalm    = 45 * time.Second
)

// clock tells the time of one organisation's walk within one session.
type clock struct {
	opened time.Time // with Go's monotonic reading
	last   time.Time
}

func newClock() *clock { return &clock{opened: time.Now()} }

// read is the walk's time: the earlier of DingTalk's clock (where it is known) and ours, in whole seconds, never back within a session.
func (c *clock) read(dingtalk time.Time, known bool) walk.Clock {
	now := time.Now()
	uptime := now.Sub(c.opened)
	if known && dingtalk.Before(now) {
		now = dingtalk
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
