package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"departures/connector/dingtalk"
	"departures/connector/kafka"
	"departures/schema"
)

// neighbours is what the state topic holds of every organisation, configured or not, by corpId.
type neighbours struct {
	apps      map[string]string // digest of the app key that the checkpoint was made with
	published map[string]bool
}

func newNeighbours() neighbours {
	return neighbours{apps: map[string]string{}, published: map[string]bool{}}
}

// see takes one state record, oldest first.
func (n neighbours) see(_ int32, key string, value []byte) error {
	kind, corpID := schema.StateKey(key)
	switch {
	case value == nil:
	case kind == schema.KindPublished:
		n.published[corpID] = true
	case kind == schema.KindCheckpoint:
		cp, _ := schema.ParseCheckpoint(value) // one that cannot be read has no digest
		n.apps[corpID] = cp.AppKeyDigest
	}
	return nil
}

// faults says why an organisation without a checkpoint may not have its first: without START, or where the same app already publishes
// under another corpId, which is a mistyped corpId and would publish everything again under other keys.
func (n neighbours) faults(cfg Config, o Org) (faults []string) {
	if other := n.publishedBy(o); other != "" {
		faults = append(faults, fmt.Sprintf("organisation %s has no checkpoint in %s, but the same app key already publishes as organisation %s: correct DINGTALK_CORP_ID (in ORGS_FILE corp_id), or use an app of that organisation, or another STATE_TOPIC and EVENTS_TOPIC",
			o.CorpID, cfg.Kafka.StateTopic, other))
	}
	if cfg.Start.IsZero() {
		faults = append(faults, fmt.Sprintf("organisation %s has no checkpoint in %s and START is not set: set START to now, a time, or a duration back such as 8736h (or correct STATE_TOPIC if there should be a checkpoint); `departures state init` writes a first checkpoint by hand",
			o.CorpID, cfg.Kafka.StateTopic))
	}
	return faults
}

// publishedBy is the corpId of another organisation that the same app published departures for, or empty. A checkpoint without a
// ledger entry does not count: a first run with a mistyped corpId must not lock the app key out. An app whose tokens name the
// organisation serves many.
func (n neighbours) publishedBy(o Org) string {
	if o.DingTalk.Token == dingtalk.CorpToken {
		return ""
	}
	for _, corpID := range slices.Sorted(maps.Keys(n.apps)) {
		if corpID != o.CorpID && n.apps[corpID] == o.AppKeyDigest && n.published[corpID] {
			return corpID
		}
	}
	return ""
}

// Standing is where one organisation stands in the state topic.
type Standing struct {
	CorpID     string
	Checkpoint *schema.Checkpoint // nil: none yet
	Remembered int                // departures and unreadable records that will not be published again
	Faults     []string           // why it may not begin; none where there is a checkpoint
}

// ReadStandings reads where each configured organisation stands, in their order, and writes nothing. hasState says whether the state
// topic exists; nothing is read where it does not. Its error is a *Refusal where a record cannot be read.
func ReadStandings(ctx context.Context, cfg Config, cluster *kafka.Cluster, hasState bool) ([]Standing, error) {
	states, all := restoring{}, newNeighbours()
	for _, o := range cfg.Orgs {
		states.add(o.CorpID)
	}
	if hasState {
		err := cluster.ReadState(ctx, nil, func(partition int32, key string, value []byte) error {
			return errors.Join(states.restore(key, value), all.see(partition, key, value))
		})
		if err != nil {
			return nil, err
		}
	}
	var standings []Standing
	for _, o := range cfg.Orgs {
		s := Standing{CorpID: o.CorpID, Checkpoint: states[o.CorpID].checkpoint, Remembered: states[o.CorpID].ledger.Len()}
		if s.Checkpoint == nil {
			s.Faults = all.faults(cfg, o)
		}
		standings = append(standings, s)
	}
	return standings, nil
}
