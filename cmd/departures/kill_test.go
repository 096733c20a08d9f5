package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

// TestKilledAtRandom kills the real program with SIGKILL again and again while people go on leaving, and starts it again at once.
// Half of the kills come soon after the start, wherever it then is; the others after it asked for leave records: at once, when it
// commits, or a little later.
// Most starts are the same static member, which gets its partitions at once; the others are deployments under another group, some
// of them while the one before still lives, where only the fence keeps the two apart.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	organisations, kills := 10, 300
	switch {
	case kafkatest.Real():
		organisations, kills = 5, 50
	case testing.Short():
		kills = 30
	}
	if *killsFlag > 0 {
		kills = *killsFlag
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	brokers := unhurriedBrokers(t)
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
			killOften(t, newRig(t, brokers), rand.New(rand.NewPCG(seed, uint64(n))), share)
		})
	}
}

// unhurriedBrokers takes its time over every step of a transaction, as a real broker does: more kills fall into the middle of one.
func unhurriedBrokers(t *testing.T) []string {
	if kafkatest.Real() {
		return kafkatest.Brokers(t)
	}
	c := kafkatest.Fake(t, "")
	for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.Produce, kmsg.EndTxn} {
		c.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			c.SleepControl(func() { <-time.After(rand.N(30 * time.Millisecond)) })
			return nil, nil, false
		})
	}
	return c.ListenAddrs()
}

// killOften is one organisation's share of the kills, and the end: the last instance settles, stops, and the whole guarantee holds.
func killOften(t *testing.T, r *rig, draw *rand.Rand, kills int) {
	r.env["OVERLAP"] = "10s" // so that a poll does not show all of the test again
	r.env["KAFKA_INSTANCE_ID"] = "pod-0"
	r.leave(60, "before")
	stopLeaving := r.peopleLeave(20 * time.Millisecond)
	defer stopLeaving()
	began := time.Now()
	committed := 0
	victim := r.start("run")
	for n := range kills {
		onceItAsks, within := anyMoment(draw)
		deployment, overlap := anyDeployment(draw, n)
		if onceItAsks {
			r.isAskedBy(victim)
		}
		select {
		case <-time.After(time.Duration(draw.Int64N(int64(within)))):
		case <-victim.exited:
			t.Fatalf("ended by itself before kill %d\n%s", n, victim.tail())
		}
		heir := victim
		if overlap {
			heir = r.start("run", deployment...)
			r.isAskedBy(heir)
		}
		victim.kill()
		if len(victim.lines("committed")) > 0 {
			committed++
		}
		if !overlap {
			heir = r.start("run", deployment...)
		}
		victim = heir
	}
	victim.kill()
	last := r.start("run")
	stopLeaving()
	r.settle(last)
	last.signal(syscall.SIGTERM)
	last.ends(stopBound, exitClean)
	a := r.check()
	t.Logf("%d kills in %v, %d of them after a commit; %d events, %d aborted attempts", kills, time.Since(began).Round(time.Second),
		committed, len(a.Events), len(a.Attempts)-len(a.Events))
}

// isAskedBy waits until p, or another one, asks for leave records once more.
func (r *rig) isAskedBy(p *process) {
	r.t.Helper()
	before := r.dataCalls.Load()
	p.await("it asks for leave records", func() bool { return r.dataCalls.Load() > before })
}

// anyMoment draws when to kill: within a time of the start, or of the next call for leave records.
func anyMoment(draw *rand.Rand) (onceItAsks bool, within time.Duration) {
	switch draw.IntN(4) {
	case 0:
		return true, 60 * time.Millisecond
	case 1:
		return true, 600 * time.Millisecond
	}
	return false, 600 * time.Millisecond
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
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				r.sim.Leave(person(fmt.Sprintf("leaver-%d", n), time.Now().Add(-time.Duration(n%4)*time.Second)))
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
