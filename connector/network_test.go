package connector_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestARoughNetwork lets three instances work over lines that are cut, go silent, are slow or forget their connections, one by one or all
// at once, for half a minute each time; then all is well again, and within seconds everything goes on.
func TestARoughNetwork(t *testing.T) {
	rounds := 2 * times(10) // half a minute each, and what it takes to go on
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				draw := rand.New(rand.NewPCG(seed, 0))
				c := newCrew(r, 3, 12)
				c.startAll()
				var longest time.Duration
				for round := range rounds {
					told := c.roughen(draw, 30*time.Second)
					for _, s := range c.seats {
						s.line.delay(0)
						s.line.become(reachable, c.brokers...)
					}
					c.leaveEverywhere(fmt.Sprintf("healed-%d", round))
					took := c.published()
					longest = max(longest, took)
					if took > goesOn {
						t.Errorf("seed %d, round %d: who left was published %v after the network was whole again; before: %s\n%s",
							seed, round, took, strings.Join(told, "; "), c.log.tail())
					}
				}
				t.Logf("it went on after %v at most", longest)
				c.stopAll()
			})
		})
	}
}

// roughen disturbs the lines for a time, while people leave, and tells what it did.
func (c *crew) roughen(draw *rand.Rand, length time.Duration) (told []string) {
	began := time.Now()
	for n := 0; time.Since(began) < length; n++ {
		s := c.seats[draw.IntN(len(c.seats))]
		what := []string{"cut off", "silent", "forgets", "slow", "reachable"}[draw.IntN(5)]
		switch what {
		case "cut off":
			s.line.become(cutOff, c.brokers...)
		case "silent":
			s.line.become(silent, c.brokers...)
		case "forgets":
			s.line.forget()
		case "slow":
			s.line.delay(500 * time.Millisecond)
		case "reachable":
			s.line.delay(0)
			s.line.become(reachable, c.brokers...)
		}
		told = append(told, fmt.Sprintf("%v %s %s", time.Since(began).Round(time.Millisecond), s.name, what))
		c.sims[draw.IntN(len(c.sims))].Leave(person(fmt.Sprintf("rough-%d-%d", time.Now().UnixNano(), n), time.Now()))
		time.Sleep(time.Duration(draw.Int64N(int64(3 * time.Second))))
	}
	return told
}

// TestConnectionsThatAFirewallHasForgotten never answer again, and nobody is told: what was sent over them is given up after some time, and
// everything goes on over new ones. A produce request is given up after 20 seconds, the end of a transaction after 10.
func TestConnectionsThatAFirewallHasForgotten(t *testing.T) {
	const givenUp = 40 * time.Second
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		c := newCrew(r, 1, 3)
		c.startAll()
		var longest time.Duration
		for n := range 5 * times(4) {
			c.seats[0].line.forget()
			c.leaveEverywhere(fmt.Sprintf("forgotten-%d", n))
			longest = max(longest, c.published())
			time.Sleep(time.Duration(n) * 4 * time.Second) // in every state of rest
		}
		t.Logf("it went on after %v at most", longest)
		if longest > givenUp {
			t.Errorf("it went on after %v\n%s", longest, c.log.tail())
		}
		c.stopAll()
	})
}

// TestAnAnswerOfTheGroupThatIsLost is the one to the request to join, over a connection that looks open: who waits for it has no part in
// the group meanwhile, and gives up in time.
func TestAnAnswerOfTheGroupThatIsLost(t *testing.T) {
	const givenUp = 40 * time.Second // 20 of that request, 10 of the next that is sent over a connection of that time
	ofSeveralBrokers(t, func(t *testing.T, r *rig, cluster *kfake.Cluster) {
		c := newCrew(r, 2, 24)
		owner, late := c.seats[0], c.seats[1]
		owner.start()
		c.share()
		cluster.ControlKey(int16(kmsg.JoinGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
			if q.(*kmsg.JoinGroupRequest).MemberID != "" { // it has asked for one before
				cluster.DropControl()
				late.line.forget()
			}
			return nil, nil, false
		})
		late.start()
		began := time.Now()
		for len(late.owns()) == 0 && time.Since(began) <= givenUp {
			time.Sleep(100 * time.Millisecond)
		}
		took := time.Since(began)
		t.Logf("it had its part after %v", took)
		if took > givenUp {
			t.Errorf("after %v it has no part\n%s", took, c.log.tail())
		}
		c.share()
		c.stopAll()
	})
}
