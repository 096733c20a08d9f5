package connector_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

// aim lets the answer to the next end of a transaction be lost.
type aim struct {
	at   func(applied bool) (hit <-chan struct{}) // from the hit on the network is of no use
	heal func()
}

// TestUncertainCommits loses the answer to one commit after the other, of transactions that were committed and of such that were not: each
// time only the state tells which, and nothing is lost or published twice.
func TestUncertainCommits(t *testing.T) {
	pairs := times(13) // one of each that was committed, one that was not
	for _, how := range []state{cutOff, silent} {
		t.Run("then the network is "+how.String(), func(t *testing.T) {
			ofSeveralBrokers(t, func(t *testing.T, r *rig, cluster *kfake.Cluster) {
				l := newLine(r.dial)
				r.dial = l.dial
				i := r.start(nil)
				r.surviveUncertainCommits(pairs, aim{
					at:   func(applied bool) <-chan struct{} { return loseTheEnd(cluster, l, how, applied, r.brokers) },
					heal: func() { l.become(reachable, r.brokers...) },
				})
				r.stop(i)
				r.check()
			})
		})
	}
}

// loseTheEnd makes a line unusable when the next end of a transaction is with the broker, which acts on it or does not.
func loseTheEnd(cluster *kfake.Cluster, l *line, how state, applied bool, brokers []string) (hit <-chan struct{}) {
	sign := make(chan struct{})
	cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.DropControl()
		l.become(how, brokers...)
		close(sign)
		return nil, nil, !applied
	})
	return sign
}

// TestUncertainCommitsOnRealBrokers is the same in real time.
func TestUncertainCommitsOnRealBrokers(t *testing.T) {
	if !kafkatest.Real() {
		t.Skip("on kfake they are many more, in simulated time")
	}
	for n := range 5 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kafkatest.Brokers(t))
			var cutter kafkatest.Cutter
			hit := make(chan struct{})
			cutter.OnCut(func(int16) { hit <- struct{}{} })
			i := r.start(&cutter)
			r.surviveUncertainCommits(2, aim{
				at: func(applied bool) <-chan struct{} {
					when := kafkatest.NotApplied
					if applied {
						when = kafkatest.Applied
					}
					cutter.CutAt(1, when, int16(kmsg.EndTxn))
					return hit
				},
				heal: cutter.Heal,
			})
			r.stop(i)
			r.check()
		})
	}
}

// surviveUncertainCommits lets so many pairs of commits end without an answer.
func (r *rig) surviveUncertainCommits(pairs int, a aim) {
	r.t.Helper()
	r.leave(1, "before")
	r.isPublished()
	for n := range 2 * pairs {
		ended := r.sessionsEnded()
		hit := a.at(n%2 == 0)
		r.leave(2, fmt.Sprintf("round-%d", n))
		select {
		case <-hit:
		case <-time.After(2 * time.Minute):
			r.t.Fatalf("no transaction ended\n%s", r.log.tail())
		}
		r.wait("the commit to be given up", func() bool { return r.sessionsEnded() > ended })
		a.heal()
		r.isPublished()
	}
}

// sessionsEnded counts those that were thrown away after an uncertain commit, or because the group heard nothing more either.
func (r *rig) sessionsEnded() int {
	return r.log.count("outcome unknown") + r.log.count("session closed")
}

// isPublished is settle, looking less often.
func (r *rig) isPublished() {
	r.t.Helper()
	r.wait("every departure on the events topic", func() bool {
		time.Sleep(200 * time.Millisecond)
		a, err := r.account()
		if err != nil {
			return false
		}
		lost, _, _ := a.Count("dingtest", r.truth())
		return len(lost) == 0
	})
}
