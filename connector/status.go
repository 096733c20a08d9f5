package connector

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"departures/schema"
)

// Status is what the connector tells about itself: a copy, safe to keep.
type Status struct {
	Outage string               // why Kafka, or at the start the schema registry, cannot be used; empty while they can
	Joined bool                 // a member of the group, with or without partitions
	Orgs   map[string]OrgStatus // the organisations whose partition is ours, by corpId
}

// OrgStatus is the state of one organisation of ours.
type OrgStatus struct {
	Checkpoint  schema.Checkpoint // as last walked; zero before the session is open
	LastWindow  time.Time         // when a window was last walked whole, on our clock; zero before the first
	FreshWithin time.Duration     // not ready when that is longer ago
	CatchUp     *CatchUp          // nil when no history is being caught up with
	Trouble     string            // what stands in the way and what to do about it, empty when nothing does
	MovesBefore time.Time         // the loop promised to have moved by then
	CommitSince time.Time         // when the commit under way was begun, zero when none is
	Stuck       string            // the window that cannot be had while others can, empty when there is none
	ClocksApart time.Duration     // how far DingTalk's clock is ahead of ours, zero while that is not worth a word
}

// Ready is why the connector does not do its work, in words; empty when every organisation of ours has a completed walk young
// enough, or when it stands by.
func (s Status) Ready(now time.Time) (reasons []string) {
	if s.Outage != "" {
		return []string{s.Outage}
	}
	if !s.Joined {
		return []string{"starting: not yet a member of the group"}
	}
	for _, corpID := range slices.Sorted(maps.Keys(s.Orgs)) {
		o := s.Orgs[corpID]
		if !o.LastWindow.IsZero() && now.Sub(o.LastWindow) <= o.FreshWithin {
			continue
		}
		reason := "no window walked yet"
		if !o.LastWindow.IsZero() {
			reason = fmt.Sprintf("last window walked %s ago", now.Sub(o.LastWindow).Round(time.Second))
		}
		reasons = append(reasons, corpID+": "+reason+": "+cmp.Or(o.Trouble, o.waiting(now), "the next one is being walked"))
	}
	return reasons
}

// waiting says that a commit waits for Kafka, for replicas that are missing, say; empty while it takes no longer than usual.
func (o OrgStatus) waiting(now time.Time) string {
	const usual = 2 * time.Second
	if took := now.Sub(o.CommitSince); !o.CommitSince.IsZero() && took > usual {
		return fmt.Sprintf("a commit has been waiting for Kafka for %s", took.Round(time.Second))
	}
	return ""
}

// Healthy is which loops do not move; empty when all do.
func (s Status) Healthy(now time.Time) (reasons []string) {
	for _, corpID := range slices.Sorted(maps.Keys(s.Orgs)) {
		if o := s.Orgs[corpID]; now.After(o.MovesBefore) {
			reasons = append(reasons, fmt.Sprintf("%s: the loop should have moved by %s", corpID, o.MovesBefore.Format(time.RFC3339)))
		}
	}
	return reasons
}

// Notes is what an operator should know although the connector does its work.
func (s Status) Notes() (notes []string) {
	if s.Joined && s.Outage == "" && len(s.Orgs) == 0 {
		notes = append(notes, "standing by: no organisation lives in the state partitions that the group gives this instance")
	}
	for _, corpID := range slices.Sorted(maps.Keys(s.Orgs)) {
		o := s.Orgs[corpID]
		if o.CatchUp != nil {
			notes = append(notes, corpID+": catching up: "+o.CatchUp.String())
		}
		for _, g := range o.Checkpoint.Gaps {
			notes = append(notes, fmt.Sprintf("%s: gap: DingTalk refused to show who left from %s to %s", corpID, g.Start.Format(time.RFC3339), g.End.Format(time.RFC3339)))
		}
		if o.ClocksApart != 0 {
			side := "ahead of"
			if o.ClocksApart < 0 {
				side = "behind"
			}
			notes = append(notes, fmt.Sprintf("%s: DingTalk's clock is %s %s this host's", corpID, o.ClocksApart.Abs(), side))
		}
		if o.Stuck != "" {
			notes = append(notes, fmt.Sprintf("%s: complete only through %s: %s", corpID, o.Checkpoint.HighWaterMark.Format(time.RFC3339), o.Stuck))
		}
	}
	return notes
}

// board is where the loops publish their status. With a thousand of them it is changed a thousand times a second, and looked at a few
// times a minute: a look makes the copy.
type board struct {
	mu     sync.Mutex
	status Status // without Orgs
	orgs   map[string]*OrgStatus
}

func newBoard() *board { return &board{orgs: map[string]*OrgStatus{}} }

// look is the status of this moment.
func (b *board) look() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status
	s.Orgs = make(map[string]OrgStatus, len(b.orgs))
	for corpID, o := range b.orgs {
		s.Orgs[corpID] = *o
	}
	return s
}

func (b *board) change(f func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.status)
}

func (b *board) changeOrg(corpID string, f func(*OrgStatus)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.orgs[corpID]
	if o == nil {
		o = &OrgStatus{}
		b.orgs[corpID] = o
	}
	f(o)
}

// forget takes an organisation off.
func (b *board) forget(corpID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.orgs, corpID)
}
