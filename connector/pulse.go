package connector

import (
	"context"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"departures/connector/kafka"
	"departures/schema"
)

const (
	// heartbeat is how long a checkpoint may stay uncommitted while nobody leaves, before up to heartbeatSpread is added. Once
	// a minute it tells consumers how far the topic is complete, and keeps Kafka from forgetting the transactional id.
	heartbeat       = 50 * time.Second
	heartbeatSpread = 8 * time.Second
	// firstHeartbeat is how soon a session commits its checkpoint, if no window is walked whole before.
	firstHeartbeat = 2 * time.Second
	// heartbeatCompany is how much earlier than it is due a checkpoint goes with the transaction of another organisation: by more than half
	// of the longest interval, or two groups of organisations could keep apart for ever.
	heartbeatCompany = 30 * time.Second
)

// pulse commits for the organisations of one session. Whatever transaction is made takes along the checkpoints of the others that are
// due within heartbeatCompany: hundreds of organisations at which nobody leaves cost one transaction a minute, not hundreds.
type pulse struct {
	session *kafka.Session
	topic   string // of the state

	mu   sync.Mutex
	orgs map[string]beat // by corpId
}

// beat is the checkpoint that one organisation is to have committed by some time.
type beat struct {
	checkpoint schema.Checkpoint
	by         time.Time
}

func newPulse(session *kafka.Session, stateTopic string) *pulse {
	return &pulse{session: session, topic: stateTopic, orgs: map[string]beat{}}
}

// offer lets any transaction commit a checkpoint from now on: nothing is left to publish up to its marks. The first one of a session is
// soon due, but after a first window if that goes well: whoever restarts often shall not leave the topic without a checkpoint.
func (h *pulse) offer(corpID string, cp schema.Checkpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, known := h.orgs[corpID]
	if !known {
		b.by = time.Now().Add(firstHeartbeat)
	}
	b.checkpoint = cp
	h.orgs[corpID] = b
}

// hurry makes an organisation's checkpoint due now.
func (h *pulse) hurry(corpID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.orgs[corpID]
	b.by = time.Now()
	h.orgs[corpID] = b
}

// due is when an organisation's checkpoint has to be committed.
func (h *pulse) due(corpID string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.orgs[corpID].by
}

// commit makes a transaction of records and of the checkpoints that are due; without any there is none. What publishes for an
// organisation commits its checkpoint, which is offered from then on.
func (h *pulse) commit(ctx context.Context, corpID string, cp schema.Checkpoint, records iter.Seq[kafka.Record]) error {
	var taken []string
	err := h.session.Commit(ctx, func(yield func(kafka.Record) bool) {
		publishes := false
		for r := range records {
			if publishes = true; !yield(r) {
				return
			}
		}
		if publishes {
			h.offer(corpID, cp)
			h.hurry(corpID)
		}
		due := h.takeDue()
		taken = slices.Collect(maps.Keys(due))
		for corpID, cp := range due {
			if !yield(checkpointRecord(h.topic, corpID, cp)) {
				return
			}
		}
	})
	if err == nil {
		h.committed(taken)
	}
	return err
}

// takeDue is the checkpoints that go with a transaction of this moment, by corpId; none where none is due yet.
func (h *pulse) takeDue() map[string]schema.Checkpoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	due, some := map[string]schema.Checkpoint{}, false
	for corpID, b := range h.orgs {
		if b.by.After(now.Add(heartbeatCompany)) {
			continue
		}
		due[corpID] = b.checkpoint
		some = some || !b.by.After(now)
	}
	if !some {
		return nil
	}
	return due
}

// committed makes the checkpoints of a transaction due again in a minute.
func (h *pulse) committed(corpIDs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, corpID := range corpIDs {
		b := h.orgs[corpID]
		b.by = time.Now().Add(heartbeat + rand.N(heartbeatSpread))
		h.orgs[corpID] = b
	}
}
