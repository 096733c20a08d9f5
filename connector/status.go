package connector

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"departures/schema"
)

// Status is what the connector tells about itself: a copy, safe to keep.
type Status struct {
	Started time.Time
	Kafka   string               // why Kafka cannot be used, empty while it can
	Joined  bool                 // a member of the group, with or without partitions
	Orgs    map[string]OrgStatus // the organisations whose partition is ours, by corpId
}

// OrgStatus is the state of one organisation of ours.
type OrgStatus struct {
	Partition   int32
	Checkpoint  schema.Checkpoint // as last walked; zero before the session is open
	LastWalk    time.Time         // when a walk was last completed, on our clock; zero before the first
	FreshWithin time.Duration     // a completed walk older than this means not ready
	Trouble     string            // what stands in the way and what to do about it, empty when nothing does
	MovesBefore time.Time         // the loop promised to be back by then
	ClocksApart time.Duration     // how far DingTalk's clock is ahead of ours
	Published   int64             // departures, since the start of this process
	Quarantined int64             // records, since the start of this process
	InTheFuture int64             // of Published, ahead of their leaveTime
	Repairs     int64             // put up with in published records: text that was not UTF-8, keys that came twice, numbers for text
	Changed     int               // records of the last window that differ from what was published
	BeforeFloor int               // records of the last window from before the floor
}

// Ready is why the connector does not do its work, in words; empty when every organisation of ours has a completed walk young
// enough, or when it stands by.
func (s Status) Ready(now time.Time) (reasons []string) {
	if s.Kafka != "" {
		return []string{s.Kafka}
	}
	if !s.Joined {
		return []string{"starting: not yet a member of the group"}
	}
	for _, corpID := range slices.Sorted(maps.Keys(s.Orgs)) {
		o := s.Orgs[corpID]
		if !o.LastWalk.IsZero() && now.Sub(o.LastWalk) <= o.FreshWithin {
			continue
		}
		reason := o.Trouble
		if reason == "" {
			reason = "no completed walk yet"
		}
		if !o.LastWalk.IsZero() {
			reason = fmt.Sprintf("last completed walk %s ago: %s", now.Sub(o.LastWalk).Round(time.Second), reason)
		}
		reasons = append(reasons, corpID+": "+reason)
	}
	return reasons
}

// Healthy is which loops do not move; empty when all do.
func (s Status) Healthy(now time.Time) (reasons []string) {
	for _, corpID := range slices.Sorted(maps.Keys(s.Orgs)) {
		if o := s.Orgs[corpID]; now.After(o.MovesBefore) {
			reasons = append(reasons, fmt.Sprintf("%s: the loop has not moved since %s", corpID, o.MovesBefore.Format(time.RFC3339)))
		}
	}
	return reasons
}

// board is where the loops publish their status: writers replace the whole copy, readers never wait.
type board struct {
	writing sync.Mutex
	current atomic.Pointer[Status]
}

func newBoard() *board {
	b := &board{}
	b.current.Store(&Status{Started: time.Now(), Orgs: map[string]OrgStatus{}})
	return b
}

func (b *board) change(f func(*Status)) {
	b.writing.Lock()
	defer b.writing.Unlock()
	next := *b.current.Load()
	next.Orgs = maps.Clone(next.Orgs)
	f(&next)
	b.current.Store(&next)
}

func (b *board) changeOrg(corpID string, f func(*OrgStatus)) {
	b.change(func(s *Status) {
		o := s.Orgs[corpID]
		f(&o)
		s.Orgs[corpID] = o
	})
}
