package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"departures/connector/dingtalk"
	"departures/connector/kafka"
	"departures/connector/walk"
)

// healthySession is how long a session must have lived for the pauses before a new one to begin short again.
const healthySession = 10 * time.Minute

// openingGrace is how long a session may take to open, or to restore another restoreStep records, before the loop counts as stuck.
const (
	openingGrace = 5 * time.Minute
	restoreStep  = 100_000
)

// never is when the loop moves again of an organisation that stands still until the next start.
const never = 100 * 365 * 24 * time.Hour

// GCPercent is the GOGC that a program of this connector does well to set, where nobody has set another: half the default. The peak of a
// backfill falls by a sixth, its CPU time rises by as much; below that CPU time rises faster than memory falls.
const GCPercent = 50

// Wire is how the connector reaches the outside; the zero value is the ordinary network. Tests and the demo put a simulated
// DingTalk, or a cable that can be cut, in its place.
type Wire struct {
	DingTalk http.RoundTripper
	Kafka    func(ctx context.Context, network, address string) (net.Conn, error)
}

// Runner is one instance of the connector.
type Runner struct {
	cfg     Config
	cluster *kafka.Cluster
	topics  kafka.Topics // once Kafka is prepared
	codec   codec        // once the registry has been asked
	orgs    []*organisation
	board   *board
	parked  atomic.Int64 // organisations that stand still until a person has looked after them
	log     *slog.Logger
}

// New makes an instance of the connector; it dials nothing.
func New(cfg Config, wire Wire, log *slog.Logger) (*Runner, error) {
	cfg.Kafka.Log = log
	cfg.Kafka.Dial = wire.Kafka
	cluster, err := kafka.New(cfg.Kafka)
	if err != nil {
		return nil, err
	}
	r := &Runner{cfg: cfg, cluster: cluster, board: newBoard(), log: log}
	for _, o := range OnWire(cfg.Orgs, wire, log) {
		r.orgs = append(r.orgs, &organisation{Org: o, client: dingtalk.New(o.DingTalk)})
	}
	return r, nil
}

// OnWire is the organisations with everything that their clients share: the way to DingTalk, the log, and, since DingTalk counts the
// calls of an app and not of an organisation, one rate limit for each app key.
func OnWire(orgs []Org, wire Wire, log *slog.Logger) []Org {
	limiters := map[string]*dingtalk.Limiter{}
	if wire.DingTalk == nil {
		wire.DingTalk = dingtalk.NewTransport()
	}
	on := slices.Clone(orgs)
	for i := range on {
		d := &on[i].DingTalk
		if limiters[d.AppKey] == nil {
			limiters[d.AppKey] = dingtalk.NewLimiter(d.Rate)
		}
		d.Transport, d.Log, d.Limiter = wire.DingTalk, log, limiters[d.AppKey]
	}
	return on
}

// Status is a copy of what the connector says about itself at this moment.
func (r *Runner) Status() Status {
	s := r.board.look()
	if err := r.cluster.GroupError(); err != nil && s.Outage == "" {
		s.Outage = fmt.Sprintf("no part in the consumer group: %v", err)
	}
	return s
}

// Run polls the organisations whose state partition is assigned to this instance, until ctx ends (nil) or a person must act
// (a *Refusal or *kafka.Refusal). It returns within five seconds of the end of ctx, whatever hangs.
func (r *Runner) Run(ctx context.Context) error {
	err := r.run(ctx)
	if ctx.Err() != nil && verdict(err) != refused {
		return nil
	}
	return err
}

func (r *Runner) run(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.settleCodec(ctx); err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	holdings := newHoldings(r.hold, end)
	defer holdings.keep(ctx, nil)
	for assigned, err := range r.cluster.Assigned(ctx) {
		if err != nil {
			end(err)
			break
		}
		if ctx.Err() == nil { // otherwise it is only the end
			r.log.Info("assigned", "partitions", assigned)
		}
		inhabited := slices.DeleteFunc(slices.Clone(assigned), func(p int32) bool { return len(r.living(p)) == 0 })
		for _, p := range inhabited {
			if !holdings.has(p) {
				r.announce(p)
			}
		}
		for _, gone := range holdings.keep(ctx, inhabited) {
			r.forget(gone)
			r.log.Info("session closed", "partition", gone)
		}
		if len(inhabited) == 0 && ctx.Err() == nil {
			r.log.Info("standing by: no organisation of ours lives in the partitions assigned")
		}
		r.board.change(func(s *Status) { s.Joined = true })
	}
	return context.Cause(ctx)
}

// prepare waits for Kafka as long as it takes.
func (r *Runner) prepare(ctx context.Context) error {
	return r.await(ctx, "Kafka", func(ctx context.Context) (err error) {
		r.topics, err = r.cluster.Prepare(ctx)
		return err
	})
}

// await makes an attempt until it succeeds, and says meanwhile whom the start waits for. It returns an error only when ctx ends or a
// person must act.
func (r *Runner) await(ctx context.Context, whom string, attempt func(context.Context) error) error {
	pauses := doubling(sessionLost.pause, sessionLost.most)
	for said := (time.Time{}); ; {
		err := attempt(ctx)
		if err == nil {
			r.board.change(func(s *Status) { s.Outage = "" })
			return nil
		}
		if ctx.Err() != nil || verdict(sessionError{err}) == refused {
			return err
		}
		level := slog.LevelDebug
		if time.Since(said) >= reminder {
			level, said = slog.LevelWarn, time.Now()
		}
		r.log.Log(ctx, level, whom+" cannot be used yet; waiting for it", "err", err)
		r.board.change(func(s *Status) { s.Outage = fmt.Sprintf("%s cannot be used yet: %v", whom, err) })
		if err := sleep(ctx, pauses.NextBackOff()); err != nil {
			return err
		}
	}
}

// living is the organisations that live in a state partition.
func (r *Runner) living(partition int32) []*organisation {
	return slices.DeleteFunc(slices.Clone(r.orgs), func(o *organisation) bool { return r.cluster.Partition(o.CorpID) != partition })
}

// hold keeps a session open on a state partition while it is ours: whatever ends one, the next begins by the same code as the
// first. It returns an error only when a person must act.
func (r *Runner) hold(ctx context.Context, partition int32) error {
	log := r.log.With("partition", partition)
	lost, aside := doubling(sessionLost.pause, sessionLost.most), doubling(fenced.pause, fenced.most)
	var said time.Time
	for {
		opened := time.Now()
		err := r.serve(ctx, partition, log)
		v := verdict(err)
		switch {
		case v == refused:
			return err
		case ctx.Err() != nil:
			return nil
		case time.Since(opened) >= healthySession:
			lost.Reset()
			aside.Reset()
		}
		pauses := lost
		if v == fenced {
			pauses = aside
		}
		pause := pauses.NextBackOff()
		level := slog.LevelDebug
		if v == fenced || time.Since(opened) >= reminder || time.Since(said) >= reminder {
			level, said = slog.LevelWarn, time.Now()
		}
		log.Log(ctx, level, "Kafka: "+v.name+"; opening a new session", "err", err, "again_in", pause.Round(time.Millisecond))
		r.eachOrg(partition, func(o *OrgStatus) {
			o.Trouble = fmt.Sprintf("%s: %v", v.name, err)
			o.MovesBefore = time.Now().Add(pause + loopGrace)
		})
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// serve opens one session and polls the partition's organisations side by side until the first of them loses it.
func (r *Runner) serve(ctx context.Context, partition int32, log *slog.Logger) error {
	orgs := r.living(partition)
	r.announce(partition)
	states, read := restoreFor(orgs), 0
	session, err := r.cluster.Open(ctx, partition, func(key string, value []byte) error {
		if read++; read%restoreStep == 0 {
			r.announce(partition) // a long restore is no stuck loop
		}
		return states.restore(key, value)
	})
	if err != nil {
		return sessionError{fmt.Errorf("session on state partition %d: %w", partition, err)}
	}
	defer session.Close()
	log.Info("session open")
	all, err := r.neighboursOf(ctx, states)
	if err != nil {
		return err
	}
	pulse := newPulse(session, r.cfg.Kafka.StateTopic)
	group, ctx := errgroup.WithContext(ctx)
	for _, o := range orgs {
		group.Go(func() error {
			p := r.poller(o, pulse, states[o.CorpID].ledger, log)
			cp, err := r.begin(ctx, p, states[o.CorpID].checkpoint, all)
			if err == nil {
				err = p.run(ctx, cp)
			}
			return r.park(ctx, o, err)
		})
	}
	return group.Wait()
}

// park lets an organisation stand still that a person has to look after, as long as there is another: nobody's leavers shall wait because
// of another organisation's settings. It gives every other error at once.
func (r *Runner) park(ctx context.Context, o *organisation, err error) error {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	defer r.parked.Add(-1)
	if int(r.parked.Add(1)) == len(r.orgs) {
		return err
	}
	r.log.Error("organisation refused; the others go on", "corp_id", o.CorpID, "err", err)
	r.board.changeOrg(o.CorpID, func(s *OrgStatus) {
		s.Trouble, s.MovesBefore = err.Error(), time.Now().Add(never)
	})
	<-ctx.Done()
	return ctx.Err()
}

func (r *Runner) poller(o *organisation, pulse *pulse, ledger *walk.Ledger, log *slog.Logger) *poller {
	limits := walk.Limits{
		PollInterval:      r.cfg.PollInterval,
		Overlap:           r.cfg.Overlap,
		ReconcileInterval: r.cfg.ReconcileInterval,
		Lookback:          r.cfg.Lookback,
		Endless:           !o.DingTalk.EndTime,
	}
	e := encoder{
		corpID: o.CorpID, privacy: r.cfg.Privacy, keyID: r.cfg.Privacy.keyID(), codec: r.codec,
		cluster: r.cfg.Kafka, topics: pulse.session.Topics(),
	}
	return &poller{
		org:       o,
		pulse:     pulse,
		encoder:   e,
		ledger:    ledger,
		limits:    limits,
		clock:     newClock(),
		board:     r.board,
		log:       log.With("corp_id", o.CorpID),
		fetches:   fetches{client: o.client, encoder: e, limits: limits, answers: make(chan answer)},
		committed: make(chan outcome, 1),
	}
}

func (r *Runner) eachOrg(partition int32, f func(*OrgStatus)) {
	for _, o := range r.living(partition) {
		r.board.changeOrg(o.CorpID, f)
	}
}

// announce puts the organisations of a partition on the status: their session is about to open.
func (r *Runner) announce(partition int32) {
	r.eachOrg(partition, func(o *OrgStatus) {
		o.MovesBefore = time.Now().Add(openingGrace)
	})
}

// forget takes the organisations of a partition that is no longer ours off the status.
func (r *Runner) forget(partition int32) {
	for _, o := range r.living(partition) {
		r.board.forget(o.CorpID)
	}
}
