package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"departures/connector/dingtalk"
	"departures/connector/walk"
	"departures/schema"
)

// answered takes what a fetch got.
func (p *poller) answered(ctx context.Context, pr walk.Progress, a answer) (walk.Progress, error) {
	f := a.fetch
	if !slices.Contains(p.fetches.open, f) {
		return pr, nil // dropped meanwhile
	}
	f.asked = false
	p.watchClocks()
	if a.err != nil {
		return p.failed(ctx, pr, f, a.err)
	}
	p.answeredAt = time.Now()
	f.failing, f.lasting = time.Time{}, false
	f.weather.brighten(false)
	p.brighten(f, false)
	f.take(a, p.limits)
	if f.window.Kind == walk.CatchUp {
		p.catchUp.records += len(a.seen)
	}
	return p.share(pr, f.window.Kind), nil
}

// share lets the next fresh walk come when the others have had as many pages as the last one.
func (p *poller) share(pr walk.Progress, k walk.Kind) walk.Progress {
	if k == walk.Fresh {
		p.freshPages++
		return pr
	}
	if p.freshPages = max(p.freshPages-1, 0); p.freshPages > 0 {
		return pr
	}
	return walk.Shared(pr)
}

// failed decides on an error of DingTalk's side. What concerns one window alone pauses that window; everything else all of them.
func (p *poller) failed(ctx context.Context, pr walk.Progress, f *fetch, err error) (walk.Progress, error) {
	switch {
	case ctx.Err() != nil:
		return pr, ctx.Err()
	case errors.Is(err, dingtalk.ErrHeld):
		return pr, nil
	}
	if f.failing.IsZero() {
		f.failing = time.Now()
	}
	// The pause to come does not count: under a limit a minute every long window meets one, and would never be had.
	f.lasting, f.err = time.Since(f.failing) >= p.limits.PollInterval, err
	switch r := verdict(err); {
	case refusesStart(err) && f.window.Old(p.now()):
		p.hold(p.sayTrouble(ctx, err))
		p.fetches.drop(f)
		return walk.Refused(pr, f.window, p.now()), nil
	case r.alone && f != p.fetches.turn():
		pause, _ := f.weather.worsen(r, askedPause(err))
		f.resumeAt = time.Now().Add(pause)
		p.log.Debug("DingTalk: "+r.name, windowAttrs(f.window), "err", err, "again_in", pause.Round(time.Millisecond))
	case r.alone:
		f.resumeAt = time.Now().Add(p.sayTrouble(ctx, err))
	case f.called.After(p.org.weather.worseAt), p.org.weather.lesser(r, askedPause(err)):
		p.hold(p.sayTrouble(ctx, err))
	}
	return pr, nil // the last: it was under way when the trouble was noted, and is of the same
}

// hold lets no call be made for a while, not even one that waits for its turn already.
func (p *poller) hold(pause time.Duration) {
	p.org.weather.clearAt = time.Now().Add(pause)
	p.org.client.Hold(p.org.weather.clearAt)
}

// giveWay lets another walk have its turn if a window whose turn it is keeps failing. A stretch of history that cannot be read must not
// keep today's leavers waiting.
func (p *poller) giveWay(cp schema.Checkpoint, pr walk.Progress) walk.Progress {
	f := p.fetches.turn()
	if f == nil || !f.lasting || !p.givesWay(cp, pr, f.window) {
		return pr
	}
	p.givenUp(f.window, f.err, f.failing)
	return walk.GivenUp(pr, f.window)
}

// givesWay says whether another walk would have its turn if this window had had its own.
func (p *poller) givesWay(cp schema.Checkpoint, pr walk.Progress, w walk.Window) bool {
	other, wait := walk.Next(cp, walk.GivenUp(pr, w), p.now(), p.limits)
	return wait == 0 && other.Kind != w.Kind
}

// stuck is a window of the head or the reconcile walk that cannot be had while others can: all that is published is right, but the mark
// stands still.
type stuck struct {
	kind   walk.Kind
	since  time.Time // when such a window was first given up; zero: none was
	saidAt time.Time // zero: nobody was told
}

// givenUp says that a window is stuck, now and then for as long as it is. A fresh window is none: the head covers the same. Where no page
// comes of others either, the trouble is not the window's.
func (p *poller) givenUp(w walk.Window, err error, since time.Time) {
	if w.Kind == walk.Fresh {
		return
	}
	if p.stuck.since.IsZero() {
		p.stuck = stuck{kind: w.Kind, since: time.Now()}
	}
	if !p.answeredAt.After(later(p.stuck.since, p.stuck.saidAt)) {
		return
	}
	if p.stuck.saidAt.IsZero() {
		text := fmt.Sprintf("the window %s to %s cannot be had since %s: %v", w.Start.Format(time.RFC3339), w.End.Format(time.RFC3339), since.UTC().Format(time.RFC3339), err)
		p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Stuck = text })
	}
	if time.Since(p.stuck.saidAt) >= reminder {
		p.log.Warn("DingTalk: a window cannot be had; others are walked meanwhile, but the mark stands still", "walk", w.Kind.String(), windowAttrs(w), "err", err)
		p.stuck.kind, p.stuck.saidAt = w.Kind, time.Now()
	}
}

// tellsOfStuck says whether the warnings of a stuck window tell what there is to tell: while others can be had.
func (p *poller) tellsOfStuck() bool {
	return !p.stuck.saidAt.IsZero() && time.Since(p.answeredAt) < reminder
}

// had says that a window was walked whole, and so its walk is not stuck any more.
func (p *poller) had(w walk.Window) {
	if p.stuck.since.IsZero() || w.Kind == walk.Fresh || (w.Kind == walk.Reconcile) != (p.stuck.kind == walk.Reconcile) {
		return
	}
	said := !p.stuck.saidAt.IsZero()
	p.stuck = stuck{}
	if said {
		p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Stuck = "" })
		p.log.Info("DingTalk: the window could be had after all", "walk", w.Kind.String(), windowAttrs(w))
	}
}

// sayTrouble says what an error of DingTalk's side is, in the log and the status, and gives the pause that it asks for.
func (p *poller) sayTrouble(ctx context.Context, err error) time.Duration {
	r := verdict(err)
	pause, news := p.org.weather.worsen(r, askedPause(err))
	trouble, attrs := fmt.Sprintf("%s: %v", r.name, err), []any{"err", err, "again_in", pause.Round(time.Millisecond)}
	if fix := r.fixFor(err); fix != "" {
		trouble, attrs = trouble+": "+fix, append(attrs, "fix", fix)
	}
	level := slog.LevelDebug
	if news && !p.tellsOfStuck() {
		level = slog.LevelWarn
	}
	p.log.Log(ctx, level, "DingTalk: "+r.name, attrs...)
	p.org.weather.trouble = trouble
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Trouble = trouble })
	return pause
}

// brighten notes that a page came, or all of a window whose turn it is. What was asked before a trouble says nothing of it; and that
// others can be had says nothing of the window whose turn it is.
func (p *poller) brighten(f *fetch, whole bool) {
	w := &p.org.weather
	if f.called.Before(w.worseAt) {
		return
	}
	clear := w.lift
	if f == p.fetches.turn() {
		clear = func() (cleared, news bool) { return w.brighten(whole) }
	}
	cleared, news := clear()
	if w.clearAt.IsZero() {
		p.org.client.Hold(time.Time{})
	}
	if cleared {
		p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Trouble = "" })
	}
	if news && !p.tellsOfStuck() {
		p.log.Info("DingTalk answers again")
	}
}

// meet waits until DingTalk gives an access token, and so shows its clock: a window that ended at the now of a host whose clock is
// ahead would carry the mark beyond DingTalk's now.
func (p *poller) meet(ctx context.Context, cp schema.Checkpoint) error {
	tokens := make(chan error, 1)
	for asked := false; ; {
		now := time.Now()
		p.commitIfDue(ctx, cp)
		p.promise()
		if !asked && !now.Before(p.org.weather.clearAt) {
			asked = true
			p.fetches.running.Go(func() { tokens <- p.org.client.CheckToken(ctx) })
		}
		select {
		case err := <-tokens:
			asked = false
			p.watchClocks()
			if err == nil {
				return nil
			}
			if ctx.Err() == nil {
				p.hold(p.sayTrouble(ctx, err))
			}
		case o := <-p.committed:
			if err := p.settle(o); err != nil {
				return err
			}
		case <-time.After(time.Until(soonest(now, p.org.weather.clearAt, p.pulse.due(p.org.CorpID)))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watchClocks says once when DingTalk's clock and ours are too far apart, and once when they agree again.
func (p *poller) watchClocks() {
	theirs, known := p.org.client.Now()
	if !known {
		return
	}
	ahead := time.Until(theirs).Round(time.Second)
	switch {
	case !p.apart && ahead.Abs() > SkewWarning:
		p.log.Warn("DingTalk's clock and this host's are apart: windows end at the earlier one, so departures may come later by as much; set this host's clock",
			"dingtalk_ahead", ahead)
	case p.apart && ahead.Abs() < skewCalm:
		p.log.Info("DingTalk's clock and this host's agree again")
	default:
		return
	}
	p.apart = !p.apart
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.ClocksApart = 0 })
	if p.apart {
		p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.ClocksApart = ahead })
	}
}
