package connector

import (
	"fmt"
	"slices"
	"time"

	"departures/connector/walk"
)

// sayProgress is how often it is said how a catch-up gets on.
const sayProgress = 5 * time.Second

// CatchUp is how a catch-up gets on: the walk over more than seven days of history, at a first start or after a long stop.
type CatchUp struct {
	Through   time.Time     // everything until then is walked
	Until     time.Time     // where the walk ends
	Percent   float64       // of its span of time
	PerSecond float64       // leave records shown a second, lately
	Left      time.Duration // if it goes on as it went so far; zero while that is unknown
}

// String is how it stands, for people.
func (c CatchUp) String() string {
	s := fmt.Sprintf("through %s, %.1f %% of the way to %s, %.0f leave records a second", c.Through.Format(time.RFC3339), c.Percent, c.Until.Format(time.RFC3339), c.PerSecond)
	if c.Left > 0 {
		s += ", " + c.Left.String() + " left"
	}
	return s
}

// catchUp watches a catch-up of one session.
type catchUp struct {
	from    time.Time // where the session found it
	began   time.Time // zero: there is none
	records int       // shown since it was last said
	saidAt  time.Time
}

// sayAt is when it is to be said next, the zero time when there is none.
func (c *catchUp) sayAt() time.Time {
	if c.began.IsZero() {
		return time.Time{}
	}
	return c.saidAt.Add(sayProgress)
}

// watchCatchUp says now and then how a catch-up gets on, and when it is over.
func (p *poller) watchCatchUp(plan []walk.Window) {
	c, now := &p.catchUp, time.Now()
	i := slices.IndexFunc(plan, func(w walk.Window) bool { return w.Kind == walk.CatchUp })
	switch {
	case i < 0 && (c.began.IsZero() || len(plan) > 0 && plan[0].Kind == walk.Fresh): // a fresh walk comes in between only
		return
	case i < 0:
		p.log.Info("caught up", "window_start", c.from, "duration", now.Sub(c.began).Round(time.Millisecond))
		p.catchUp = catchUp{}
		p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.CatchUp = nil })
		return
	case c.began.IsZero():
		*c = catchUp{from: plan[i].Start, began: now, saidAt: now}
	case now.Before(c.sayAt()):
		return
	}
	s := c.status(plan[i], now)
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.CatchUp = &s })
	if now == c.began {
		p.log.Info("catching up", "from", c.from, "until", s.Until)
		return
	}
	attrs := []any{"through", s.Through, "until", s.Until, "percent", round(s.Percent), "records_per_second", round(s.PerSecond)}
	if s.Left > 0 {
		attrs = append(attrs, "left", s.Left)
	}
	p.log.Info("catching up", attrs...)
	c.records, c.saidAt = 0, now
}

// status is how it stands when w is the next window of the walk.
func (c *catchUp) status(w walk.Window, now time.Time) CatchUp {
	s := CatchUp{Through: w.Start, Until: w.Target()}
	if lately := now.Sub(c.saidAt); lately > 0 {
		s.PerSecond = float64(c.records) / lately.Seconds()
	}
	if done, whole := w.Start.Sub(c.from), s.Until.Sub(c.from); done > 0 {
		s.Percent = 100 * float64(done) / float64(whole)
		s.Left = time.Duration(float64(now.Sub(c.began)) * float64(whole-done) / float64(done)).Round(time.Second)
	}
	return s
}

// round is for people.
func round(f float64) float64 { return float64(int(10*f+0.5)) / 10 }
