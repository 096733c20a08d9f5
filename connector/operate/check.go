// Package operate is what an operator asks of the connector's neighbours. It has no loop; what it writes, if anything, a verb's
// name says.
package operate

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"departures/connector"
	"departures/connector/kafka"
	"departures/connector/walk"
	"departures/schema"
)

// atOnce is how many organisations are looked at side by side. At half of the standard edition's 20 calls a second so many make 6,400
// calls in 20 seconds; DingTalk blocks an address at 10,000.
const atOnce = 32

// Check looks at everything that a run needs, at DingTalk, at Kafka and at the schema registry, and finds every fault at once. It writes no
// record, creates no topic, registers no schema, and disturbs no connector that runs: it fences nobody and joins no group. (Kafka itself
// remembers the transactional id "<state topic>-check" for a week.) DingTalk is asked some twenty times an app, forty at most when all goes
// well, and three times for each further organisation of the app, at half the configured rate. A hundred organisations with apps of their
// own take well under a minute when all goes well. When ctx ends, so does the check, and what could not be looked at any more is a fault.
func Check(ctx context.Context, cfg connector.Config, wire connector.Wire, log *slog.Logger) Report {
	orgs := slices.Clone(cfg.Orgs)
	for i := range orgs {
		orgs[i].DingTalk.Rate /= 2 // a connector may run beside this
	}
	cfg.Kafka.Dial, cfg.Kafka.Log = wire.Kafka, log
	var (
		ofKafka    Section
		ofRegistry []Section // none where there is no registry
		ofOrgs     = make([]Section, len(orgs))
		observed   = map[string]string{} // the first organisation of each app, by app key
		beside     sync.WaitGroup
		few        errgroup.Group
	)
	beside.Go(func() { ofKafka = checkKafka(ctx, cfg) })
	if cfg.Registry != nil {
		beside.Go(func() { ofRegistry = []Section{checkRegistry(ctx, cfg)} })
	}
	few.SetLimit(atOnce)
	for i, o := range connector.OnWire(orgs, wire, log) {
		like := observed[o.DingTalk.AppKey]
		observed[o.DingTalk.AppKey] = cmp.Or(like, o.CorpID)
		few.Go(func() error {
			ofOrgs[i] = checkDingTalk(ctx, o, like)
			return nil
		})
	}
	_ = few.Wait() // nobody gives an error
	beside.Wait()
	if len(orgs) > spelledOut {
		ofOrgs = []Section{together(orgs, ofOrgs)}
	}
	return Report{Sections: slices.Concat(ofOrgs, []Section{ofKafka}, ofRegistry)}
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
	many, furthest, now := len(standings) > spelledOut, furthestBehind(standings), time.Now()
	var found gathering
	for _, at := range standings {
		switch {
		case at.Checkpoint != nil && many:
			found.add(at.CorpID, "", Fine, "complete through %s or later", stamp(furthest))
		case at.Checkpoint != nil:
			found.add(at.CorpID, "", Fine, "complete through %s, observed at %s; %d departures in the ledger",
				stamp(at.Checkpoint.HighWaterMark), stamp(at.Checkpoint.ObservedAt), at.Remembered)
		case len(at.Faults) == 0:
			found.start(at.CorpID, cfg.Start.At(now))
		}
		for _, g := range gapsOf(at) {
			found.add(at.CorpID, "", Warning, "gap: DingTalk refused to show who left from %s to %s: compare with another source", stamp(g.Start), stamp(g.End))
		}
		for _, f := range at.Faults {
			found.add(at.CorpID, "", Fault, "%s", strings.TrimPrefix(f, "organisation "+at.CorpID+" "))
		}
	}
	s.Findings = append(s.Findings, found.findings()...)
}

// furthestBehind is the earliest of the organisations' marks.
func furthestBehind(standings []connector.Standing) (mark time.Time) {
	for _, at := range standings {
		if cp := at.Checkpoint; cp != nil && (mark.IsZero() || cp.HighWaterMark.Before(mark)) {
			mark = cp.HighWaterMark
		}
	}
	return mark
}

func gapsOf(at connector.Standing) []schema.Gap {
	if at.Checkpoint == nil {
		return nil
	}
	return at.Checkpoint.Gaps
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

// start says where a first run would begin.
func (g *gathering) start(corpID string, at time.Time) {
	g.add(corpID, "", Fine, "no checkpoint yet: the first run begins at %s", stamp(at))
	if time.Since(at) > walk.History+time.Hour { // START=8736h is just old enough
		g.add(corpID, "", Warning, "START is more than 364 days ago: DingTalk may refuse to show what is older (see strict-history); the run then begins 364 days ago, and notes a gap")
	}
}
