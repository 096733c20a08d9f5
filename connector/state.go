package connector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"departures/connector/kafka"
	"departures/connector/walk"
	"departures/schema"
)

// restored is what the state topic holds of one organisation.
type restored struct {
	checkpoint *schema.Checkpoint // nil: it was never started
	ledger     *walk.Ledger
}

// restoring collects the organisations of one state partition, by corpId, while the partition is read.
type restoring map[string]*restored

func restoreFor(orgs []*organisation) restoring {
	r := restoring{}
	for _, o := range orgs {
		r.add(o.CorpID)
	}
	return r
}

func (r restoring) add(corpID string) { r[corpID] = &restored{ledger: walk.NewLedger()} }

// restore takes one state record, oldest first; a nil value takes an earlier record of the key away. A record of ours that
// cannot be read refuses the start: a default in its place would publish everything again. Organisations that are not
// configured, and kinds of record that a compatible newer version may have added, are passed over.
func (r restoring) restore(key string, value []byte) error {
	kind, corpID := schema.StateKey(key)
	org, ours := r[corpID]
	if !ours {
		return nil
	}
	switch kind {
	case schema.KindCheckpoint:
		if value == nil {
			org.checkpoint = nil
			return nil
		}
		cp, err := schema.ParseCheckpoint(value)
		if err != nil {
			return unreadable(kind, corpID, err)
		}
		org.checkpoint = &cp
	case schema.KindPublished, schema.KindQuarantined:
		if value == nil {
			org.ledger.Remove(walk.IDOf(key))
			return nil
		}
		entry, err := schema.ParseLedgerEntry(value)
		if err != nil {
			return unreadable(kind, corpID, err)
		}
		org.ledger.Add(walk.IDOf(key), contentOf(entry.Digest))
	}
	return nil
}

// unreadable names a record by its kind and organisation alone: a userId stands in the key of a ledger entry.
func unreadable(kind schema.Kind, corpID string, err error) error {
	return refusef("state record %s/%s cannot be read (%v): the state was written by something else, or by a newer version: use that version, or a STATE_TOPIC of its own", kind, corpID, err)
}

// begin is the checkpoint that the organisation's walk goes on from. One that was never started gets its first checkpoint,
// committed before DingTalk is asked anything: otherwise START=now would slide with every restart before the first success.
func (r *Runner) begin(ctx context.Context, p *poller, found *schema.Checkpoint, all neighbours) (schema.Checkpoint, error) {
	if found != nil {
		return *found, nil
	}
	if faults := all.faults(r.cfg, p.org.Org); len(faults) > 0 {
		return schema.Checkpoint{}, &Refusal{Faults: faults}
	}
	cp := firstCheckpoint(p.org.Org, r.cfg.Start, time.Now())
	p.pulse.offer(p.org.CorpID, cp)
	p.pulse.hurry(p.org.CorpID)
	if err := p.pulse.commit(ctx, p.org.CorpID, cp, slices.Values([]kafka.Record(nil))); err != nil {
		return cp, sessionError{fmt.Errorf("commit of the first checkpoint: %w", err)}
	}
	p.log.Info("first checkpoint", "high_water_mark", cp.HighWaterMark)
	return cp, nil
}

func firstCheckpoint(o Org, start Start, now time.Time) schema.Checkpoint {
	at := start.At(now)
	return schema.Checkpoint{HighWaterMark: at, ReconciledThrough: at, Floor: at, ObservedAt: now, AppKeyDigest: o.AppKeyDigest}
}

// neighboursOf reads what the state topic holds of every organisation, once for all of a partition that have no checkpoint yet: with a first
// ORGS_FILE hundreds begin at once. It reads nothing where all have one.
func (r *Runner) neighboursOf(ctx context.Context, states restoring) (neighbours, error) {
	all := newNeighbours()
	for _, s := range states {
		if s.checkpoint == nil {
			if err := r.cluster.ReadState(ctx, nil, all.see); err != nil {
				return all, sessionError{fmt.Errorf("look for the apps' other checkpoints in %s: %w", r.cfg.Kafka.StateTopic, err)}
			}
			break
		}
	}
	return all, nil
}

// Init writes `meta` and a first checkpoint at START for every organisation that has none, and returns a line for each of what
// it did. It is how a deliberate new start beside a non-empty events topic is made, or how a state is bound to an events topic
// that was created anew; a checkpoint and a ledger that exist stay as they are.
func Init(ctx context.Context, cfg Config, wire Wire, log *slog.Logger) ([]string, error) {
	cfg.Kafka.Init = true
	r, err := New(cfg, wire, log)
	if err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if r.cfg.Start.IsZero() && len(r.topics.MetaPartitions) == 0 {
		// Before anything is written: a meta without a checkpoint would let the next run begin beside a full events topic.
		return nil, refusef("%s holds no state yet and START is not set: set START to now, a time, or a duration back such as 8736h", r.cfg.Kafka.StateTopic)
	}
	// Every partition that already has a meta is opened too: one left with a stale meta would refuse the next start.
	partitions := slices.Clone(r.topics.MetaPartitions)
	for _, o := range r.orgs {
		partitions = append(partitions, r.cluster.Partition(o.CorpID))
	}
	slices.Sort(partitions)
	var done []string
	for _, p := range slices.Compact(partitions) {
		lines, err := r.initPartition(ctx, p)
		done = append(done, lines...)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (r *Runner) initPartition(ctx context.Context, partition int32) (done []string, err error) {
	orgs := r.living(partition)
	states := restoreFor(orgs)
	session, err := r.cluster.Open(ctx, partition, states.restore)
	if err != nil {
		return nil, fmt.Errorf("session on state partition %d: %w", partition, err)
	}
	defer session.Close()
	all, err := r.neighboursOf(ctx, states)
	if err != nil {
		return nil, err
	}
	pulse := newPulse(session, r.cfg.Kafka.StateTopic)
	for _, o := range orgs {
		state := states[o.CorpID]
		cp, err := r.begin(ctx, r.poller(o, pulse, state.ledger, r.log), state.checkpoint, all)
		if err != nil {
			return done, err
		}
		verb := "starts at"
		if state.checkpoint != nil {
			verb = "keeps its checkpoint:"
		}
		if state.checkpoint == nil && r.topics.HasEvents {
			done = append(done, fmt.Sprintf("organisation %s: %s is not empty and the ledger is: what it holds of departures since START will be published a second time",
				o.CorpID, r.cfg.Kafka.EventsTopic))
		}
		done = append(done, fmt.Sprintf("organisation %s %s high-water mark %s, floor %s, %d entries in the ledger", o.CorpID, verb,
			cp.HighWaterMark.Format(time.RFC3339), cp.Floor.Format(time.RFC3339), state.ledger.Len()))
	}
	return done, nil
}
