// Package operate is what an operator asks of the connector's two neighbours. It has no loop; what it writes, if anything, a verb's
// name says.
package operate

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"departures/connector"
	"departures/connector/kafka"
)

// Check looks at everything that a run needs, at DingTalk and at Kafka, and finds every fault at once. It writes nothing anywhere and
// disturbs no connector that runs: it fences nobody and joins no group. DingTalk is asked some forty calls an organisation, at the
// configured rate. When ctx ends, so does the check, and what could not be looked at any more is a fault.
func Check(ctx context.Context, cfg connector.Config, wire connector.Wire, log *slog.Logger) Report {
	r := Report{Sections: make([]Section, len(cfg.Orgs)+1)}
	var all sync.WaitGroup
	for i, o := range connector.OnWire(cfg.Orgs, wire, log) {
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
			s.add(subject, Fine, "no checkpoint yet: the first run begins at %s", cfg.Start.At(time.Now()).Format(time.RFC3339))
		}
		for _, f := range at.Faults {
			s.add(subject, Fault, "%s", f)
		}
	}
}

// explained is an error of DingTalk's side as a fault's text: what it is, the error, and the way out.
func explained(err error) string {
	what, fix := connector.Explain(err)
	return what + ": " + err.Error() + ": " + cmp.Or(fix, "ask again in a few minutes")
}
