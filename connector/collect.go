package connector

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"departures/connector/dingtalk"
	"departures/connector/walk"
	"departures/schema"
)

// collected is everything that a window's pages showed.
type collected struct {
	sightings []sighting
	records   []walk.Record // of the same order; Index is the place in sightings
	tally     *walk.Tally
	arrived   time.Time // our clock when the last page came
}

var (
	// errTooOld says that DingTalk refused a window whose start is older than the history it promises.
	errTooOld = errors.New("window refused, and older than DingTalk's history")
	// errGivenUp says that a window kept failing while a more urgent one was waiting.
	errGivenUp = errors.New("window given up for a more urgent one")
)

// collect walks the window's pages until the last one, or until there are too many records. After an error it waits as the
// verdict says and asks the same page again.
func (p *poller) collect(ctx context.Context, cp schema.Checkpoint, pr walk.Progress, w walk.Window) (collected, error) {
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	next, stop := iter.Pull2(p.org.client.LeaveRecords(call, w.AskStart, w.AskEnd))
	defer stop()
	got := collected{tally: walk.NewTally(w, p.limits)}
	var failing time.Time // since when, without a page in between; zero while all goes well
	for {
		var page dingtalk.Page
		var err error
		if lost := p.beating(ctx, cp, cancel, func() { page, err, _ = next() }); lost != nil {
			return got, lost
		}
		p.watchClocks()
		if err != nil {
			if failing.IsZero() {
				failing = time.Now()
			}
			if err := p.endure(ctx, cp, pr, w, err, failing); err != nil {
				return got, err
			}
			continue
		}
		p.brighten(false)
		failing = time.Time{}
		if page.First {
			got = collected{tally: walk.NewTally(w, p.limits)}
		}
		p.take(&got, page)
		if page.Last || got.tally.Full() {
			return got, nil
		}
	}
}

// endure sits an error out, and decides whether the window goes on after it.
func (p *poller) endure(ctx context.Context, cp schema.Checkpoint, pr walk.Progress, w walk.Window, err error, failing time.Time) error {
	// The pause to come does not count: under a limit a minute every long window meets one, and would never be had.
	lasting := time.Since(failing) >= p.limits.PollInterval
	if err := p.sitOut(ctx, cp, err); err != nil {
		return err
	}
	switch {
	case refusesStart(err) && w.Old(p.now()):
		return errTooOld
	case lasting && p.givesWay(cp, pr, w):
		p.givenUp(w, err, failing)
		return errGivenUp
	}
	return nil
}

// take adds a page to what was collected.
func (p *poller) take(got *collected, page dingtalk.Page) {
	got.arrived = page.ArrivedAt
	for _, lr := range page.Records {
		s, r := p.encoder.see(lr, page.ArrivedAt, p.ledger)
		r.Index = len(got.sightings)
		got.sightings = append(got.sightings, s)
		got.records = append(got.records, r)
		got.tally.Add(r.LeaveTime)
	}
}

// givesWay says whether another walk would have its turn if this window, which keeps failing, had had its own. A stretch of history
// that cannot be read must not keep today's leavers waiting.
func (p *poller) givesWay(cp schema.Checkpoint, pr walk.Progress, w walk.Window) bool {
	other, wait := walk.Next(cp, walk.GivenUp(pr, w), p.now(), p.limits)
	return wait == 0 && other.Kind != w.Kind
}

// stuck is a window of the head or the reconcile walk that cannot be had while others can: all that is published is right, but the mark
// stands still.
type stuck struct {
	kind   walk.Kind
	saidAt time.Time // zero: no window is stuck
}

// givenUp says that a window is stuck, now and then for as long as it is. A fresh window is none: the head covers the same.
func (p *poller) givenUp(w walk.Window, err error, since time.Time) {
	if w.Kind == walk.Fresh {
		return
	}
	if p.stuck.saidAt.IsZero() {
		text := fmt.Sprintf("the window %s to %s cannot be had since %s: %v", w.Start.Format(time.RFC3339), w.End.Format(time.RFC3339), since.UTC().Format(time.RFC3339), err)
		p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Stuck = text })
	}
	if time.Since(p.stuck.saidAt) >= reminder {
		p.log.Warn("DingTalk: a window cannot be had; others are walked meanwhile, but the mark stands still", "walk", w.Kind.String(), windowAttrs(w), "err", err)
		p.stuck = stuck{kind: w.Kind, saidAt: time.Now()}
	}
}

// had says that a window was walked whole, and so its walk is not stuck any more.
func (p *poller) had(w walk.Window) {
	if p.stuck.saidAt.IsZero() || w.Kind == walk.Fresh || (w.Kind == walk.Reconcile) != (p.stuck.kind == walk.Reconcile) {
		return
	}
	p.stuck = stuck{}
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Stuck = "" })
	p.log.Info("DingTalk: the window could be had after all", "walk", w.Kind.String(), windowAttrs(w))
}

// beating makes a call to DingTalk and commits the heartbeats that fall due meanwhile: a call may hang longer than a minute. Its error is
// one of Kafka's; then the call was cancelled and is over.
func (p *poller) beating(ctx context.Context, cp schema.Checkpoint, cancel context.CancelFunc, call func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	for {
		p.promise()
		beat := time.NewTimer(time.Until(p.nextHeartbeat))
		select {
		case <-done:
			beat.Stop()
			return nil
		case <-beat.C:
		}
		if err := p.beatIfDue(ctx, cp); err != nil {
			cancel()
			<-done
			return err
		}
	}
}

// sitOut decides on an error of DingTalk's side, says it, and waits until the next call may be made.
func (p *poller) sitOut(ctx context.Context, cp schema.Checkpoint, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r := verdict(err)
	pause, news := p.org.weather.worsen(r, askedPause(err))
	trouble, attrs := fmt.Sprintf("%s: %v", r.name, err), []any{"err", err, "again_in", pause.Round(time.Millisecond)}
	if fix := r.fixFor(err); fix != "" {
		trouble, attrs = trouble+": "+fix, append(attrs, "fix", fix)
	}
	level := slog.LevelDebug
	if news && p.stuck.saidAt.IsZero() { // else that window's own warnings tell
		level = slog.LevelWarn
	}
	p.log.Log(ctx, level, "DingTalk: "+r.name, attrs...)
	p.org.weather.trouble = trouble
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Trouble = trouble })
	return p.rest(ctx, cp, pause)
}

// brighten notes that a page came, or a whole window.
func (p *poller) brighten(whole bool) {
	cleared, news := p.org.weather.brighten(whole)
	if cleared {
		p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Trouble = "" })
	}
	if news && p.stuck.saidAt.IsZero() {
		p.log.Info("DingTalk answers again")
	}
}

// meet waits until DingTalk gives an access token, and so shows its clock: a window that ended at the now of a host whose clock is
// ahead would carry the mark beyond DingTalk's now.
func (p *poller) meet(ctx context.Context, cp schema.Checkpoint) error {
	if err := p.rest(ctx, cp, time.Until(p.org.weather.clearAt)); err != nil {
		return err
	}
	for {
		var err error
		call, cancel := context.WithCancel(ctx)
		lost := p.beating(ctx, cp, cancel, func() { err = p.org.client.CheckToken(call) })
		cancel()
		if lost != nil {
			return lost
		}
		p.watchClocks()
		if err == nil {
			return nil
		}
		if err := p.sitOut(ctx, cp, err); err != nil {
			return err
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
