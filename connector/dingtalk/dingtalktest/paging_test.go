package dingtalktest_test

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

func TestAWalkOfAnySizeShowsEverybodyOnce(t *testing.T) {
	for _, n := range []int{0, 1, 49, 50, 51, 100, 101} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			d := atNoon(t)
			ls := people(n, noon.Add(-time.Hour))
			slices.Reverse(ls)
			d.sim.Leave(ls...)
			pages := d.walk(nil)
			if !slices.IsSortedFunc(users(pages), func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) }) {
				t.Errorf("not in order of leaveTime: %v", users(pages))
			}
			if want := max((n+49)/50, 1); len(pages) != want {
				t.Errorf("%d pages, want %d", len(pages), want)
			}
			if got := users(pages); len(got) != n || len(slices.Compact(slices.Sorted(slices.Values(got)))) != n {
				t.Errorf("%d records for %d people", len(got), n)
			}
		})
	}
}

func TestTheLastPageHasTheChosenNextToken(t *testing.T) {
	for kind, want := range map[dingtalktest.LastToken]string{
		"": `{"records":[]}`, dingtalktest.TokenAbsent: `{"records":[]}`, dingtalktest.TokenNull: `{"nextToken":null,"records":[]}`,
		dingtalktest.TokenEmpty: `{"nextToken":"","records":[]}`, dingtalktest.TokenZero: `{"nextToken":"0","records":[]}`,
		dingtalktest.TokenNumber: `{"nextToken":0,"records":[]}`,
	} {
		t.Run(string(kind), func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) { s.LastToken = kind })
			if got := d.ask().Body; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestPagesMayBeShortThoughMoreFollows(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.ShortPages = true })
	d.sim.Leave(people(500, noon.Add(-time.Hour))...)
	pages := d.walk(nil)
	if got := users(pages); len(got) != 500 {
		t.Errorf("%d records of 500", len(got))
	}
	lengths := map[int]bool{}
	for _, p := range pages {
		lengths[len(p.Records)] = true
	}
	if len(lengths) < 5 || lengths[0] {
		t.Errorf("lengths of pages: %v", lengths)
	}
}

func TestEveryOtherPageMayBeEmpty(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.EmptyPages = true })
	d.sim.Leave(people(120, noon.Add(-time.Hour))...)
	var lengths []int
	for _, p := range d.walk(nil) {
		lengths = append(lengths, len(p.Records))
	}
	if !slices.Equal(lengths, []int{0, 50, 0, 50, 0, 20}) {
		t.Errorf("lengths of pages %v", lengths)
	}
}

func TestAnEmptyPageMayFollowAFullLastPage(t *testing.T) {
	for n, want := range map[int][]int{100: {50, 50, 0}, 99: {50, 49}, 0: {0}} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) { s.FullLastPage = true })
			d.sim.Leave(people(n, noon.Add(-time.Hour))...)
			var lengths []int
			for _, p := range d.walk(nil) {
				lengths = append(lengths, len(p.Records))
			}
			if !slices.Equal(lengths, want) {
				t.Errorf("lengths of pages %v, want %v", lengths, want)
			}
		})
	}
}

func TestTheSameNextTokenMayComeForEver(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.RepeatToken = true })
	d.sim.Leave(people(200, noon.Add(-time.Hour))...)
	token := d.ask().token()
	for range 3 {
		if r := d.ask("nextToken", token); r.token() != token {
			t.Errorf("nextToken %q, then %q", token, r.token())
		}
	}
}

func TestRecordsStandInTheChosenOrder(t *testing.T) {
	at := func(minute int) time.Time { return noon.Add(-time.Hour + time.Duration(minute)*time.Minute) }
	for _, paging := range dingtalktest.Pagings() {
		for order, want := range map[dingtalktest.Order][]string{
			dingtalktest.Ascending:  {"a", "b", "b2", "c", "d"},
			dingtalktest.Descending: {"d", "c", "b2", "b", "a"},
			dingtalktest.Insertion:  {"c", "a", "d", "b", "b2"},
		} {
			t.Run(string(order)+" "+string(paging), func(t *testing.T) {
				d := atNoon(t, func(s *dingtalktest.Switches) { s.Order, s.Paging = order, paging })
				for i, id := range []string{"c", "a", "d", "b", "b2"} {
					minute := []int{3, 1, 4, 2, 2}[i]
					d.sim.Leave(dingtalktest.Leaver{UserID: id, LeaveTime: at(minute)})
				}
				if got := users(d.walk(nil, "maxResults", "2")); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

func TestARandomOrderIsOneOrderWithinAWalkAndAnotherInTheNext(t *testing.T) {
	for _, paging := range dingtalktest.Pagings() {
		t.Run(string(paging), func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) { s.Order, s.Paging = dingtalktest.Random, paging })
			d.sim.Leave(people(200, noon.Add(-time.Hour))...)
			a, b := users(d.walk(nil)), users(d.walk(nil))
			if slices.Equal(a, b) {
				t.Error("two walks in one order")
			}
			slices.Sort(a)
			slices.Sort(b)
			if len(slices.Compact(a)) != 200 || !slices.Equal(a, b) {
				t.Errorf("walks of %d and %d people of 200", len(a), len(b))
			}
		})
	}
}

func TestPagingUnderInsertsAndRemovals(t *testing.T) {
	insert := func(d *desk) {
		d.sim.Leave(dingtalktest.Leaver{UserID: "early", LeaveTime: noon.Add(-2 * time.Hour)})
	}
	remove := func(d *desk) { d.sim.Remove("u1", noon.Add(-time.Hour)) }
	for _, c := range []struct {
		name   string
		paging dingtalktest.Paging
		change func(*desk)
		want   []string
	}{
		{"a snapshot does not see an insert", dingtalktest.Snapshot, insert, []string{"u1", "u2", "u3", "u4"}},
		{"a snapshot does not see a removal", dingtalktest.Snapshot, remove, []string{"u1", "u2", "u3", "u4"}},
		{"an offset shows one twice after an insert", dingtalktest.LiveOffset, insert, []string{"u1", "u2", "u2", "u3", "u4"}},
		{"an offset loses one after a removal", dingtalktest.LiveOffset, remove, []string{"u1", "u2", "u4"}},
		{"a keyset misses an insert before it", dingtalktest.Keyset, insert, []string{"u1", "u2", "u3", "u4"}},
		{"a keyset loses none after a removal", dingtalktest.Keyset, remove, []string{"u1", "u2", "u3", "u4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) { s.Paging = c.paging })
			d.sim.Leave(people(4, noon.Add(-time.Hour))...)
			got := users(d.walk(func(page int) {
				if page == 1 {
					c.change(d)
				}
			}, "maxResults", "2"))
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestALiveOffsetInOrderOfInsertionSeesEveryChange(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.Paging, s.Order = dingtalktest.LiveOffset, dingtalktest.Insertion })
	d.sim.Leave(people(6, noon.Add(-time.Hour))...)
	got := users(d.walk(func(page int) {
		switch page {
		case 1:
			d.sim.Remove("u1", noon.Add(-time.Hour))
		case 2:
			d.sim.Leave(dingtalktest.Leaver{UserID: "early", LeaveTime: noon.Add(-2 * time.Hour)})
		}
	}, "maxResults", "2"))
	if !slices.Equal(got, []string{"u1", "u2", "u4", "u5", "u6", "early"}) {
		t.Errorf("got %v", got)
	}
}

func TestASnapshotShowsRecordsAsTheyWere(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(people(4, noon.Add(-time.Hour))...)
	pages := d.walk(func(int) {
		d.sim.Edit("u4", noon.Add(-time.Hour+3*time.Second), func(l *dingtalktest.Leaver) { l.LeaveReason = "leave" })
	}, "maxResults", "2")
	if r := pages[1].Body; r != `{"records":[{"userId":"u3","leaveTime":"2026-03-10T11:00:02Z"},{"userId":"u4","leaveTime":"2026-03-10T11:00:03Z"}]}` {
		t.Errorf("second page %s", r)
	}
}

func TestAWindowHasTheChosenBounds(t *testing.T) {
	for bounds, want := range map[dingtalktest.Bounds][]string{
		dingtalktest.Closed: {"u2", "u3", "u4"}, dingtalktest.HalfOpen: {"u2", "u3"}, dingtalktest.StartOpen: {"u3", "u4"}, dingtalktest.Open: {"u3"},
	} {
		t.Run(string(bounds), func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) { s.Bounds = bounds })
			from := noon.Add(-time.Hour)
			d.sim.Leave(people(5, from)...)
			got := users(d.walk(nil, "startTime", stamp(from.Add(time.Second)), "endTime", stamp(from.Add(3*time.Second))))
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestAWindowWithoutAnEndShowsAlsoTheFuture(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(dingtalktest.Leaver{UserID: "next week", LeaveTime: noon.Add(7 * day)})
	if got := d.ask("endTime", "-").users(); !slices.Equal(got, []string{"next week"}) {
		t.Errorf("got %v", got)
	}
	if got := d.ask().users(); got != nil {
		t.Errorf("with an end now: %v", got)
	}
}

func TestAWindowMayBeAboutTheTimeOfTheOperation(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(
		dingtalktest.Leaver{UserID: "backdated", LeaveTime: noon.Add(-90 * day), OperatedAt: noon.Add(-time.Hour)},
		dingtalktest.Leaver{UserID: "entered late", LeaveTime: noon.Add(-time.Hour), OperatedAt: noon.Add(time.Hour)},
		dingtalktest.Leaver{UserID: "usual", LeaveTime: noon.Add(-2 * time.Hour)},
	)
	if got := d.ask().users(); !slices.Equal(got, []string{"usual", "entered late"}) {
		t.Errorf("by leaveTime: %v", got)
	}
	d.sim.Set(func(s *dingtalktest.Switches) { s.FilterField = dingtalktest.ByOperation })
	if got := users(d.walk(nil, "maxResults", "1")); !slices.Equal(got, []string{"backdated", "usual"}) {
		t.Errorf("by operation: %v", got)
	}
}

func TestRequestTimesMayBeReadAsClockTimeOfAnotherZone(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.RequestOffset = 8 * time.Hour })
	d.sim.Leave(people(1, noon.Add(-9*time.Hour))...)
	if got := d.ask("startTime", stamp(noon.Add(-2*time.Hour))).users(); !slices.Equal(got, []string{"u1"}) {
		t.Errorf("10:00 to 12:00 as if at +08:00: %v", got)
	}
	if got := d.ask("startTime", stamp(noon.Add(-9*time.Hour)), "endTime", stamp(noon.Add(-8*time.Hour))).users(); got != nil {
		t.Errorf("03:00 to 04:00 as if at +08:00: %v", got)
	}
}

func TestEveryCombinationOfOrderPagingPagesAndBoundsShowsEverybody(t *testing.T) {
	for _, order := range dingtalktest.Orders() {
		for _, paging := range dingtalktest.Pagings() {
			for _, field := range dingtalktest.FilterFields() {
				for pages := range 8 {
					d := atNoon(t, func(s *dingtalktest.Switches) {
						s.Order, s.Paging, s.FilterField = order, paging, field
						s.ShortPages, s.EmptyPages, s.FullLastPage = pages&1 > 0, pages&2 > 0, pages&4 > 0
					})
					d.sim.Leave(dingtalktest.Corpus(uint64(pages), 120, noon.Add(-23*time.Hour), noon)...)
					seen := map[string]bool{}
					for _, page := range d.walk(nil, "maxResults", strconv.Itoa(20)) {
						for _, r := range page.Records {
							seen[r.UserID+"@"+r.LeaveTime] = true
						}
					}
					if len(seen) != 120 {
						t.Errorf("%s, %s, %s, pages %03b: %d of 120", order, paging, field, pages, len(seen))
					}
				}
			}
		}
	}
}

func TestAPageOfAHundredThousandCostsNoCopyOfThem(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(dingtalktest.Corpus(3, 100_000, noon.Add(-300*day), noon)...)
	for _, paging := range dingtalktest.Pagings() {
		for _, order := range dingtalktest.Orders() {
			t.Run(string(paging)+" "+string(order), func(t *testing.T) {
				d.sim.Set(func(s *dingtalktest.Switches) { s.Paging, s.Order = paging, order })
				window := []string{"startTime", stamp(noon.Add(-301 * day))}
				token := d.ask(window...).token()
				token = d.ask(append(window, "nextToken", token)...).token() // what is done once a walk is done now
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range 50 {
					token = d.ask(append(window, "nextToken", token)...).token()
				}
				runtime.ReadMemStats(&after)
				// A page with its request and decoding takes about 90 kB, a copy of the window 800 kB.
				if each := (after.TotalAlloc - before.TotalAlloc) / 50; each > 250_000 {
					t.Errorf("a page allocates %d bytes", each)
				}
			})
		}
	}
}

func TestAHundredThousandAreWalkedWhole(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(dingtalktest.Corpus(3, 100_000, noon.Add(-300*day), noon)...)
	if got := len(users(d.walk(nil, "startTime", stamp(noon.Add(-301*day))))); got != 100_000 {
		t.Errorf("%d records", got)
	}
	if got := len(d.sim.Shown()); got != 100_000 {
		t.Errorf("%d shown", got)
	}
}

func TestARecordMayComeTwiceInAWalk(t *testing.T) {
	for kind, want := range map[dingtalktest.Repeats]string{
		dingtalktest.RepeatNone:   "u1 u2 u3,u4 u5 u6,u7",
		dingtalktest.RepeatInPage: "u1 u2 u1,u3 u4 u3,u5 u6 u5,u7 u7",
		dingtalktest.RepeatOnNext: "u1 u2 u3,u3 u4 u5,u5 u6 u7",
	} {
		for _, paging := range dingtalktest.Pagings() {
			t.Run(string(kind)+" "+string(paging), func(t *testing.T) {
				d := atNoon(t, func(s *dingtalktest.Switches) { s.Repeats, s.Paging = kind, paging })
				d.sim.Leave(people(7, noon.Add(-time.Hour))...)
				var pages []string
				for _, p := range d.walk(nil, "maxResults", "3") {
					pages = append(pages, strings.Join(p.users(), " "))
				}
				if got := strings.Join(pages, ","); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if got := users(d.walk(nil, "maxResults", "1")); len(got) != 7 {
					t.Errorf("pages of one: %v", got)
				}
				if got := d.ask("startTime", stamp(noon)).users(); got != nil {
					t.Errorf("an empty window: %v", got)
				}
			})
		}
	}
}

func TestRepeatsGoTogetherWithEveryKindOfPage(t *testing.T) {
	for _, kind := range dingtalktest.AllRepeats() {
		for pages := range 8 {
			d := atNoon(t, func(s *dingtalktest.Switches) {
				s.Repeats, s.ShortPages, s.EmptyPages, s.FullLastPage = kind, pages&1 > 0, pages&2 > 0, pages&4 > 0
			})
			d.sim.Leave(people(60, noon.Add(-time.Hour))...)
			seen := map[string]bool{}
			for _, page := range d.walk(nil, "maxResults", "7") {
				if len(page.Records) > 7 {
					t.Errorf("%s, pages %03b: %d records on a page of 7", kind, pages, len(page.Records))
				}
				for _, id := range page.users() {
					seen[id] = true
				}
			}
			if len(seen) != 60 {
				t.Errorf("%s, pages %03b: %d of 60", kind, pages, len(seen))
			}
		}
	}
}
