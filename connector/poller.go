package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"departures/connector/dingtalk"
	"departures/connector/kafka"
	"departures/connector/walk"
	"departures/schema"
)

const (
	// heartbeat is how long a checkpoint may stay uncommitted while nobody leaves, before up to heartbeatSpread is added. Once
	// a minute it tells consumers how far the topic is complete, and keeps Kafka from forgetting the transactional id.
	heartbeat       = 50 * time.Second
	heartbeatSpread = 8 * time.Second
	// firstHeartbeat is how soon a session commits its checkpoint, if no window is walked whole before.
	firstHeartbeat = 2 * time.Second

	// pollJitter is the share of POLL_INTERVAL by which a poll comes earlier or later, so that many connectors do not meet at
	// the full hour, where DingTalk's limit over all tenants is reached first.
	pollJitter = 0.1

	// loopGrace is how much later than promised a loop may move before it counts as stuck: a commit may take 45 s.
	loopGrace = time.Minute
)

// poller walks one organisation's leave records within one Kafka session. Its checkpoint is no field: it goes in and comes out.
type poller struct {
	org     *organisation
	session *kafka.Session
	encoder encoder
	ledger  *walk.Ledger
	limits  walk.Limits
	clock   *clock
	board   *board
	log     *slog.Logger

	nextHeartbeat time.Time
	whole         bool // a window was walked whole in this session
	apart         bool // the clocks were found apart, and it was said
	stuck         stuck
}

// organisation is one DingTalk organisation and what outlives a session of it: the client, with its token and rate limit, and how
// DingTalk's mood was last.
type organisation struct {
	Org
	client  *dingtalk.Client
	weather weather // of one poller at a time
}

// run polls until ctx ends or the session is lost. The loop waits; the step works.
func (p *poller) run(ctx context.Context, cp schema.Checkpoint) error {
	// Soon, but after a first window if that goes well: whoever restarts often shall not leave the topic without a checkpoint.
	p.nextHeartbeat = time.Now().Add(firstHeartbeat)
	p.show(cp)
	p.warnOfGaps(cp)
	if err := p.meet(ctx, cp); err != nil {
		return err
	}
	var pr walk.Progress
	for {
		w, wait := walk.Next(cp, pr, p.now(), p.limits)
		var err error
		if wait > 0 {
			err = p.rest(ctx, cp, wait)
		} else {
			cp, pr, err = p.poll(ctx, cp, pr, w)
		}
		if err != nil {
			return err
		}
	}
}

// poll walks one window: collect its records, let the walk decide, commit what is new together with the checkpoint. A poll that
// shows nothing new commits nothing: its checkpoint goes with the next commit, or the next heartbeat.
func (p *poller) poll(ctx context.Context, cp schema.Checkpoint, pr walk.Progress, w walk.Window) (schema.Checkpoint, walk.Progress, error) {
	got, err := p.collect(ctx, cp, pr, w)
	switch {
	case errors.Is(err, errTooOld):
		return cp, walk.Refused(pr, w, p.now()), nil
	case errors.Is(err, errGivenUp):
		return cp, walk.GivenUp(pr, w), nil
	case err != nil:
		return cp, pr, err
	case got.tally.Full() && p.limits.Endless:
		return cp, pr, refusef("organisation %s: more than %d leave records since %s, and DINGTALK_END_TIME=never forbids asking for less at once: set DINGTALK_END_TIME=always; or begin anew at a later START, with a new STATE_TOPIC and `departures state init`",
			p.org.CorpID, walk.MaxEndlessRecords, w.Start.Format(time.RFC3339))
	case got.tally.Full():
		p.log.Debug("window cut", windowAttrs(w), "records", len(got.records))
		return cp, walk.Cut(pr, w, got.tally), nil
	}
	p.brighten(true)
	p.had(w)
	step := walk.Advance(cp, pr, p.ledger, w, got.records, p.now(), p.jittered())
	next := step.Checkpoint
	next.ObservedAt = got.arrived
	next.AppKeyDigest = p.org.AppKeyDigest
	if !p.whole {
		p.whole, p.nextHeartbeat = true, time.Time{}
	}
	if len(step.Publish)+len(step.Quarantine) > 0 {
		err = p.publish(ctx, w, got, step, next)
	} else {
		p.log.Debug("nothing new", "walk", w.Kind.String(), windowAttrs(w), "known", step.Known, "changed", step.Changed, "before_floor", step.BeforeFloor)
		err = p.beatIfDue(ctx, next)
	}
	if err != nil {
		return cp, pr, err
	}
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Checkpoint, o.LastWindow = next, time.Now() })
	if len(next.Gaps) > len(cp.Gaps) {
		p.warnOfGaps(next)
	}
	return next, step.Progress, nil
}

// publish commits a step: its events, its quarantined records, a ledger entry for each, and the checkpoint, in one transaction.
func (p *poller) publish(ctx context.Context, w walk.Window, got collected, step walk.Step, next schema.Checkpoint) error {
	now := time.Now()
	records := make([]kafka.Record, 0, 2*(len(step.Publish)+len(step.Quarantine))+1)
	for _, r := range step.Publish {
		event, entry := p.encoder.eventAndEntry(got.sightings[r.Index], now)
		records = append(records, event, entry)
	}
	for _, r := range step.Quarantine {
		quarantined, entry := p.encoder.quarantinedAndEntry(got.sightings[r.Index], w, now)
		records = append(records, quarantined, entry)
	}
	// Killed before this line takes effect, nothing of the step exists and the same window shows it again; killed after it, the
	// ledger names all of it. Killed within, Kafka has decided for one of the two and the next session reads which.
	if err := p.session.Commit(ctx, append(records, p.encoder.checkpoint(next))); err != nil {
		return sessionError{fmt.Errorf("commit of %d events, window %s to %s: %w", len(step.Publish), w.Start.Format(time.RFC3339), w.End.Format(time.RFC3339), err)}
	}
	for _, r := range step.Publish {
		p.ledger.Add(r.ID, r.Content)
	}
	for _, r := range step.Quarantine {
		p.ledger.Add(r.ID, r.Content)
	}
	p.beat()
	p.log.Info("committed", append([]any{
		"walk", w.Kind.String(), windowAttrs(w), "events", len(step.Publish), "quarantined", len(step.Quarantine),
		"high_water_mark", next.HighWaterMark,
	}, oddities(got, step)...)...)
	return nil
}

// oddities are the counts that are zero on an ordinary day, where they are not.
func oddities(got collected, step walk.Step) (attrs []any) {
	repairs := 0
	for _, r := range slices.Concat(step.Publish, step.Quarantine) {
		repairs += got.sightings[r.Index].record.Repairs.Total()
	}
	for _, odd := range []struct {
		name  string
		count int
	}{{"repairs", repairs}, {"ahead_of_time", step.Future}, {"changed", step.Changed}, {"before_floor", step.BeforeFloor}} {
		if odd.count > 0 {
			attrs = append(attrs, odd.name, odd.count)
		}
	}
	return attrs
}

// rest waits for d, and commits the heartbeats that fall due meanwhile.
func (p *poller) rest(ctx context.Context, cp schema.Checkpoint, d time.Duration) error {
	for end := time.Now().Add(d); ; {
		p.promise()
		if err := p.beatIfDue(ctx, cp); err != nil {
			return err
		}
		left := min(time.Until(end), time.Until(p.nextHeartbeat))
		if !time.Now().Before(end) {
			return ctx.Err()
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

// beatIfDue commits the checkpoint alone, when the last commit is long enough ago.
func (p *poller) beatIfDue(ctx context.Context, cp schema.Checkpoint) error {
	if time.Now().Before(p.nextHeartbeat) {
		return nil
	}
	if err := p.session.Commit(ctx, []kafka.Record{p.encoder.checkpoint(cp)}); err != nil {
		return sessionError{fmt.Errorf("commit of the checkpoint: %w", err)}
	}
	p.beat()
	p.log.Debug("checkpoint committed", "high_water_mark", cp.HighWaterMark)
	return nil
}

// beat sets the next heartbeat, after a commit.
func (p *poller) beat() {
	p.nextHeartbeat = time.Now().Add(heartbeat + rand.N(heartbeatSpread))
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
		o.Stuck, o.ClocksApart = "", 0
	})
}

// promise says when the loop will have moved again, at the latest: it wakes for every heartbeat.
func (p *poller) promise() {
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
