package connector

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"departures/connector/dingtalk"
	"departures/connector/walk"
	"departures/schema"
)

const (
	// pollJitter is the share of POLL_INTERVAL by which a poll comes earlier or later, so that many connectors do not meet at
	// the full hour, where DingTalk's limit over all tenants is reached first.
	pollJitter = 0.1

	// loopGrace is how much later than promised a loop may move before it counts as stuck: a commit may take 45 s.
	loopGrace = time.Minute
)

// poller walks one organisation's leave records within one Kafka session. Its checkpoint is no field: it goes in and comes out.
type poller struct {
	org     *organisation
	pulse   *pulse
	encoder encoder
	ledger  *walk.Ledger
	limits  walk.Limits
	clock   *clock
	board   *board
	log     *slog.Logger

	fetches    fetches
	batch      batch        // what the next transaction commits
	committed  chan outcome // of the commit under way
	busy       bool         // a commit is under way
	committing int          // how many records it holds

	nextPromise time.Time
	whole       bool // a window was walked whole in this session
	quiet       bool // a window was walked, and it is not said
	apart       bool // the clocks were found apart, and it was said
	stuck       stuck
	answeredAt  time.Time // when a page came last
	catchUp     catchUp
	freshPages  int // that fresh walks have had more than the others
}

// organisation is one DingTalk organisation and what outlives a session of it: the client, with its token and rate limit, and how
// DingTalk's mood was last.
type organisation struct {
	Org
	client  *dingtalk.Client
	weather weather // of one poller at a time
}

// run polls until ctx ends or the session is lost. The loop waits; the steps work.
func (p *poller) run(ctx context.Context, cp schema.Checkpoint) error {
	ctx, cancel := context.WithCancel(ctx)
	defer p.fetches.running.Wait()
	defer cancel()
	p.pulse.offer(p.org.CorpID, cp)
	p.show(cp)
	p.warnOfGaps(cp)
	if err := p.meet(ctx, cp); err != nil {
		return err
	}
	var pr walk.Progress
	for {
		now := time.Now()
		pr = p.giveWay(cp, pr)
		plan, wait := walk.Plan(cp, pr, p.now(), p.limits, p.fetches.windows())
		p.fetches.follow(ctx, plan)
		p.watchCatchUp(plan)
		var err error
		if f := p.fetches.turn(); f != nil && f.over() && p.batch.takes(f) {
			cp, pr, err = p.step(cp, pr, f)
		} else {
			p.commitIfDue(ctx, cp)
			p.fetches.ask(p.org.weather, p.batch.size()+p.committing)
			pr, err = p.await(ctx, pr, p.wake(now, pr, wait))
		}
		if err != nil {
			return err
		}
	}
}

// step lets the walk decide what follows from a window whose turn it is and that wants no further page. What is to be published goes to
// the next transaction, and the ledger names it from now on: if that transaction fails, the session and its ledger are void with it.
// A window that shows nothing new commits nothing: its checkpoint goes with the next commit, or the next heartbeat.
func (p *poller) step(cp schema.Checkpoint, pr walk.Progress, f *fetch) (schema.Checkpoint, walk.Progress, error) {
	w, got := f.window, f.got
	if !got.tally.Full() {
		p.brighten(f, true)
	}
	p.fetches.drop(f)
	switch {
	case got.tally.Full() && p.limits.Endless:
		return cp, pr, refusef("organisation %s: more than %d leave records since %s, and DINGTALK_END_TIME=never forbids asking for less at once: set DINGTALK_END_TIME=always; or begin anew at a later START, with a new STATE_TOPIC and `departures state init`",
			p.org.CorpID, walk.MaxEndlessRecords, w.Start.Format(time.RFC3339))
	case got.tally.Full():
		p.log.Debug("window cut", windowAttrs(w))
		pr = walk.Cut(pr, w, got.tally)
		p.fetches.shorten(w.Kind, 2*pr.Longest(w.Kind))
		return cp, pr, nil
	}
	p.had(w)
	step := walk.Advance(cp, pr, p.ledger, w, got.records(p.ledger), p.now(), p.jittered())
	next := step.Checkpoint
	next.ObservedAt = later(cp.ObservedAt, got.arrived) // a window that had to wait for its turn was seen before others
	next.AppKeyDigest = p.org.AppKeyDigest
	if len(step.Publish)+len(step.Quarantine) > 0 {
		p.batch.add(w, got, step)
	} else {
		p.log.Debug("nothing new", "walk", w.Kind.String(), windowAttrs(w), "known", step.Known, "changed", step.Changed, "before_floor", step.BeforeFloor)
	}
	for _, r := range step.Publish {
		p.ledger.Add(r.ID, r.Content)
	}
	for _, r := range step.Quarantine {
		p.ledger.Add(r.ID, r.Content)
	}
	if !p.whole {
		p.whole = true
		p.pulse.hurry(p.org.CorpID)
	}
	if p.batch.windows == 0 {
		p.quiet = true
	}
	if len(next.Gaps) > len(cp.Gaps) {
		p.warnOfGaps(next)
	}
	return next, step.Progress, nil
}

// outcome is how a commit ended.
type outcome struct {
	batch      batch
	checkpoint schema.Checkpoint
	err        error
}

// commitIfDue begins to commit what has gathered together with the checkpoint, or the checkpoint alone when the last commit is long
// enough ago; unless a commit is under way.
func (p *poller) commitIfDue(ctx context.Context, cp schema.Checkpoint) {
	if p.busy {
		return
	}
	if p.batch.windows == 0 {
		if p.quiet {
			p.quiet = false
			p.walked(cp)
		}
		p.pulse.offer(p.org.CorpID, cp)
		if time.Now().Before(p.pulse.due(p.org.CorpID)) {
			return
		}
	}
	b := p.batch
	p.busy, p.committing, p.batch = true, b.size(), batch{}
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.CommitSince = time.Now() })
	p.fetches.running.Go(func() {
		// Killed before this line takes effect, nothing of these windows exists and the same windows show it again; killed after it, the
		// ledger names all of it. Killed within, Kafka has decided for one of the two and the next session reads which.
		err := p.pulse.commit(ctx, p.org.CorpID, cp, b.take(p.encoder, time.Now()))
		p.committed <- outcome{b, cp, err}
	})
}

// settle notes how a commit ended.
func (p *poller) settle(o outcome) error {
	b, cp := o.batch, o.checkpoint
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.CommitSince = time.Time{} })
	switch {
	case o.err != nil && b.windows > 0:
		return sessionError{fmt.Errorf("commit of %d events, window %s to %s: %w", b.events, b.start.Format(time.RFC3339), b.end.Format(time.RFC3339), o.err)}
	case o.err != nil:
		return sessionError{fmt.Errorf("commit of the checkpoint: %w", o.err)}
	}
	p.busy, p.committing = false, 0
	if b.windows == 0 {
		p.log.Debug("checkpoint committed", "high_water_mark", cp.HighWaterMark)
		return nil
	}
	p.walked(cp)
	level := slog.LevelInfo
	if b.kind == walk.CatchUp {
		level = slog.LevelDebug // how it gets on is said every few seconds
	}
	p.log.Log(context.Background(), level, "committed", b.attrs(cp)...)
	return nil
}

// walked publishes a checkpoint up to which all is committed that is to be.
func (p *poller) walked(cp schema.Checkpoint) {
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Checkpoint, o.LastWindow = cp, time.Now() })
}

// await waits for what comes next: a page, the end of a commit, or the time of something.
func (p *poller) await(ctx context.Context, pr walk.Progress, wake time.Time) (walk.Progress, error) {
	p.promise()
	select {
	case a := <-p.fetches.answers:
		return p.answered(ctx, pr, a)
	case o := <-p.committed:
		return pr, p.settle(o)
	case <-time.After(time.Until(wake)):
		return pr, nil
	case <-ctx.Done():
		return pr, ctx.Err()
	}
}

// wake is when the loop has to look again although nothing has come: for a poll that falls due, for a fetch that was paused, for a
// heartbeat. Now is when the loop began to look: whatever has fallen due since is still to come.
func (p *poller) wake(now time.Time, pr walk.Progress, wait time.Duration) time.Time {
	at := soonest(now, p.clock.opened.Add(pr.Due()), p.fetches.nextCall(now, p.org.weather.clearAt), p.pulse.due(p.org.CorpID), p.catchUp.sayAt())
	if wait > 0 {
		at = soonest(now, at, now.Add(wait))
	}
	return at
}

// soonest is the first of some times that is still to come, at most a heartbeat away.
func soonest(now time.Time, times ...time.Time) time.Time {
	at := now.Add(heartbeat)
	for _, t := range times {
		if t.After(now) && t.Before(at) {
			at = t
		}
	}
	return at
}

func (p *poller) now() walk.Clock { return p.clock.read(p.org.client.Now()) }

// jittered is the limits with a poll interval up to a tenth shorter or longer.
func (p *poller) jittered() walk.Limits {
	l := p.limits
	l.PollInterval = time.Duration(float64(l.PollInterval) * (1 - pollJitter + 2*pollJitter*rand.Float64()))
	return l
}

// show publishes where the session starts from.
func (p *poller) show(cp schema.Checkpoint) {
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) {
		o.Checkpoint = cp
		o.FreshWithin = 3 * p.limits.PollInterval
		o.Trouble = p.org.weather.trouble
		o.Stuck, o.ClocksApart, o.CatchUp, o.CommitSince = "", 0, nil, time.Time{}
	})
}

// promise says when the loop will have moved again, at the latest: it wakes for every heartbeat. Said once a second, it holds.
func (p *poller) promise() {
	if time.Now().Before(p.nextPromise) {
		return
	}
	p.nextPromise = time.Now().Add(time.Second)
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.MovesBefore = time.Now().Add(heartbeat + heartbeatSpread + loopGrace) })
}

func (p *poller) warnOfGaps(cp schema.Checkpoint) {
	for _, g := range cp.Gaps {
		p.log.Warn("gap: DingTalk refused to show who left in this span; compare it with another source", "window_start", g.Start, "window_end", g.End)
	}
}

func windowAttrs(w walk.Window) slog.Attr {
	return slog.Group("", slog.Time("window_start", w.Start), slog.Time("window_end", w.End))
}
