package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

var overlapsFlag = flag.Int("overlaps", 0, "how often a second instance is started beside the first; 0: as often as every change needs")

// TestASecondInstanceWhileTheFirstLives starts an instance while another lives, and then ends that one, again and again, while people
// leave: with the same instance id, where the older has to go by itself; as another member of the group; and as a deployment under
// another group, where only the fence keeps the two apart.
func TestASecondInstanceWhileTheFirstLives(t *testing.T) {
	t.Parallel()
	overlaps, organisations := 100, 10
	switch {
	case *overlapsFlag > 0:
		overlaps = *overlapsFlag
	case kafkatest.Real(), testing.Short():
		overlaps, organisations = 20, 4
	}
	seed := drawnSeed()
	var fenced atomic.Int64
	t.Cleanup(func() { t.Logf("%d overlaps, in which somebody was fenced %d times", overlaps, fenced.Load()) })
	for n := range organisations {
		t.Run(fmt.Sprintf("organisation %d", n), func(t *testing.T) {
			t.Parallel()
			defer sayAgain(t, seed)
			r := newRig(t, unhurriedBrokers(t))
			r.env["OVERLAP"] = "10s"
			draw := rand.New(rand.NewPCG(seed, uint64(n)))
			stopLeaving := r.peopleLeave(20 * time.Millisecond)
			defer stopLeaving()
			last := r.overlap(draw, overlaps/organisations)
			stopLeaving()
			r.settle(last)
			last.signal(syscall.SIGTERM)
			last.ends(stopBound, exitClean)
			r.check()
			for _, p := range r.processes {
				fenced.Add(int64(len(p.lines("Kafka: fenced; opening a new session"))))
			}
		})
	}
}

// overlap starts so many instances, each while the one before it lives. The last one lives.
func (r *rig) overlap(draw *rand.Rand, times int) (last *process) {
	r.t.Helper()
	older := r.start("run", "KAFKA_INSTANCE_ID=pod-0")
	r.isAskedBy(older)
	id, group := "pod-0", r.env["GROUP"]
	for range times {
		way := []string{"the same id", "a member more", "another group"}[draw.IntN(3)]
		if way == "the same id" && id == "" {
			way = "a member more"
		}
		switch way {
		case "a member more":
			id = ""
		case "another group":
			id, group = "pod-0", kafkatest.Name(r.t, "group")
		}
		newer := r.start("run", "KAFKA_INSTANCE_ID="+id, "GROUP="+group)
		switch way {
		case "the same id":
			older.ends(patience, exitFault)
		default:
			older.lasts(time.Duration(draw.Int64N(int64(time.Second))))
			older.signal(syscall.SIGTERM)
			older.ends(stopBound, exitClean)
		}
		newer.says(`"msg":"session open"`)
		older = newer
	}
	return older
}

// TestAnOwnerIsFrozenInTheMiddleOfATransaction stops the owner by SIGSTOP while it has a transaction open, lets another deployment take
// over, and lets the owner go on: it must publish nothing more, and say by whom it was fenced.
func TestAnOwnerIsFrozenInTheMiddleOfATransaction(t *testing.T) {
	t.Parallel()
	onLinux(t)
	freezes, organisations := 20, 4
	switch {
	case *overlapsFlag > 0:
		freezes = *overlapsFlag
	case kafkatest.Real(), testing.Short():
		freezes = 8
	}
	var open atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d of %d transactions were open", open.Load(), freezes)
		if open.Load() == 0 {
			t.Error("no transaction was open when its owner was frozen")
		}
	})
	for n := range organisations {
		t.Run(fmt.Sprintf("organisation %d", n), func(t *testing.T) {
			t.Parallel()
			r, freeze := newFreezer(t)
			for round := range freezes / organisations {
				owner := r.start("run", "GROUP="+kafkatest.Name(t, "group"))
				owner.says(`"msg":"session open"`)
				r.isAskedBy(owner)
				if freeze(owner, round) {
					open.Add(1)
				}
				heir := r.start("run", "GROUP="+kafkatest.Name(t, "group"))
				heir.says(`"msg":"session open"`)
				r.leave(2, fmt.Sprintf("with-the-heir-%d", round))
				r.settle(heir)
				owner.signal(syscall.SIGCONT)
				owner.says(fmt.Sprintf("-%d at ", heir.cmd.Process.Pid)) // who fenced it
				r.leave(1, fmt.Sprintf("with-both-%d", round))
				r.settle(heir)
				for _, p := range []*process{owner, heir} {
					p.signal(syscall.SIGTERM)
					p.ends(stopBound, exitClean)
				}
			}
			r.check()
		})
	}
}

// newFreezer is a rig, and a function that freezes its owner in the middle of a transaction, or says that it came too late.
func newFreezer(t *testing.T) (r *rig, freeze func(owner *process, round int) bool) {
	if kafkatest.Real() {
		r = newRig(t, kafkatest.Brokers(t))
		return r, r.freezeAsItCommits
	}
	broker := kafkatest.Fake(t, "")
	r = newRig(t, broker.ListenAddrs())
	return r, func(owner *process, round int) bool {
		key := []kmsg.Key{kmsg.Produce, kmsg.EndTxn}[round%2]
		frozen := freezeAt(broker, key, owner)
		r.leave(3, fmt.Sprintf("held-%d", round))
		happens(t, key.Name(), frozen)
		return true
	}
}

// freezeAt freezes the owner when its next request of a kind is with the broker, which then acts on it: records are in an open transaction,
// or one has ended of which the owner does not know.
func freezeAt(broker *kfake.Cluster, key kmsg.Key, owner *process) (frozen <-chan struct{}) {
	sign := make(chan struct{})
	broker.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.DropControl()
		broker.SleepControl(func() {
			owner.freeze()
			close(sign)
		})
		return nil, nil, false
	})
	return sign
}

// freezeAsItCommits lets thousands leave, and freezes the owner when the first of them stand on the events topic. It says whether the
// transaction is open.
func (r *rig) freezeAsItCommits(owner *process, round int) (open bool) {
	r.t.Helper()
	adm := kadm.NewClient(r.client())
	length := func() (n int64) {
		ends, err := adm.ListEndOffsets(r.t.Context(), r.topics.Events)
		if err != nil {
			r.t.Fatal(err)
		}
		ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
		return n
	}
	before := length()
	r.leave(4000, fmt.Sprintf("many-%d", round))
	owner.await("it to commit", func() bool { return length() > before })
	owner.freeze()
	producers, err := adm.DescribeProducers(r.t.Context(), kadm.TopicsSet{r.topics.Events: nil})
	if err != nil {
		r.t.Fatal(err)
	}
	producers.EachProducer(func(p kadm.DescribedProducer) { open = open || p.CurrentTxnStartOffset >= 0 })
	return open
}
