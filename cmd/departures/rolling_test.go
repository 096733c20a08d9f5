package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"departures/connector/kafka/kafkatest"
)

// TestARollingRestartDelaysNoPoll stops three instances, one after the other, and starts each again. Each time round there is one
// organisation more, or one less.
func TestARollingRestartDelaysNoPoll(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"dynamic", "static"} {
		t.Run(kind+" members", func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kafkatest.Brokers(t), 3, 7)
			stay := f.firms[:6]
			boards := func(slot int) {
				if kind == "static" {
					f.board(slot, fmt.Sprintf("KAFKA_INSTANCE_ID=pod-%d", slot))
					return
				}
				f.board(slot)
			}
			f.employs(stay...)
			for slot := range f.slots {
				boards(slot)
			}
			for _, x := range stay {
				f.isAsked(x, time.Now())
			}
			began := time.Now()
			for _, firms := range [][]*firm{f.firms, stay, f.firms} {
				f.employs(firms...)
				for slot, p := range f.slots {
					f.leaveEverywhere(fmt.Sprintf("firms-%d-slot-%d-%v", len(firms), slot, time.Since(began)))
					p.signal(syscall.SIGTERM)
					p.ends(stopBound, exitClean)
					boards(slot)
					f.slots[slot].isReady()
				}
				for _, x := range firms {
					f.isAsked(x, time.Now())
				}
			}
			f.wereAskedInTime(stay, began)
			f.published()
			f.lands()
			f.check()
		})
	}
}

// TestAnOrganisationMoreOrLess restarts the only instance with another ORGS_FILE, beside an organisation whose ledger is large: the
// others wait no longer than for any restart.
func TestAnOrganisationMoreOrLess(t *testing.T) {
	t.Parallel()
	entries := 100_000
	if testing.Short() || kafkatest.Real() {
		entries = 20_000
	}
	f := newFleet(t, kafkatest.Brokers(t), 1, 4)
	f.catchesUpFrom(time.Now().Add(-weeks * week))
	f.env["LOG_LEVEL"] = "info"
	f.sim = f.firms[0].sim
	f.leftEvenly(entries)
	stay := f.firms[:3]
	f.employs(stay...)
	f.board(0).says("caught up")
	f.isAsked(f.firms[0], time.Now())
	began := time.Now()
	for _, firms := range [][]*firm{f.firms, stay, f.firms} {
		f.slots[0].signal(syscall.SIGTERM)
		f.slots[0].ends(stopBound, exitClean)
		f.employs(firms...)
		f.board(0)
		f.leaveEverywhere(fmt.Sprint("left at ", time.Since(began)))
		for _, x := range firms {
			f.isAsked(x, time.Now())
		}
	}
	f.wereAskedInTime(stay, began)
	f.published()
	f.lands()
	f.check()
}

// isAsked waits until a firm is asked for leave records, after a time.
func (f *fleet) isAsked(x *firm, after time.Time) {
	f.t.Helper()
	f.await(x.corpID+" to be asked for leave records", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.asked) > 0 && x.asked[len(x.asked)-1].After(after)
	})
}

// wereAskedInTime checks that no poll of some firms was late.
func (f *fleet) wereAskedInTime(firms []*firm, since time.Time) {
	f.t.Helper()
	const pollInterval = time.Second
	now := time.Now()
	var latest time.Duration
	for _, x := range firms {
		late := x.longestPause(since, now) - pollInterval
		latest = max(latest, late)
		if late > latestPoll {
			f.t.Errorf("a poll of %s was %v late\n%s", x.corpID, late, f.logs())
		}
	}
	f.t.Logf("a poll was %v late at most, in %v", latest.Round(time.Millisecond), now.Sub(since).Round(time.Second))
}
