package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
)

// TestKilledAtRandom kills the real program with SIGKILL again and again while people go on leaving, and starts it again at once.
// Half of the kills come soon after the start, wherever it then is; the others after it asked for leave records: at once, when it
// commits, or a little later.
// Most starts are the same static member, which gets its partitions at once; the others are deployments under another group, some
// of them while the one before still lives, where only the fence keeps the two apart.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	organisations := 10
	if kafkatest.Real() {
		organisations = 5
	}
	killOften(t, organisations, howOften(300, 50, 30), unhurriedBrokers, (*rig).killedAtRandom)
}

// killedAtRandom is the lives of one organisation.
func (r *rig) killedAtRandom(draw *rand.Rand, kills int) {
	r.env["OVERLAP"] = "10s" // so that a poll does not show all of the test again
	r.leave(60, "before")
	stopLeaving := r.peopleLeave(20 * time.Millisecond)
	defer stopLeaving()
	last := r.killRepeatedly(draw, kills, (*rig).atAnyMoment)
	stopLeaving()
	r.settle(last)
}

// howOften is how often to kill: as the flag says, or else as an ordinary run, one on a real broker or a short one asks for.
func howOften(ordinary, realBroker, short int) int {
	switch {
	case *killsFlag > 0:
		return *killsFlag
	case kafkatest.Real():
		return realBroker
	case testing.Short():
		return short
	}
	return ordinary
}

// killOften shares kills out among organisations, side by side. An organisation's lives end with an instance that has settled: it stops,
// and the whole guarantee holds.
func killOften(
	t *testing.T, organisations, kills int, brokers func(*testing.T) []string, lives func(r *rig, draw *rand.Rand, kills int),
) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	var after, within atomic.Int64
	began := time.Now()
	t.Cleanup(func() {
		t.Logf("%d kills in %v, %d of them after a commit, %d within a transaction",
			kills, time.Since(began).Round(time.Second), after.Load(), within.Load())
	})
	for n := range organisations {
		t.Run(fmt.Sprintf("organisation %d", n), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					t.Logf("again with -seed %d", seed)
				}
			}()
			share := kills / organisations
			if n < kills%organisations {
				share++
			}
			r := newRig(t, brokers(t))
			r.env["KAFKA_INSTANCE_ID"] = "pod-0"
			lives(r, rand.New(rand.NewPCG(seed, uint64(n))), share)
			last := r.processes[len(r.processes)-1]
			last.signal(syscall.SIGTERM)
			last.ends(stopBound, exitClean)
			a := r.check()
			after.Add(int64(r.killedAfter("committed")))
			within.Add(int64(aborted(a)))
			t.Logf("%d kills, %d of them after a commit, %d within a transaction; %d events, %d aborted attempts",
				share, r.killedAfter("committed"), aborted(a), len(a.Events), len(a.Attempts)-len(a.Events))
		})
	}
}

// unhurriedBrokers takes its time over every step of a transaction, as a real broker does: more kills fall into the middle of one.
func unhurriedBrokers(t *testing.T) []string {
	if kafkatest.Real() {
		return kafkatest.Brokers(t)
	}
	return unhurried(kafkatest.Fake(t, ""))
}

// unhurried makes an embedded broker take its time, and gives its addresses.
func unhurried(c *kfake.Cluster) []string {
	for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.Produce, kmsg.EndTxn} {
		c.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			c.SleepControl(func() { <-time.After(rand.N(30 * time.Millisecond)) })
			return nil, nil, false
		})
	}
	return c.ListenAddrs()
}

// killRepeatedly starts the program, kills it when a moment has come, and starts it again, so many times. The last one lives.
func (r *rig) killRepeatedly(draw *rand.Rand, kills int, moment func(*rig, *rand.Rand, *process)) (last *process) {
	victim := r.start("run")
	for n := range kills {
		deployment, overlap := anyDeployment(draw, n)
		moment(r, draw, victim)
		heir := victim
		if overlap {
			heir = r.start("run", deployment...)
			r.isAskedBy(heir)
		}
		victim.kill()
		if !overlap {
			heir = r.start("run", deployment...)
		}
		victim = heir
	}
	victim.kill()
	return r.start("run")
}

// killedAfter counts those killed by SIGKILL that had said something before.
func (r *rig) killedAfter(message string) (n int) {
	for _, p := range r.processes {
		if !p.alive() && p.code == -1 && len(p.lines(message)) > 0 {
			n++
		}
	}
	return n
}

// aborted counts the transactions with events that were never committed. A producer's epoch is of one session, and so are its leftovers.
func aborted(a *promisetest.Account) int {
	type place struct {
		partition int32
		offset    int64
	}
	type producer struct {
		id    int64
		epoch int16
	}
	committed, left := map[place]bool{}, map[producer]bool{}
	for _, e := range a.Events {
		committed[place{e.Partition, e.Offset}] = true
	}
	for _, e := range a.Attempts {
		if !committed[place{e.Partition, e.Offset}] {
			left[producer{e.ProducerID, e.ProducerEpoch}] = true
		}
	}
	return len(left)
}

// isAskedBy waits until p, or another one, asks for leave records once more.
func (r *rig) isAskedBy(p *process) {
	r.t.Helper()
	before := r.dataCalls.Load()
	p.await("it asks for leave records", func() bool { return r.dataCalls.Load() > before })
}

// atAnyMoment waits until it is time to kill: within a time of the start, or of the next call for leave records.
func (r *rig) atAnyMoment(draw *rand.Rand, victim *process) {
	r.t.Helper()
	within := 600 * time.Millisecond
	switch draw.IntN(4) {
	case 0:
		within = 60 * time.Millisecond
		r.isAskedBy(victim)
	case 1:
		r.isAskedBy(victim)
	}
	victim.lasts(time.Duration(draw.Int64N(int64(within))))
}

// lasts lets it live for a time, in which it must not end by itself.
func (p *process) lasts(d time.Duration) {
	p.t.Helper()
	select {
	case <-time.After(d):
	case <-p.exited:
		p.t.Fatalf("ended by itself\n%s", p.tail())
	}
}

// anyDeployment draws how the next instance is started, and whether before the one that is about to be killed is dead.
func anyDeployment(draw *rand.Rand, n int) (changes []string, overlap bool) {
	switch draw.IntN(10) {
	case 0: // nobody else is in its group
		return []string{fmt.Sprintf("GROUP=dynamic-%d-%d", n, draw.Uint32()), "KAFKA_INSTANCE_ID="}, false
	case 1:
		return []string{fmt.Sprintf("GROUP=overlapping-%d-%d", n, draw.Uint32())}, true
	case 2:
		return []string{fmt.Sprintf("GROUP=static-%d-%d", n, draw.Uint32())}, false
	}
	return nil, false
}

// peopleLeave lets somebody leave every so often, a few seconds ago at most, until it is stopped.
func (r *rig) peopleLeave(every time.Duration) (stop func()) {
	return untilStopped(every, func(n int) {
		r.sim.Leave(person(fmt.Sprintf("leaver-%d", n), time.Now().Add(-time.Duration(n%4)*time.Second)))
	})
}

// untilStopped does something every so often, counted from 0, until it is stopped.
func untilStopped(every time.Duration, do func(n int)) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				do(n)
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-stopped
	})
}
