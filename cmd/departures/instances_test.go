package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"departures/connector/kafka/kafkatest"
)

var fleetsFlag = flag.Int("fleets", 0, "how many fleets of instances come and go; 0: as many as every change needs")

// TestInstancesComeAndGo has three instances for several organisations, and lets one after the other crash, leave, freeze and come back,
// in an order that the seed gives, while people leave all the time. Others take over in time, and the whole guarantee holds.
func TestInstancesComeAndGo(t *testing.T) {
	t.Parallel()
	onLinux(t)
	fleets := 3
	switch {
	case *fleetsFlag > 0:
		fleets = *fleetsFlag
	case kafkatest.Real(), testing.Short():
		fleets = 1
	}
	seed := drawnSeed()
	for n := range fleets {
		t.Run(fmt.Sprintf("fleet %d", n), func(t *testing.T) {
			t.Parallel()
			defer sayAgain(t, seed)
			f := newFleet(t, kafkatest.Brokers(t), 3, 6)
			f.env["OVERLAP"] = "1m" // so that a poll does not show all of the test again
			life{f, rand.New(rand.NewPCG(seed, uint64(n))), n%2 == 1}.runs()
		})
	}
}

// drawnSeed is the seed that the flag names, or a new one.
func drawnSeed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return rand.Uint64()
}

func sayAgain(t *testing.T, seed uint64) {
	if t.Failed() {
		t.Logf("again with -seed %d", seed)
	}
}

// life is what a fleet goes through.
type life struct {
	*fleet
	draw   *rand.Rand
	static bool // every slot has a KAFKA_INSTANCE_ID of its own
}

// runs goes through every event in a drawn order, each of them in a drawn slot. Each begins when the one before is over for the group.
func (l life) runs() {
	l.t.Helper()
	for slot := range l.slots {
		l.boards(slot)
	}
	l.allJoined()
	stopLeaving := l.leavers(50 * time.Millisecond)
	defer stopLeaving()
	events := []struct {
		name string
		do   func(slot int)
	}{
		{"crashes", l.crashes},
		{"leaves", l.leaves},
		{"leaves", l.leaves},
		{"freezes for long", l.freezesForLong},
		{"freezes for a moment", l.freezesForAMoment},
	}
	l.draw.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for _, event := range events {
		slot := l.draw.IntN(len(l.slots))
		for len(l.owned(slot)) == 0 { // somebody who has something to lose
			slot = (slot + 1) % len(l.slots)
		}
		l.t.Logf("slot %d %s", slot, event.name)
		event.do(slot)
		l.allJoined()
	}
	stopLeaving()
	l.published()
	l.lands()
	l.check()
}

func (l life) boards(slot int) {
	l.t.Helper()
	var changes []string
	if l.static {
		changes = []string{fmt.Sprintf("KAFKA_INSTANCE_ID=pod-%d", slot)}
	}
	l.board(slot, changes...)
}

// allJoined waits until every instance has a share of the partitions, and every organisation is worked on.
func (l life) allJoined() {
	l.t.Helper()
	for _, p := range l.slots {
		p.await("it to have a share of the partitions", func() bool { return len(p.assigned()) > 0 })
	}
	l.shared()
}

// crashes kills an instance. There is a new one at once, or when the others have taken over.
func (l life) crashes(slot int) {
	l.t.Helper()
	p, owned, began := l.slots[slot], l.owned(slot), time.Now()
	p.kill()
	atOnce := l.draw.IntN(2) == 0
	if atOnce {
		l.boards(slot)
	}
	l.takenOver(owned, p, began, sessionTimeout+handOver)
	if !atOnce {
		l.boards(slot)
	}
}

// leaves stops an instance; it is back after a while.
func (l life) leaves(slot int) {
	l.t.Helper()
	p, owned, began := l.slots[slot], l.owned(slot), time.Now()
	p.signal(syscall.SIGTERM)
	l.takenOver(owned, p, began, handOver)
	p.ends(stopBound, exitClean)
	<-time.After(time.Duration(l.draw.Int64N(int64(time.Second))))
	l.boards(slot)
}

// freezesForLong stops an instance wherever it is, until the others have taken over; then it goes on, and must notice.
func (l life) freezesForLong(slot int) {
	l.t.Helper()
	p, owned, began := l.slots[slot], l.owned(slot), time.Now()
	p.freeze()
	l.takenOver(owned, p, began, sessionTimeout+handOver)
	<-time.After(time.Duration(l.draw.Int64N(int64(time.Second))))
	p.signal(syscall.SIGCONT)
}

// freezesForAMoment is over before the group notices.
func (l life) freezesForAMoment(slot int) {
	l.t.Helper()
	l.slots[slot].freeze()
	<-time.After(time.Duration(l.draw.Int64N(int64(sessionTimeout / 3))))
	l.slots[slot].signal(syscall.SIGCONT)
}

// owned are the partitions with a firm in them that an instance works on.
func (l life) owned(slot int) (partitions []float64) {
	for _, partition := range l.partitions() {
		if l.slots[slot].holds(partition) {
			partitions = append(partitions, partition)
		}
	}
	return partitions
}

// takenOver waits until others have sessions open on all the partitions that p owned, and measures it.
func (l life) takenOver(partitions []float64, p *process, began time.Time, bound time.Duration) {
	l.t.Helper()
	var longest time.Duration
	l.await("the others to take over", func() bool {
		for _, partition := range partitions {
			at, ok := l.opened(partition, p, began)
			if !ok {
				return false
			}
			longest = max(longest, at.Sub(began))
		}
		return true
	})
	l.t.Logf("%d partitions were taken over within %v", len(partitions), longest.Round(time.Millisecond))
	if longest > bound {
		l.t.Errorf("taking over took %v, more than %v\n%s", longest, bound, l.logs())
	}
}

// freeze stops the process wherever it is, and waits until it has stopped.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	p.await("it has stopped", p.stopped)
}

// stopped says whether a signal has stopped it, as Linux has it.
func (p *process) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.HasPrefix(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " T")
}

// TestStandbysAreReady: of three instances for one organisation two stand by, are ready, and say so; when the owner goes, one of them
// owns.
func TestStandbysAreReady(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	var living []*process
	for range 3 {
		p := r.start("run")
		p.isReady()
		living = append(living, p)
	}
	for len(living) > 0 {
		owner := r.onlyOwner(living)
		r.leave(2, fmt.Sprintf("with-%d", len(living)))
		r.settle(owner)
		owner.signal(syscall.SIGTERM)
		owner.ends(stopBound, exitClean)
		living = without(living, owner)
	}
	r.check()
}

// onlyOwner waits until one of some instances works on the organisation while the others stand by; all are ready, and say which it is.
func (r *rig) onlyOwner(living []*process) (owner *process) {
	r.t.Helper()
	living[0].await("one to own, and the others to stand by", func() bool {
		owner = nil
		for _, p := range living {
			status, body := p.get("/readyz")
			standsBy := strings.Contains(body, "standing by")
			if status != http.StatusOK || !standsBy && owner != nil {
				return false
			}
			if !standsBy {
				owner = p
			}
		}
		return owner != nil
	})
	return owner
}

func without(all []*process, one *process) []*process {
	return slices.DeleteFunc(slices.Clone(all), func(p *process) bool { return p == one })
}
