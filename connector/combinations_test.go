package connector_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// choice is one position of one switch.
type choice struct {
	name string
	set  func(*dingtalktest.Switches) // nil: nothing
	also func(*company)               // what else goes with it; nil: nothing
}

func (w choice) turn(c *company) {
	if w.set != nil {
		w.set(&c.switches)
	}
	if w.also != nil {
		w.also(c)
	}
}

// positions are the choices that set has.
func positions[T any](name string, set func(*dingtalktest.Switches, T), values ...T) (all []choice) {
	for _, v := range values {
		all = append(all, choice{name: fmt.Sprintf("%s %v", name, v), set: func(s *dingtalktest.Switches) { set(s, v) }})
	}
	return all
}

// interacting are the switches that decide which records stand on which page of which window.
func interacting() [][]choice {
	type sw = dingtalktest.Switches
	return [][]choice{
		positions("order", func(s *sw, v dingtalktest.Order) { s.Order = v }, dingtalktest.Orders()...),
		positions("paging", func(s *sw, v dingtalktest.Paging) { s.Paging = v }, dingtalktest.Pagings()...),
		positions("bounds", func(s *sw, v dingtalktest.Bounds) { s.Bounds = v }, dingtalktest.AllBounds()...),
		positions("filter", func(s *sw, v dingtalktest.FilterField) { s.FilterField = v }, dingtalktest.FilterFields()...),
		positions("request times east by", func(s *sw, v time.Duration) { s.RequestOffset = v }, 0, 8*time.Hour),
		positions("last token", func(s *sw, v dingtalktest.LastToken) { s.LastToken = v }, dingtalktest.LastTokens()...),
		{
			{name: "full pages"},
			{name: "short pages", set: func(s *sw) { s.ShortPages = true }},
			{name: "empty pages between", set: func(s *sw) { s.EmptyPages = true }},
			{name: "an empty page at the end", set: func(s *sw) { s.FullLastPage = true }},
		},
	}
}

// product is every combination of choices, one of each switch.
func product(switches [][]choice) [][]choice {
	rows := [][]choice{nil}
	for _, s := range switches {
		var longer [][]choice
		for _, row := range rows {
			for _, c := range s {
				longer = append(longer, append(slices.Clip(row), c))
			}
		}
		rows = longer
	}
	return rows
}

const (
	// together is how many companies one connector serves in these tests: fewer cost more Kafka, more cost more status. atOnce is how many
	// connectors live at a time: two cores are busy, and half a gigabyte is taken.
	together = 72
	atOnce   = 2
	// sampleOf is the share of the combinations that a short run takes. It divides no number of positions, so that each comes up.
	sampleOf = 41
)

// TestEveryCombinationOfTheSwitchesThatInteract gives each combination of them to a company of its own, all with one history, and wants the
// same events from each.
func TestEveryCombinationOfTheSwitchesThatInteract(t *testing.T) {
	rows := product(interacting())
	if len(rows) != 4*3*4*2*2*5*4 {
		t.Fatalf("%d combinations", len(rows))
	}
	if testing.Short() {
		rows = every(sampleOf, rows)
	}
	sparely(t)
	var shown showings
	batches := slices.Collect(slices.Chunk(rows, together))
	for some := range slices.Chunk(batches, atOnce) {
		t.Run("companies", func(t *testing.T) { // returns when these have lived
			for _, batch := range some {
				t.Run("", func(t *testing.T) {
					onSimulatedTime(t, func(t *testing.T, r *rig) { shown.add(t, r.combine(batch)) })
				})
			}
		})
	}
}

// combine lets a company live in each of the ways given, and a twin of the first one.
func (r *rig) combine(batch [][]choice) []*company {
	plan := plan{first: 80 * time.Second, caughtUp: 40 * time.Second, second: 40 * time.Second}
	var companies []*company
	for i, ways := range append(slices.Clip(batch), batch[0]) {
		companies = append(companies, r.found(fmt.Sprintf("company-%d", i), ways, plan))
	}
	r.live(companies, plan)
	r.judge(companies, plan)
	companies, twin := companies[:len(batch)], companies[len(batch)]
	if twin.begun != companies[0].begun {
		r.t.Errorf("two DingTalks that behave alike showed different pages: %s", twin)
	}
	return companies
}

// every is each n-th of the rows.
func every(n int, rows [][]choice) (some [][]choice) {
	for i := 0; i < len(rows); i += n {
		some = append(some, rows[i])
	}
	return some
}

// sparely lets the test pay memory for a tenth of its time.
func sparely(t *testing.T) {
	percent := debug.SetGCPercent(200)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
}

// showings are the pages that all companies were shown in the beginning, as digests. No two are the same: otherwise there would be a switch
// that changes nothing, and a combination that tests nothing.
type showings struct {
	mu sync.Mutex
	of map[uint64]string
}

func (s *showings) add(t *testing.T, companies []*company) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[uint64]string{}
	}
	for _, c := range companies {
		if other, again := s.of[c.begun]; again {
			t.Errorf("the same pages were shown to %s and to %s", c, other)
		}
		s.of[c.begun] = c.String()
	}
}
