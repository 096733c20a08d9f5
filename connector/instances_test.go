package connector_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"departures/connector"
)

// TestHowSoonAnotherInstanceTakesOver ends one of three instances in every way, again and again, and measures until all of its
// organisations are asked for their leave records by others.
func TestHowSoonAnotherInstanceTakesOver(t *testing.T) {
	for name, end := range map[string]struct {
		do    func(*seat)
		bound time.Duration
	}{
		"after a goodbye":          {(*seat).stop, handOver},
		"after a crash":            {(*seat).crash, sessionTimeout + handOver},
		"after it was cut off":     {func(s *seat) { s.line.become(cutOff, s.crew.brokers...) }, sessionTimeout + handOver},
		"after its network froze":  {func(s *seat) { s.line.become(silent, s.crew.brokers...) }, sessionTimeout + handOver},
		"after a goodbye, static":  {(*seat).stop, handOver},
		"after a crash, static":    {(*seat).crash, sessionTimeout + handOver},
		"after it froze as static": {func(s *seat) { s.line.become(silent, s.crew.brokers...) }, sessionTimeout + handOver},
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				c := newCrew(r, 3, 24)
				if strings.HasSuffix(name, "static") {
					c.areStatic()
				}
				c.startAll()
				var longest time.Duration
				for n := range times(6) {
					s := c.owner(n)
					c.leaveEverywhere(fmt.Sprintf("before-%d", n))
					owned, began := s.owns(), time.Now()
					end.do(s)
					c.leaveEverywhere(fmt.Sprintf("after-%d", n))
					var at time.Time
					c.wait("the others to take over", func() (ok bool) {
						at, ok = s.takenOver(owned, began)
						return ok
					})
					longest = max(longest, at.Sub(began))
					c.published()
					s.line.become(reachable, c.brokers...)
					if s.at == nil {
						s.start()
					}
					time.Sleep(rand.N(time.Second)) // heartbeats fall anywhere
					c.share()
				}
				t.Logf("at most %v, of %v", longest, end.bound)
				if longest > end.bound {
					t.Errorf("taking over took %v, more than %v\n%s", longest, end.bound, c.log.tail())
				}
				c.stopAll()
			})
		})
	}
}

// areStatic gives every instance an id of its own, as the pods of a StatefulSet have.
func (c *crew) areStatic() {
	for _, s := range c.seats {
		s.id = s.name
	}
}

// TestAStaticInstanceThatCrashedHasItsOrganisationsBackAtOnce, and nobody else is disturbed.
func TestAStaticInstanceThatCrashedHasItsOrganisationsBackAtOnce(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		c := newCrew(r, 3, 24)
		c.areStatic()
		c.startAll()
		for n := range times(6) {
			s := c.owner(n)
			owned, opened, began := s.owns(), len(c.log.lines(`msg="session open"`)), time.Now()
			s.crash()
			s.start()
			time.Sleep(sessionTimeout + latest)
			slices.Sort(owned)
			if now := s.owns(); !slices.Equal(slices.Sorted(slices.Values(now)), owned) {
				t.Errorf("it owned %v before, %v after", owned, now)
			}
			for _, line := range c.log.since(opened, `msg="session open"`) {
				if !strings.Contains(line, "seat="+s.name) {
					t.Errorf("somebody else was disturbed: %s", line)
				}
			}
			if pause, corpID := c.longestPause(began, time.Now()); pause > latest {
				t.Errorf("%s was not asked for %v", corpID, pause)
			}
		}
		c.stopAll()
	})
}

// TestARollingRestartDelaysNoPoll restarts three instances one after the other, several times, at once after each other or with some
// time in between. Each time an organisation is added or taken away, which the others must not notice either.
func TestARollingRestartDelaysNoPoll(t *testing.T) {
	for _, kind := range []string{"dynamic", "static"} {
		t.Run(kind+" members", func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				c := newCrew(r, 3, 25)
				if kind == "static" {
					c.areStatic()
				}
				all := c.cfg.Orgs
				c.sims = c.sims[:24] // the last comes and goes
				c.cfg.Orgs = all[:24]
				c.startAll()
				began := time.Now()
				for round := range 6 {
					c.cfg.Orgs = [][]connector.Org{all, all[:24]}[round%2]
					pause := []time.Duration{0, time.Second, 10 * time.Second}[round/2]
					for _, s := range c.seats {
						c.leaveEverywhere(fmt.Sprintf("round-%d-%s", round, s.name))
						s.stop()
						s.start()
						time.Sleep(pause)
					}
				}
				time.Sleep(latest)
				pause, corpID := c.longestPause(began, time.Now())
				late := pause - c.cfg.PollInterval
				t.Logf("a poll was %v late at most", late)
				if late > latest {
					t.Errorf("a poll of %s was %v late", corpID, late)
				}
				if n := len(c.log.lines("Kafka: fenced")); n > 0 {
					t.Errorf("%d fences in rolling restarts", n)
				}
				c.published()
				c.stopAll()
			})
		})
	}
}

// TestStandbys: of three instances for one organisation two stand by, are ready, and say so; when the owner goes, one of them owns.
func TestStandbys(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		c := newCrew(r, 3, 1)
		c.startAll()
		for left := 3; left > 0; left-- {
			owner := c.onlyOwner()
			c.leaveEverywhere(fmt.Sprintf("with-%d", left))
			c.published()
			owner.stop()
			time.Sleep(2 * handOver)
		}
		c.stopAll()
	})
}

// onlyOwner is the one instance that owns the only organisation; all are ready, and the others say that they stand by.
func (c *crew) onlyOwner() (owner *seat) {
	c.t.Helper()
	for _, s := range c.seats {
		if s.at == nil {
			continue
		}
		status, owns := s.at.runner.Status(), len(s.owns()) > 0
		if reasons := status.Ready(time.Now()); len(reasons) > 0 {
			c.t.Errorf("%s is not ready: %q", s.name, reasons)
		}
		if notes := strings.Join(status.Notes(), "\n"); strings.Contains(notes, "standing by") == owns {
			c.t.Errorf("%s owns is %v, and it says %q", s.name, owns, notes)
		}
		if owns && owner != nil {
			c.t.Errorf("%s owns the organisation, and so does %s", s.name, owner.name)
		}
		if owns {
			owner = s
		}
	}
	if owner == nil {
		c.t.Fatalf("nobody owns the organisation\n%s", c.log.tail())
	}
	return owner
}
