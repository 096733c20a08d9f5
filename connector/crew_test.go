package connector_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
)

const (
	// sessionTimeout is how long the group waits for a member that died, and handOver how much longer it may then take until another asks
	// for the leave records; after a goodbye handOver is all.
	sessionTimeout = 15 * time.Second
	handOver       = time.Second
	// latest is how late a poll of an organisation may be when instances are restarted.
	latest = 5 * time.Second
)

// crew is several instances for some organisations, each with a network of its own, on simulated time.
type crew struct {
	*rig
	sims  []*dingtalktest.Server
	seats []*seat
}

// seat is the place of one instance, which may come and go.
type seat struct {
	crew *crew
	name string
	id   string // KAFKA_INSTANCE_ID
	line *line
	gate *gate
	at   *instance // nil: nobody
}

// times is how often to do something: n times, or once in a short run.
func times(n int) int {
	if testing.Short() {
		return 1
	}
	return n
}

// newCrew has instances and organisations; they poll every second, and nobody has started yet.
func newCrew(r *rig, seats, organisations int) *crew {
	r.cfg.PollInterval, r.cfg.Kafka.Heartbeat = time.Second, 0
	c := &crew{rig: r, sims: r.organisations(organisations)}
	for n := range seats {
		c.seats = append(c.seats, &seat{
			crew: c, name: fmt.Sprintf("seat-%c", 'a'+n), line: newLine(r.dial),
			gate: &gate{calls: r.calls, asked: map[string][]time.Time{}},
		})
	}
	return c
}

// start lets an instance take its seat.
func (s *seat) start() {
	s.crew.t.Helper()
	s.line.become(reachable, s.crew.brokers...)
	cfg := s.crew.cfg
	cfg.Kafka.Instance, cfg.Kafka.InstanceID = s.name, s.id
	log := slog.New(slog.NewTextHandler(s.crew.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("seat", s.name)
	runner, err := connector.New(cfg, connector.Wire{DingTalk: s.gate, Kafka: s.line.dial}, log)
	if err != nil {
		s.crew.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{runner: runner, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(i.done)
		i.err = runner.Run(ctx)
	}()
	s.at = i
}

// stop ends the instance as a signal would.
func (s *seat) stop() {
	s.crew.t.Helper()
	s.crew.stop(s.at)
	s.at = nil
}

// crash ends the instance without another word to Kafka.
func (s *seat) crash() {
	s.crew.t.Helper()
	s.line.become(cutOff, s.crew.brokers...)
	s.stop()
}

// owns are the numbers of the organisations that the instance works on.
func (s *seat) owns() (all []int) {
	for corpID := range s.at.runner.Status().Orgs {
		var n int
		if _, err := fmt.Sscanf(corpID, "ding%d", &n); err != nil {
			s.crew.t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// takenOver is when the last of some organisations was asked for its leave records by somebody else, since a time; not ok if one was not.
func (s *seat) takenOver(organisations []int, since time.Time) (at time.Time, ok bool) {
	for _, n := range organisations {
		var first time.Time
		for _, other := range s.crew.seats {
			times := other.gate.since(s.crew.host(n), since)
			if other != s && len(times) > 0 && (first.IsZero() || times[0].Before(first)) {
				first = times[0]
			}
		}
		if first.IsZero() {
			return time.Time{}, false
		}
		if first.After(at) {
			at = first
		}
	}
	return at, true
}

func (c *crew) host(organisation int) string {
	return c.cfg.Orgs[organisation].DingTalk.BaseURL.Host
}

// startAll starts every instance, and waits until each has its part of the organisations.
func (c *crew) startAll() {
	c.t.Helper()
	for _, s := range c.seats {
		s.start()
	}
	c.share()
}

// share waits until every organisation is worked on by one of the instances.
func (c *crew) share() {
	c.t.Helper()
	c.wait("the organisations to be shared out", func() bool {
		n := 0
		for _, s := range c.seats {
			if s.at != nil {
				n += len(s.owns())
			}
		}
		return n == len(c.sims)
	})
	time.Sleep(2 * handOver) // the last to be heard of get their part in a round of their own
}

// owner is an instance that has something to lose, another one each time.
func (c *crew) owner(n int) *seat {
	c.t.Helper()
	for i := range c.seats {
		if s := c.seats[(n+i)%len(c.seats)]; s.at != nil && len(s.owns()) > 0 {
			return s
		}
	}
	c.t.Fatalf("nobody owns anything\n%s", c.log.tail())
	return nil
}

// stopAll ends what goes on, and checks the promises.
func (c *crew) stopAll() {
	c.t.Helper()
	for _, s := range c.seats {
		if s.at != nil {
			s.stop()
		}
	}
	c.wholeOf(c.sims)
	if c.t.Failed() {
		c.t.Log(c.log.tail())
	}
}

// longestPause is the longest time between two questions for the leave records of one organisation, whoever asked, in a span.
func (c *crew) longestPause(from, to time.Time) (longest time.Duration, corpID string) {
	for n, o := range c.cfg.Orgs[:len(c.sims)] {
		times := []time.Time{from, to}
		for _, s := range c.seats {
			times = append(times, s.gate.since(c.host(n), from)...)
		}
		slices.SortFunc(times, time.Time.Compare)
		for i := 1; i < len(times) && !times[i].After(to); i++ {
			if pause := times[i].Sub(times[i-1]); pause > longest {
				longest, corpID = pause, o.CorpID
			}
		}
	}
	return longest, corpID
}

// leaveEverywhere lets somebody leave each organisation, just now.
func (c *crew) leaveEverywhere(who string) {
	for _, sim := range c.sims {
		sim.Leave(person(who, time.Now()))
	}
}

// published waits until all who left are on the events topic, and is how long that took.
func (c *crew) published() time.Duration {
	c.t.Helper()
	const patience = 2 * time.Minute
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		switch lost := c.unpublished(); {
		case len(lost) == 0:
			return time.Since(began)
		case time.Since(began) > patience:
			c.t.Fatalf("after %v not on the events topic: %v\n%s", patience, lost, c.log.tail())
		}
	}
}

// unpublished are the departures that are not on the events topic.
func (c *crew) unpublished() (lost []string) {
	c.t.Helper()
	events, err := kafkatest.ReadCommitted(context.Background(), c.brokers, c.topics.Events, kgo.Dialer(c.dial))
	if err != nil {
		c.t.Fatal(err)
	}
	a := promisetest.Account{Events: events}
	for n, sim := range c.sims {
		missing, _, _ := a.Count(c.cfg.Orgs[n].CorpID, promisetest.Owed(sim, c.cfg.Start.At(time.Now())))
		lost = append(lost, missing...)
	}
	return lost
}

// since are the lines with a text that were said after the first so many.
func (l *logbook) since(n int, text string) []string { return l.lines(text)[n:] }

// ofSeveralBrokers is onSimulatedTime with three brokers, and the cluster that they are.
func ofSeveralBrokers(t *testing.T, f func(t *testing.T, r *rig, cluster *kfake.Cluster)) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		var network kfake.VirtualNetwork
		cluster, err := kafkatest.Start(kfake.Ports(9091, 9092, 9093), kfake.ListenFn(network.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		r.brokers, r.cfg.Kafka.Brokers, r.dial = cluster.ListenAddrs(), cluster.ListenAddrs(), network.DialContext
		f(t, r, cluster)
	})
}
