package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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

	// pollJitter is the share of POLL_INTERVAL by which a poll comes earlier or later, so that many connectors do not meet at
	// the full hour, where DingTalk's limit over all tenants is reached first.
	pollJitter = 0.1

	// loopGrace is how much later than promised a loop may move before it counts as stuck.
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
	weather weather
	board   *board
	log     *slog.Logger

	nextHeartbeat time.Time
	apart         bool // the clocks were found apart, and it was said
}

// organisation is one DingTalk organisation and the client that speaks for it, which outlives sessions: it holds the token and
// the rate limit.
type organisation struct {
	Org
	client *dingtalk.Client
}

// run polls until ctx ends or the session is lost. The loop waits; the step works.
func (p *poller) run(ctx context.Context, cp schema.Checkpoint) error {
	p.beat()
	p.show(cp)
	p.warnOfGaps(cp)
	var pr walk.Progress
	for {
		w, wait := walk.Next(cp, pr, p.now(), p.jittered())
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
	got, err := p.collect(ctx, cp, w)
	switch {
	case errors.Is(err, errTooOld):
		return cp, walk.Refused(cp, pr, w, p.now()), nil
	case err != nil:
		return cp, pr, err
	case got.tally.Full() && p.limits.Endless:
		return cp, pr, refusef("organisation %s: more than %d leave records since %s, and DINGTALK_END_TIME=never forbids asking for less at once: set DINGTALK_END_TIME=always, or a later START on a new STATE_TOPIC",
			p.org.CorpID, walk.MaxEndlessRecords, w.Start.Format(time.RFC3339))
	case got.tally.Full():
		p.log.Debug("window cut", windowAttrs(w), "records", len(got.records))
		return cp, walk.Cut(pr, w, got.tally), nil
	}
	p.clear()
	step := walk.Advance(cp, pr, p.ledger, w, got.records, p.now(), p.jittered())
	next := step.Checkpoint
	next.ObservedAt = got.arrived
	next.AppKeyDigest = p.org.AppKeyDigest
	if len(step.Publish)+len(step.Quarantine) > 0 {
		if err := p.publish(ctx, w, got, step, next); err != nil {
			return cp, pr, err
		}
	} else if err := p.beatIfDue(ctx, next); err != nil {
		return cp, pr, err
	}
	p.walked(next, step, got)
	if len(next.Gaps) > len(cp.Gaps) {
		p.warnOfGaps(next)
	}
	return next, step.Progress, nil
}

// collected is everything that a window's pages showed.
type collected struct {
	sightings []sighting
	records   []walk.Record // of the same order; Index is the place in sightings
	tally     *walk.Tally
	arrived   time.Time // our clock when the last page came
}

// errTooOld says that DingTalk refused a window whose start is older than the history it promises.
var errTooOld = errors.New("window refused, and older than DingTalk's history")

// collect walks the window's pages until the last one, or until there are too many records. After an error it waits as the
// verdict says and asks the same page again.
func (p *poller) collect(ctx context.Context, cp schema.Checkpoint, w walk.Window) (collected, error) {
	got := collected{tally: walk.NewTally(w, p.limits)}
	for page, err := range p.org.client.LeaveRecords(ctx, w.AskStart, w.AskEnd) {
		p.watchClocks()
		if err != nil {
			if err := p.sitOut(ctx, cp, w, err); err != nil {
				return got, err
			}
			continue
		}
		p.answered()
		if page.First {
			got = collected{tally: walk.NewTally(w, p.limits)}
		}
		got.arrived = page.ArrivedAt
		for _, lr := range page.Records {
			s, r := p.encoder.see(lr, page.ArrivedAt)
			r.Index = len(got.sightings)
			got.sightings = append(got.sightings, s)
			got.records = append(got.records, r)
			got.tally.Add(r.LeaveTime)
		}
		if got.tally.Full() {
			return got, nil
		}
		if err := p.beatIfDue(ctx, cp); err != nil {
			return got, err
		}
	}
	return got, ctx.Err()
}

// sitOut decides on an error of DingTalk's side, says it once, and waits until the same page may be asked again.
func (p *poller) sitOut(ctx context.Context, cp schema.Checkpoint, w walk.Window, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r := verdict(err)
	if r.do == tooOld && w.Old(p.now()) {
		p.log.Warn("DingTalk: window refused as too old", windowAttrs(w), "err", err)
		if err := p.rest(ctx, cp, r.pause); err != nil {
			return err
		}
		return errTooOld
	}
	pause, first := p.weather.pause(r, askedPause(err))
	trouble, attrs := fmt.Sprintf("%s: %v", r.name, err), []any{"err", err, "again_in", pause.Round(time.Millisecond)}
	if fix := r.fixFor(err); fix != "" {
		trouble, attrs = trouble+": "+fix, append(attrs, "fix", fix)
	}
	level := slog.LevelDebug
	if first { // the same trouble is said once
		level = slog.LevelWarn
	}
	p.log.Log(ctx, level, "DingTalk: "+r.name, attrs...)
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Trouble = trouble })
	return p.rest(ctx, cp, pause)
}

// answered says that DingTalk gave a page. One page is no sign that a walk which was sent back to its first page goes well: that
// page always comes.
func (p *poller) answered() {
	if p.weather.ruling != nextToken {
		p.clear()
	}
}

// clear says that things go well again, if they had not.
func (p *poller) clear() {
	if p.weather.ruling == nil {
		return
	}
	p.weather = weather{}
	p.log.Info("DingTalk answers again")
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.Trouble = "" })
}

// publish commits a step: its events, its quarantined records, a ledger entry for each, and the checkpoint, in one transaction.
func (p *poller) publish(ctx context.Context, w walk.Window, got collected, step walk.Step, next schema.Checkpoint) error {
	now := time.Now()
	records := make([]kafka.Record, 0, 2*(len(step.Publish)+len(step.Quarantine))+1)
	for _, r := range step.Publish {
		event, entry := p.encoder.publish(got.sightings[r.Index], now)
		records = append(records, event, entry)
	}
	for _, r := range step.Quarantine {
		quarantined, entry := p.encoder.quarantine(got.sightings[r.Index], w, now)
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
	p.log.Info("committed", "walk", w.Kind.String(), windowAttrs(w), "events", len(step.Publish), "quarantined", len(step.Quarantine),
		"high_water_mark", next.HighWaterMark)
	return nil
}

// rest waits for d, and commits the heartbeats that fall due meanwhile.
func (p *poller) rest(ctx context.Context, cp schema.Checkpoint, d time.Duration) error {
	for end := time.Now().Add(d); ; {
		if err := p.beatIfDue(ctx, cp); err != nil {
			return err
		}
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		left = min(left, max(time.Until(p.nextHeartbeat), time.Millisecond))
		p.promise(left)
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

// beatIfDue commits the checkpoint alone, when the last commit is long enough ago.
func (p *poller) beatIfDue(ctx context.Context, cp schema.Checkpoint) error {
	p.promise(2 * p.org.DingTalk.Timeout)
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

func (p *poller) now() walk.Clock {
	skew, _ := p.org.client.Skew()
	return p.clock.read(skew)
}

// jittered is the limits with a poll interval up to a tenth shorter or longer.
func (p *poller) jittered() walk.Limits {
	l := p.limits
	l.PollInterval = time.Duration(float64(l.PollInterval) * (1 - pollJitter + 2*pollJitter*rand.Float64()))
	return l
}

// watchClocks says once when DingTalk's clock and ours are too far apart, and once when they agree again.
func (p *poller) watchClocks() {
	skew, ok := p.org.client.Skew()
	if !ok {
		return
	}
	apart := skew.Abs() > skewWarning
	if apart == p.apart {
		return
	}
	p.apart = apart
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.ClocksApart = skew })
	if apart {
		p.log.Warn("DingTalk's clock and this host's are apart: windows end at the earlier one, so departures may come later by as much; set this host's clock",
			"dingtalk_ahead", skew.Round(time.Second))
		return
	}
	p.log.Info("DingTalk's clock and this host's agree again")
}

// walked publishes what a completely walked window changed.
func (p *poller) walked(cp schema.Checkpoint, step walk.Step, got collected) {
	repairs := 0
	for _, r := range step.Publish {
		repairs += got.sightings[r.Index].record.Repairs.Total()
	}
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) {
		o.Checkpoint = cp
		o.LastWalk = time.Now()
		o.Published += int64(len(step.Publish))
		o.Quarantined += int64(len(step.Quarantine))
		o.InTheFuture += int64(step.Future)
		o.Repairs += int64(repairs)
		o.Changed, o.BeforeFloor = step.Changed, step.BeforeFloor
	})
}

// show publishes where the session starts from.
func (p *poller) show(cp schema.Checkpoint) {
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) {
		o.Checkpoint = cp
		o.FreshWithin = 3 * p.limits.PollInterval
	})
}

// promise says when the loop will have moved again, at the latest.
func (p *poller) promise(within time.Duration) {
	p.board.changeOrg(p.org.CorpID, func(o *OrgStatus) { o.MovesBefore = time.Now().Add(within + loopGrace) })
}

func (p *poller) warnOfGaps(cp schema.Checkpoint) {
	for _, g := range cp.Gaps {
		p.log.Warn("gap: DingTalk refused to show who left in this span; compare it with another source", "window_start", g.Start, "window_end", g.End)
	}
}

func windowAttrs(w walk.Window) slog.Attr {
	return slog.Group("", slog.Time("window_start", w.Start), slog.Time("window_end", w.End))
}
