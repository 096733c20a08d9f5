// Package operate is what an operator asks of the connector's two neighbours. It has no loop; what it writes, if anything, a verb's
// name says.
package operate

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"departures/connector"
	"departures/connector/kafka"
	"departures/connector/walk"
)

// Check looks at everything that a run needs, at DingTalk and at Kafka, and finds every fault at once. It writes no record, creates no
// topic, and disturbs no connector that runs: it fences nobody and joins no group. (Kafka itself remembers the transactional id
// "<state topic>-check" for a week.) DingTalk is asked some twenty times an organisation, forty at most when all goes well, at half the
// configured rate. When ctx ends, so does the check, and what could not be looked at any more is a fault.
func Check(ctx context.Context, cfg connector.Config, wire connector.Wire, log *slog.Logger) Report {
	r := Report{Sections: make([]Section, len(cfg.Orgs)+1)}
	var all sync.WaitGroup
	orgs := slices.Clone(cfg.Orgs)
	for i := range orgs {
		orgs[i].DingTalk.Rate /= 2 // a connector may run beside this
	}
	for i, o := range connector.OnWire(orgs, wire, log) {
		all.Go(func() { r.Sections[i] = checkDingTalk(ctx, o) })
	}
	cfg.Kafka.Dial, cfg.Kafka.Log = wire.Kafka, log
	all.Go(func() { r.Sections[len(cfg.Orgs)] = checkKafka(ctx, cfg) })
	all.Wait()
	return r
}

// checkKafka looks at Kafka, and at where the organisations stand in the state topic.
func checkKafka(ctx context.Context, cfg connector.Config) Section {
	s := Section{Title: "Kafka"}
	cluster, err := kafka.New(cfg.Kafka)
	if err != nil {
		s.add("settings", Fault, "%v", err)
		return s
	}
	found, state := cluster.Inspect(ctx)
	s.Findings = found
	if state != kafka.StateUnfit {
		s.standings(ctx, cfg, cluster, state == kafka.StateFound)
	}
	return s
}

// standings says where each organisation would go on, or begin.
func (s *Section) standings(ctx context.Context, cfg connector.Config, cluster *kafka.Cluster, hasState bool) {
	standings, err := connector.ReadStandings(ctx, cfg, cluster, hasState)
	if err != nil {
		s.add("checkpoints", Fault, "%v", err)
		return
	}
	for _, at := range standings {
		subject := "organisation " + at.CorpID
		switch {
		case at.Checkpoint != nil:
			s.add(subject, Fine, "complete through %s, observed at %s; %d departures in the ledger",
				at.Checkpoint.HighWaterMark.Format(time.RFC3339), at.Checkpoint.ObservedAt.Format(time.RFC3339), at.Remembered)
			for _, g := range at.Checkpoint.Gaps {
				s.add(subject, Warning, "gap: DingTalk refused to show who left from %s to %s: compare with another source",
					g.Start.Format(time.RFC3339), g.End.Format(time.RFC3339))
			}
		case len(at.Faults) == 0:
			s.start(subject, cfg.Start.At(time.Now()))
		}
		for _, f := range at.Faults {
			s.add(subject, Fault, "%s", f)
		}
	}
}

// start says where a first run would begin.
func (s *Section) start(subject string, at time.Time) {
	s.add(subject, Fine, "no checkpoint yet: the first run begins at %s", at.Format(time.RFC3339))
	if time.Since(at) > walk.History+time.Hour { // START=8736h is just old enough
		s.add(subject, Warning, "START is more than 364 days ago: DingTalk may refuse to show what is older (see strict-history); the run then begins 364 days ago, and notes a gap")
	}
}
