package main

import (
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
)

// TestASignalEndsItCleanly brings the program into each state that it can be in, and stops it there.
func TestASignalEndsItCleanly(t *testing.T) {
	t.Parallel()
	for _, state := range []struct {
		name    string
		arrange func(*testing.T) *process
	}{
		{"waiting for brokers that are not there", waitingForAbsentBrokers},
		{"in a pause before it looks for the brokers again", pausingBeforeBrokers},
		{"asking brokers that accept and never answer", askingSilentBrokers},
		{"working when the brokers froze", func(t *testing.T) *process { return workingWithFrozenBrokers(t) }},
		{"working as a static member when the brokers froze", func(t *testing.T) *process {
			return workingWithFrozenBrokers(t, "KAFKA_INSTANCE_ID=pod-0")
		}},
		{"committing when the brokers froze", committingToFrozenBrokers},
		{"DingTalk hangs", func(t *testing.T) *process { return withFault(t, dingtalktest.Hanging) }},
		{"DingTalk hangs in the middle of a body", func(t *testing.T) *process { return withFault(t, dingtalktest.Stalled) }},
		{"DingTalk hangs when asked for a token", func(t *testing.T) *process {
			return withFault(t, dingtalktest.Hanging.Against(dingtalktest.TokenCalls))
		}},
		{"DingTalk is down", func(t *testing.T) *process {
			p := newRig(t, kafkatest.Brokers(t)).start("run", "DINGTALK_BASE_URL=http://"+closedPort(t))
			p.says(`"msg":"DingTalk: no answer that can be used"`)
			return p
		}},
		{"in a pause of minutes because of bad credentials", func(t *testing.T) *process {
			p := newRig(t, kafkatest.Brokers(t)).start("run", "DINGTALK_APP_SECRET=wrong")
			p.says(`"msg":"DingTalk: credentials refused"`)
			return p
		}},
		{"idle", func(t *testing.T) *process {
			p := newRig(t, kafkatest.Brokers(t)).start("run")
			p.isReady()
			return p
		}},
		{"idle as a static member", func(t *testing.T) *process {
			p := newRig(t, kafkatest.Brokers(t)).start("run", "KAFKA_INSTANCE_ID=pod-0")
			p.isReady()
			return p
		}},
		{"standing by", func(t *testing.T) *process {
			_, standby := ownerAndStandby(t, newRig(t, kafkatest.Brokers(t)))
			return standby
		}},
	} {
		for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(state.name+", "+s.String(), func(t *testing.T) {
				t.Parallel()
				p := state.arrange(t)
				began := time.Now()
				p.signal(s)
				p.ends(stopBound, exitClean)
				t.Logf("stopped in %v", time.Since(began).Round(time.Millisecond))
			})
		}
	}
}

func waitingForAbsentBrokers(t *testing.T) *process {
	p := newRig(t, []string{closedPort(t)}).start("run")
	p.says(`"msg":"started"`)
	return p
}

func pausingBeforeBrokers(t *testing.T) *process {
	p := newRig(t, []string{closedPort(t)}).start("run")
	p.says("Kafka cannot be used yet; waiting for it")
	return p
}

func askingSilentBrokers(t *testing.T) *process {
	addr, accepted := silentBroker(t)
	p := newRig(t, []string{addr}).start("run")
	happens(t, "a connection to the broker", accepted)
	return p
}

func workingWithFrozenBrokers(t *testing.T, changes ...string) *process {
	broker := hostedBroker(t)
	p := newRig(t, []string{broker.at}).start("run", changes...)
	p.isReady()
	broker.freeze()
	return p
}

func committingToFrozenBrokers(t *testing.T) *process {
	broker := hostedBroker(t)
	r := newRig(t, []string{broker.at})
	p := r.start("run")
	p.isReady()
	broker.freeze()
	r.leave(1, "frozen")
	p.await("it has seen who left", func() bool { return len(r.sim.Shown()) > 0 })
	return p
}

func withFault(t *testing.T, f dingtalktest.Fault) *process {
	r := newRig(t, kafkatest.Brokers(t))
	r.sim.Fail(f, 1000)
	p := r.start("run")
	p.await("DingTalk hangs", func() bool {
		calls := r.sim.Calls()
		return len(calls) > 0 && calls[len(calls)-1].Fault == f.Name
	})
	return p
}

// TestASignalInTheMiddleOfACommit stops the program while the broker does not answer EndTxn: whether the transaction is then
// committed or not, the next instance finds out, and nothing is lost or twice.
func TestASignalInTheMiddleOfACommit(t *testing.T) {
	t.Parallel()
	for name, applied := range map[string]bool{"the broker never acts on it": false, "the broker acts on it after the end": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := kafkatest.Fake(t, "it holds one request back")
			r := newRig(t, broker.ListenAddrs())
			p := r.start("run")
			p.isReady()
			held, release := holdEndTxn(broker, applied)
			r.leave(3, "held")
			happens(t, "EndTxn", held)
			p.signal(syscall.SIGTERM)
			p.ends(stopBound, exitClean)
			release()
			next := r.start("run")
			r.leave(2, "after")
			r.settle(next)
			r.check()
		})
	}
}

// holdEndTxn holds EndTxn requests back until they are released: then they are acted on, or were never to be.
func holdEndTxn(broker *kfake.Cluster, applied bool) (held <-chan struct{}, release func()) {
	sign, released := make(chan struct{}, 1), make(chan struct{})
	var over atomic.Bool
	broker.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		if over.Load() {
			broker.DropControl()
			return nil, nil, false
		}
		broker.KeepControl()
		select {
		case sign <- struct{}{}:
		default:
		}
		if !applied {
			return nil, nil, true // no answer, ever
		}
		broker.SleepControl(func() { <-released })
		return nil, nil, false
	})
	return sign, func() {
		over.Store(true)
		close(released)
	}
}

// TestASecondSignalEndsItAtOnce stops the program while the brokers are frozen, so that a clean stop takes seconds.
func TestASecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	for _, signals := range [][2]os.Signal{{syscall.SIGTERM, syscall.SIGINT}, {syscall.SIGINT, syscall.SIGTERM}} {
		t.Run(signals[0].String()+", then "+signals[1].String(), func(t *testing.T) {
			t.Parallel()
			p := workingWithFrozenBrokers(t)
			p.signal(signals[0])
			p.signal(signals[1])
			p.ends(time.Second, exitFault)
			if strings.Contains(p.stderr.String(), `"msg":"stopped"`) {
				t.Error("it went through the clean stop first")
			}
		})
	}
}
