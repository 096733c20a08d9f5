package connector_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"departures/connector"
	"departures/connector/dingtalk"
	"departures/connector/dingtalk/dingtalktest"
)

// others are the switches beside the interacting ones that a connector can bear for good: texts, limits, lifetimes, clocks. The last one
// lets calls go wrong.
func others() [][]choice {
	return slices.Concat(texts(), demands(), limits())
}

// texts are how an answer is written.
func texts() [][]choice {
	type sw = dingtalktest.Switches
	return [][]choice{
		positions("leaveTime in", func(s *sw, v dingtalktest.TimeFormat) { s.TimeFormat = v }, dingtalktest.TimeFormats()...),
		positions("name", func(s *sw, v dingtalktest.Presence) { s.Name = v }, dingtalktest.Presences()...),
		positions("stateCode", func(s *sw, v dingtalktest.Presence) { s.StateCode = v }, dingtalktest.Presences()...),
		positions("mobile", func(s *sw, v dingtalktest.Presence) { s.Mobile = v }, dingtalktest.Presences()...),
		positions("null records", func(s *sw, v bool) { s.NullRecords = v }, false, true),
		positions("records repeated on", func(s *sw, v dingtalktest.Repeats) { s.Repeats = v }, dingtalktest.AllRepeats()...),
		positions("unknown fields", func(s *sw, v bool) { s.UnknownFields = v }, false, true),
		positions("upper-camel errors", func(s *sw, v bool) { s.UpperCamelErrors = v }, false, true),
		positions("English", func(s *sw, v bool) { s.English = v }, false, true),
		positions("gzip", func(s *sw, v bool) { s.Gzip = v }, false, true),
	}
}

// demands are what a request must be like.
func demands() [][]choice {
	type sw = dingtalktest.Switches
	never := func(c *company) { c.DingTalk.EndTime = false }
	return [][]choice{
		positions("strict history", func(s *sw, v bool) { s.StrictHistory = v }, false, true),
		positions("maxResults clamped", func(s *sw, v bool) { s.ClampMaxResults = v }, false, true),
		positions("what is missing is invalid", func(s *sw, v bool) { s.MissingAsInvalid = v }, false, true),
		positions("times without zone", func(s *sw, v bool) { s.ZonelessRequest = v }, false, true),
		positions("nextToken refused as", func(s *sw, v string) { s.PageTokenCode = v },
			"invalidParameter.param.invalid", "invalidParameter.cursor.invalid", "illegalParameter.nextToken", "invalidNextToken", "MissingnextToken"),
		{
			{name: "endTime"},
			{name: "endTime, but none in the future", set: func(s *sw) { s.RefuseFutureEndTime = true }},
			{name: "endTime never sent", also: never},
			{name: "endTime refused, never sent", set: func(s *sw) { s.RefuseEndTime = true }, also: never},
		},
		{
			{name: "app token"},
			{name: "corp token", also: func(c *company) { c.DingTalk.Token = dingtalk.CorpToken }},
		},
	}
}

// limits are how much and how long, and what goes wrong.
func limits() [][]choice {
	type sw = dingtalktest.Switches
	inMidWalk := func(do func(c *company)) func(*company) {
		return func(c *company) { c.story = append(c.story, happening{0, -40 * time.Hour, day, do}) }
	}
	return [][]choice{
		{
			{name: "nextToken lives for 10 minutes"},
			{
				name: "nextToken lives for 90 s and once is forgotten",
				set:  func(s *sw) { s.PageTokenTTL = 90 * time.Second },
				also: inMidWalk(func(c *company) { c.sim.ExpirePageTokens() }),
			},
		},
		{
			{name: "access token lives for two hours"},
			{
				name: "access token lives for 20 s and once is dead at once",
				set:  func(s *sw) { s.TokenTTL = 20 * time.Second },
				also: inMidWalk(func(c *company) { c.sim.RevokeToken() }),
			},
		},
		positions("calls a minute", func(s *sw, v int) { s.QPM = v }, 0, 10),
		{
			{name: "not counted"},
			{name: "counted, in the days of grace", set: func(s *sw) { s.MonthlyQuota, s.QuotaGrace = 1, 5*day }},
		},
		append([]choice{{name: "never blocked"}}, positions("above 16 calls in 20 s blocked by", func(s *sw, v dingtalktest.BlockPage) {
			s.BlockAbove, s.BlockFor, s.BlockPage = 16, time.Minute, v
		}, dingtalktest.BlockPages()...)...),
		positions("Retry-After", func(s *sw, v time.Duration) { s.RetryAfter = v }, 0, 2*time.Second),
		positions("busy at half hours for", func(s *sw, v time.Duration) { s.BusyHalfHours = v }, 0, 20*time.Second),
		positions("clock ahead by", func(s *sw, v time.Duration) { s.Skew = v }, 0, -10*time.Minute, 10*time.Minute),
		positions("latency", func(s *sw, v time.Duration) { s.Latency = v }, 0, 300*time.Millisecond),
		{
			{name: "all goes well"},
			{name: "one call in twenty goes wrong", also: func(c *company) {
				faults := passing()
				for _, f := range faults {
					faults = append(faults, f.Against(dingtalktest.TokenCalls))
				}
				c.sim.FailAtRandom(0.05, faults...)
			}},
		},
	}
}

// lasting are the faults after which the connector waits for a minute or longer.
var lasting = []string{
	dingtalktest.ThrottledForMinute.Name, dingtalktest.QuotaExhausted.Name, dingtalktest.PermissionDenied.Name, dingtalktest.IPNotWhiteListed.Name,
	dingtalktest.IPBlockHTML403.Name, dingtalktest.IPBlockHTML200.Name, dingtalktest.IPBlockJSON.Name,
}

// passing are the other faults: seconds heal them.
func passing() []dingtalktest.Fault {
	return slices.DeleteFunc(dingtalktest.Faults(), func(f dingtalktest.Fault) bool { return slices.Contains(lasting, f.Name) })
}

// covering is rows of choices in which any two positions of any two switches stand together at least once. Row by row, it begins with a
// pair that is missing still and then takes, switch by switch, the position that brings most missing pairs.
func covering(switches [][]choice) (rows [][]choice) {
	missing := allPairs(switches)
	for {
		first, left := missing.first(switches)
		if !left {
			return rows
		}
		at := make([]int, len(switches))
		for s := range at {
			at[s] = -1
		}
		at[first.a], at[first.b] = first.i, first.j
		for s := range switches {
			if at[s] < 0 {
				at[s] = missing.best(at, s, len(switches[s]), len(rows))
			}
		}
		missing.meet(at)
		row := make([]choice, len(switches))
		for s, i := range at {
			row[s] = switches[s][i]
		}
		rows = append(rows, row)
	}
}

// pair is position i of switch a beside position j of switch b, a before b.
type pair struct{ a, i, b, j int }

// together is the pair of two switches in either order.
func meeting(a, i, b, j int) pair {
	if a > b {
		a, i, b, j = b, j, a, i
	}
	return pair{a, i, b, j}
}

type pairs map[pair]bool

func allPairs(switches [][]choice) pairs {
	all := pairs{}
	for b := range switches {
		for a := range b {
			for i := range switches[a] {
				for j := range switches[b] {
					all[pair{a, i, b, j}] = true
				}
			}
		}
	}
	return all
}

// first is the first pair in order of the switches.
func (p pairs) first(switches [][]choice) (pair, bool) {
	for a := range switches {
		for b := a + 1; b < len(switches); b++ {
			for i := range switches[a] {
				for j := range switches[b] {
					if p[pair{a, i, b, j}] {
						return pair{a, i, b, j}, true
					}
				}
			}
		}
	}
	return pair{}, false
}

// best is the position of switch s, of n, that meets most of the pairs beside the positions taken already; of equals the next in turn.
func (p pairs) best(at []int, s, n, turn int) int {
	best, most := 0, -1
	for k := range n {
		i, met := (k+turn)%n, 0
		for b, j := range at {
			if j >= 0 && p[meeting(s, i, b, j)] {
				met++
			}
		}
		if met > most {
			best, most = i, met
		}
	}
	return best
}

// meet strikes off the pairs of a row.
func (p pairs) meet(at []int) {
	for b, j := range at {
		for a, i := range at[:b] {
			delete(p, pair{a, i, b, j})
		}
	}
}

func TestAnyTwoPositionsOfTwoSwitchesStandInOneRow(t *testing.T) {
	switches := slices.Concat(interacting(), others())
	rows := covering(switches)
	met := map[[2]string]bool{}
	for _, row := range rows {
		if len(row) != len(switches) {
			t.Fatalf("a row of %d positions, of %d switches", len(row), len(switches))
		}
		for s, c := range row {
			if !slices.ContainsFunc(switches[s], func(p choice) bool { return p.name == c.name }) {
				t.Errorf("%q is no position of switch %d", c.name, s)
			}
			for _, d := range row[:s] {
				met[[2]string{d.name, c.name}] = true
			}
		}
	}
	all := 0
	for b := range switches {
		for a := range b {
			for _, x := range switches[a] {
				for _, y := range switches[b] {
					all++
					if !met[[2]string{x.name, y.name}] {
						t.Errorf("%q and %q never meet", x.name, y.name)
					}
				}
			}
		}
	}
	if all != len(met) {
		t.Errorf("%d pairs of names for %d pairs: a name stands for two positions", len(met), all)
	}
	t.Logf("%d pairs of %d switches in %d rows", all, len(switches), len(rows))
}

// TestNoSwitchIsForgotten looks whether the simulated DingTalk has a switch that none of the rows turns.
func TestNoSwitchIsForgotten(t *testing.T) {
	elsewhere := []string{ // switches under which nobody can be published: other tests turn them, for a while
		"NoPermission", "IPNotWhiteListed", "QuotaExhausted", "RepeatToken",
		"QPS", // is kept to, never met
	}
	turned := map[string]bool{}
	for _, s := range slices.Concat(interacting(), others()) {
		for _, c := range s {
			var sw dingtalktest.Switches
			if c.set != nil {
				c.set(&sw)
			}
			for i, v := 0, reflect.ValueOf(sw); i < v.NumField(); i++ {
				turned[v.Type().Field(i).Name] = turned[v.Type().Field(i).Name] || !v.Field(i).IsZero()
			}
		}
	}
	for name, is := range turned {
		if is == slices.Contains(elsewhere, name) {
			t.Errorf("switch %s: turned %t; each belongs into interacting, texts, demands or limits, or else into the list above", name, is)
		}
	}
}

// TestEveryPairOfSwitches gives each row to a company of its own, all with one history, and wants the same events from each.
func TestEveryPairOfSwitches(t *testing.T) {
	rows := covering(slices.Concat(interacting(), others()))
	if testing.Short() {
		rows = every(5, rows)
	}
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		plan := plan{first: 25 * time.Minute, caughtUp: 12 * time.Minute, second: 10 * time.Minute, restarts: true}
		var companies []*company
		for i, ways := range rows {
			companies = append(companies, r.found(fmt.Sprintf("company-%d", i), ways, plan))
		}
		r.live(companies, plan)
		r.judge(companies, plan)
		for _, what := range unmet(companies) {
			if !testing.Short() {
				t.Errorf("no company met %s", what)
			}
		}
	})
}

// unmet is the limits that bound nobody: a row that meets none of its limits tests none.
func unmet(companies []*company) []string {
	limits := []string{
		"InvalidAuthentication", "Forbidden.AccessDenied.QpmLimitForAppkeyAndApi", "Forbidden.AccessDenied.QpsLimitForApi",
		"invalidParameter.param.invalid", "invalidParameter.cursor.invalid", "illegalParameter.nextToken", "invalidNextToken", "MissingnextToken",
		dingtalktest.IPBlockHTML403.Name, dingtalktest.IPBlockHTML200.Name, dingtalktest.IPBlockJSON.Name,
	}
	for _, c := range companies {
		for _, call := range c.sim.Calls() {
			limits = slices.DeleteFunc(limits, func(what string) bool {
				return what == call.Fault || what == call.Code && call.Fault == ""
			})
		}
	}
	return limits
}

// TestALimitAMinuteSlowsAWalkDownAndNoMore lets DingTalk give ten pages a minute, and a window have twenty: the walk must go on where the
// limit stopped it, or it never ends.
func TestALimitAMinuteSlowsAWalkDownAndNoMore(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.cfg.Start = connector.StartAt(time.Now().Add(-30 * day))
		r.cfg.PollInterval = time.Minute
		r.sim.Set(func(s *dingtalktest.Switches) { s.QPM = 10 })
		for k := range 1000 {
			r.sim.Leave(person(fmt.Sprintf("p%d", k), time.Now().Add(-28*day+time.Duration(k)*time.Minute)))
		}
		i := r.start(nil)
		time.Sleep(30 * time.Minute)
		if notes := i.runner.Status().Notes(); len(notes) > 0 {
			t.Errorf("after half an hour: %s", notes)
		}
		r.stop(i)
		r.check()
	})
}
