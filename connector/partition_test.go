package connector_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

const (
	// goesOn bounds how long after a network is whole again it may take until all who left meanwhile are published.
	goesOn = 10 * time.Second
	// comesBack bounds how long after it the instance that was cut off may take until it has its part again: the last attempt to reach the
	// group may have begun just before.
	comesBack = 20 * time.Second
)

// TestAnInstanceThatIsCutOffFromKafkaAlone goes on asking DingTalk, and must not publish: others have taken over. It says that it is not
// ready, and comes back.
func TestAnInstanceThatIsCutOffFromKafkaAlone(t *testing.T) {
	for _, how := range []state{cutOff, silent} {
		t.Run(how.String(), func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				c := newCrew(r, 3, 12)
				c.startAll()
				for round := range times(2) {
					a := c.owner(round)
					owned, began := a.owns(), time.Now()
					a.line.become(how, c.brokers...)
					for n := range 12 {
						c.leaveEverywhere(fmt.Sprintf("cut-%d-%d", round, n))
						time.Sleep(5 * time.Second)
					}
					if _, ok := a.takenOver(owned, began); !ok {
						t.Errorf("nobody took over\n%s", c.log.tail())
					}
					if reasons := a.at.runner.Status().Ready(time.Now()); len(reasons) == 0 {
						t.Error("cut off from Kafka, it is ready")
					}
					c.isBack(a, round)
					c.share()
				}
				c.stopAll()
			})
		})
	}
}

// isBack makes an instance's line whole, and wants it to be ready soon, as a part of the group, and who left meanwhile to be published.
func (c *crew) isBack(s *seat, round int) {
	c.t.Helper()
	healed, joined := time.Now(), len(c.log.lines("seat="+s.name+" partitions=\"["))
	s.line.become(reachable, c.brokers...)
	c.leaveEverywhere(fmt.Sprintf("healed-%d", round))
	if took := c.published(); took > goesOn {
		c.t.Errorf("who left was published %v after the network was whole again\n%s", took, c.log.tail())
	}
	c.wait("it to come back", func() bool {
		return len(c.log.lines("seat="+s.name+" partitions=\"[")) > joined && len(s.at.runner.Status().Ready(time.Now())) == 0
	})
	took := time.Since(healed)
	c.t.Logf("back after %v", took)
	if took > comesBack {
		c.t.Errorf("it took %v to come back\n%s", took, c.log.tail())
	}
}

// TestAnInstanceThatIsCutOffFromDingTalkAlone keeps its organisations, since Kafka has heard nothing of it, and says that it is not ready
// and why. Stopped, it makes room for one that is not cut off.
func TestAnInstanceThatIsCutOffFromDingTalkAlone(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		c := newCrew(r, 3, 12)
		c.startAll()
		a := c.owner(1)
		owned := a.owns()
		a.gate.become(true)
		c.leaveEverywhere("while cut off")
		time.Sleep(5 * time.Minute)
		reasons := strings.Join(a.at.runner.Status().Ready(time.Now()), "\n")
		for _, n := range owned {
			if !strings.Contains(reasons, fmt.Sprintf("ding%d: ", n)) || !strings.Contains(reasons, "no answer that can be used") {
				t.Errorf("ding%d is not among what is not ready: %s", n, reasons)
			}
		}
		if reasons := a.at.runner.Status().Healthy(time.Now()); len(reasons) > 0 {
			t.Errorf("a restart is asked for: %q", reasons)
		}
		a.stop()
		if took := c.published(); took > goesOn {
			t.Errorf("who left was published %v after it had stopped", took)
		}
		c.stopAll()
	})
}

// TestAnInstanceThatIsCutOffFromTheGroupAlone can still commit, and nobody tells it that its partitions are another's by now: only the
// fence does. The two must not fight until it hears of it.
func TestAnInstanceThatIsCutOffFromTheGroupAlone(t *testing.T) {
	for _, how := range []state{cutOff, silent} {
		t.Run(how.String(), func(t *testing.T) {
			ofSeveralBrokers(t, func(t *testing.T, r *rig, cluster *kfake.Cluster) {
				c := newCrew(r, 3, 12)
				c.startAll()
				coordinator := c.groupApart(cluster)
				for round := range times(2) {
					a := c.owner(round)
					owned, began := a.owns(), time.Now()
					opened := len(c.log.lines(`msg="session open"`))
					a.line.become(how, coordinator)
					for n := range 40 {
						c.leaveEverywhere(fmt.Sprintf("cut-%d-%d", round, n))
						time.Sleep(3 * time.Second)
					}
					if _, ok := a.takenOver(owned, began); !ok {
						t.Errorf("nobody took over\n%s", c.log.tail())
					}
					// One for each organisation that was taken over, and as many again for each time that the two met.
					most := 5 * len(owned)
					if n := len(c.log.since(opened, `msg="session open"`)); n > most {
						t.Errorf("%d sessions in two minutes for %d organisations\n%s", n, len(owned), c.log.tail())
					} else {
						t.Logf("%d sessions in two minutes for %d organisations", n, len(owned))
					}
					if n := len(a.gate.since(c.host(owned[0]), time.Now().Add(-time.Minute))); n > 0 {
						t.Errorf("thrown out of the group for more than a minute, it asked %d times", n)
					}
					c.isBack(a, round)
					c.share()
				}
				c.stopAll()
			})
		})
	}
}

// groupApart moves everything but the group away from the broker that coordinates it, and gives that broker's address.
func (c *crew) groupApart(cluster *kfake.Cluster) (address string) {
	c.t.Helper()
	node := cluster.CoordinatorFor(c.cfg.Kafka.Group)
	for _, topic := range []string{c.topics.Events, c.topics.Quarantine, c.topics.State} {
		for p := range int32(12) {
			_ = cluster.MoveTopicPartition(topic, p, (node+1)%3) // the quarantine topic has one
		}
	}
	return c.brokers[node]
}
