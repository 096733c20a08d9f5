package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

var observedAt = time.Date(2024, 6, 8, 12, 0, 0, 0, time.UTC)

// simulated is a DingTalk with so many leavers in the last six days, entered in no order, every seventh of them at a full
// minute, every fifth a month after it happened, and a client of it.
func simulated(leavers int, sw dingtalktest.Switches) (*dingtalktest.Server, *Client) {
	sw.QPS = -1
	server := dingtalktest.New(dingtalktest.Options{
		CorpID: "ding1", AppKey: "app1", AppSecret: secretCanary, Now: func() time.Time { return observedAt }, Switches: sw,
	})
	random := rand.New(rand.NewPCG(1, 2))
	ls := make([]dingtalktest.Leaver, leavers)
	for i := range ls {
		at := observedAt.Add(-6*day + time.Duration(i)*2*time.Hour + time.Duration(1+random.IntN(3000))*time.Second)
		if i%7 == 0 {
			at = at.Truncate(time.Minute)
		}
		ls[i] = dingtalktest.Leaver{
			UserID: fmt.Sprintf("canary-user-%d", i), Name: new(nameCanary), StateCode: new("86"), Mobile: new("18512347676"), LeaveTime: at,
		}
		if i%5 == 0 {
			ls[i].LeaveTime, ls[i].OperatedAt = at.Add(-30*day), at
		}
	}
	random.Shuffle(len(ls), func(i, j int) { ls[i], ls[j] = ls[j], ls[i] })
	server.Leave(ls...)
	return server, clientOf(server)
}

func clientOf(server *dingtalktest.Server) *Client {
	return newClient(nil, func(c *Config) { c.Transport = server.Transport() })
}

// observe is what was seen by the name of its switch; it checks what holds of any observation.
func observe(t *testing.T, server *dingtalktest.Server, client *Client) map[string]Trait {
	t.Helper()
	observed, err := client.Observe(t.Context(), observedAt)
	traits := observed.Traits
	if err != nil {
		t.Fatal(err)
	}
	checkObservation(t, server, traits)
	return byName(traits)
}

func byName(traits []Trait) map[string]Trait {
	m := map[string]Trait{}
	for _, trait := range traits {
		m[trait.Switch] = trait
	}
	return m
}

func checkObservation(t *testing.T, server *dingtalktest.Server, traits []Trait) {
	t.Helper()
	asked := map[string]bool{}
	for _, c := range server.Calls() {
		if c.Method != "GET" {
			continue
		}
		if asked[c.Query] {
			t.Errorf("asked twice: %s", c.Query)
		}
		asked[c.Query] = true
	}
	if len(asked) > maxLooks {
		t.Errorf("%d data calls", len(asked))
	}
	for _, trait := range traits {
		if trait.Switch == "" || trait.How == "" {
			t.Errorf("%+v says too little", trait)
		}
		checkCanaries(t, trait.How)
		checkNot(t, trait.How, "canary-user")
		checkNot(t, trait.How, "1851234")
	}
}

// each is one case for every kind of a switch.
func each[T ~string](name string, kinds []T, set func(*dingtalktest.Switches, T)) (cases []observation) {
	for _, kind := range kinds {
		var sw dingtalktest.Switches
		set(&sw, kind)
		cases = append(cases, observation{name, string(kind), sw})
	}
	return cases
}

type observation struct {
	name, want string
	switches   dingtalktest.Switches
}

func TestObserveSeesEveryKind(t *testing.T) {
	type sw = dingtalktest.Switches
	bools := []string{"false", "true"}
	is := func(kind string) bool { return kind == "true" }
	for _, c := range slices.Concat(
		each("order", dingtalktest.Orders(), func(s *sw, v dingtalktest.Order) { s.Order = v }),
		each("bounds", dingtalktest.AllBounds(), func(s *sw, v dingtalktest.Bounds) { s.Bounds = v }),
		each("filter", dingtalktest.FilterFields(), func(s *sw, v dingtalktest.FilterField) { s.FilterField = v }),
		each("filter", dingtalktest.FilterFields(), func(s *sw, v dingtalktest.FilterField) { s.FilterField, s.Order = v, dingtalktest.Descending }),
		each("time-format", dingtalktest.TimeFormats(), func(s *sw, v dingtalktest.TimeFormat) { s.TimeFormat = v }),
		each("last-token", dingtalktest.LastTokens(), func(s *sw, v dingtalktest.LastToken) { s.LastToken = v }),
		each("name", dingtalktest.Presences(), func(s *sw, v dingtalktest.Presence) { s.Name = v }),
		each("state-code", dingtalktest.Presences(), func(s *sw, v dingtalktest.Presence) { s.StateCode = v }),
		each("mobile", dingtalktest.Presences(), func(s *sw, v dingtalktest.Presence) { s.Mobile = v }),
		each("request-offset", []string{"0", "8h", "-8h"}, func(s *sw, v string) { s.RequestOffset, _ = time.ParseDuration(v) }),
		each("request-offset", []string{"0", "8h"}, func(s *sw, v string) {
			s.RequestOffset, _ = time.ParseDuration(v)
			s.Order, s.RefuseFutureEndTime = dingtalktest.Descending, true
		}),
		each("short-pages", bools, func(s *sw, v string) { s.ShortPages = is(v) }),
		each("empty-pages", bools, func(s *sw, v string) { s.EmptyPages = is(v) }),
		each("null-records", bools, func(s *sw, v string) { s.NullRecords = is(v) }),
		each("null-records", bools, func(s *sw, v string) { s.NullRecords, s.StrictHistory = is(v), true }),
		each("refuse-end-time", bools, func(s *sw, v string) { s.RefuseEndTime = is(v) }),
		each("refuse-future-end-time", bools, func(s *sw, v string) { s.RefuseFutureEndTime = is(v) }),
		each("strict-history", bools, func(s *sw, v string) { s.StrictHistory = is(v) }),
		each("clamp-max-results", bools, func(s *sw, v string) { s.ClampMaxResults = is(v) }),
	) {
		for _, leavers := range []int{20, 70} {
			t.Run(fmt.Sprintf("%s %s, %d leavers", c.name, c.want, leavers), func(t *testing.T) {
				server, client := simulated(leavers, c.switches)
				got := observe(t, server, client)[c.name]
				t.Log(got.How)
				equal(t, "seen", got.Seen, c.want)
			})
		}
	}
}

// TestObserveIsNotWrong draws switches together: what is told is right, or nothing is told.
func TestObserveIsNotWrong(t *testing.T) {
	told, most := map[string]int{}, 0
	const runs = 150
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 0))
		flip := func() bool { return r.IntN(2) == 0 }
		sw := dingtalktest.Switches{
			Order: draw(r, dingtalktest.Orders()), Bounds: draw(r, dingtalktest.AllBounds()), TimeFormat: draw(r, dingtalktest.TimeFormats()),
			FilterField: draw(r, dingtalktest.FilterFields()), LastToken: draw(r, dingtalktest.LastTokens()), Paging: draw(r, dingtalktest.Pagings()),
			Name: draw(r, dingtalktest.Presences()), StateCode: draw(r, dingtalktest.Presences()), Mobile: draw(r, dingtalktest.Presences()),
			ShortPages: flip(), EmptyPages: flip(), NullRecords: flip(), ClampMaxResults: flip(), StrictHistory: flip(), RefuseEndTime: r.IntN(5) == 0,
			RefuseFutureEndTime: flip(), FullLastPage: flip(), UnknownFields: flip(), RequestOffset: draw(r, []time.Duration{0, 8 * time.Hour}),
			Repeats: draw(r, dingtalktest.AllRepeats()),
		}
		leavers := 20 + r.IntN(120)
		server, client := simulated(leavers, sw)
		seen := observe(t, server, client)
		most = max(most, len(server.Calls())-1)
		for name, got := range seen {
			want := map[string]string{
				"order": string(sw.Order), "bounds": string(sw.Bounds), "filter": string(sw.FilterField), "time-format": string(sw.TimeFormat),
				"last-token": string(sw.LastToken), "name": string(sw.Name), "state-code": string(sw.StateCode), "mobile": string(sw.Mobile),
				"short-pages": fmt.Sprint(sw.ShortPages), "empty-pages": fmt.Sprint(sw.EmptyPages), "null-records": fmt.Sprint(sw.NullRecords),
				"clamp-max-results": fmt.Sprint(sw.ClampMaxResults), "strict-history": fmt.Sprint(sw.StrictHistory),
				"refuse-end-time": fmt.Sprint(sw.RefuseEndTime), "refuse-future-end-time": fmt.Sprint(sw.RefuseFutureEndTime),
				"request-offset": strings.TrimSuffix(strings.TrimSuffix(sw.RequestOffset.String(), "0m0s"), "s"),
			}[name]
			if got.Seen != "" {
				told[name]++
			}
			if got.Seen != "" && got.Seen != want {
				t.Errorf("seed %d, %d leavers: %s is %s, seen as %s: %s", seed, leavers, name, want, got.Seen, got.How)
			}
		}
	}
	t.Log(most, "calls at most; told:", told)
}

func draw[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func TestObserveAnEmptyCompany(t *testing.T) {
	server, client := simulated(0, dingtalktest.Switches{})
	got := observe(t, server, client)
	for name, want := range map[string]string{
		"order": "", "bounds": "", "filter": "", "time-format": "", "request-offset": "", "short-pages": "", "empty-pages": "",
		"name": "", "state-code": "", "mobile": "", "last-token": "absent", "null-records": "false", "refuse-end-time": "false",
		"refuse-future-end-time": "false", "strict-history": "false", "clamp-max-results": "false",
	} {
		equal(t, name, got[name].Seen, want)
	}
	equal(t, "why", got["order"].How, "fewer than two records of different times in the last 364 days")
	equal(t, "data calls", len(server.Calls())-1, 4+3) // four windows, and three questions that need no record
}

func TestObserveACompanyOfAFew(t *testing.T) {
	for leavers := 1; leavers < 4; leavers++ {
		server, client := simulated(leavers, dingtalktest.Switches{Order: dingtalktest.Ascending})
		got := observe(t, server, client)
		for _, name := range []string{"order", "short-pages"} {
			if got[name].Seen != "" || !strings.Contains(got[name].How, "too few") && !strings.Contains(got[name].How, "fewer") {
				t.Errorf("%d leavers: %+v", leavers, got[name])
			}
		}
		equal(t, "bounds", got["bounds"].Seen, "closed")
	}
}

// TestObserveAPlainCompany holds what is asked and how it is told where nothing is strange.
func TestObserveAPlainCompany(t *testing.T) {
	server, client := simulated(20, dingtalktest.Switches{})
	got := observe(t, server, client)
	equal(t, "mobile", got["mobile"], Trait{"mobile", "present", "20 present"})
	equal(t, "data calls", len(server.Calls())-1, 3+4+3+1+2) // windows, pages, limits, one record, its window's ends
}

func TestObserveWidensNoWindowWithoutEnd(t *testing.T) {
	n := 0
	h := &dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
		n++
		fmt.Fprintf(w, `{"records":[],"nextToken":"n%d"}`, n)
	}}
	observed, err := newClient(h).Observe(t.Context(), observedAt)
	traits := observed.Traits
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "empty-pages", byName(traits)["empty-pages"].Seen, "true")
	equal(t, "data calls", len(h.asked), walkPages+3) // one window, and three questions that need no record
}

func TestObserveARepeatedNextToken(t *testing.T) {
	server, client := simulated(70, dingtalktest.Switches{RepeatToken: true})
	observe(t, server, client)
}

func TestObserveByTheEarlierClock(t *testing.T) {
	server, client := simulated(20, dingtalktest.Switches{Skew: -10 * time.Minute, RefuseFutureEndTime: true})
	equal(t, "refuse-end-time", observe(t, server, client)["refuse-end-time"].Seen, "false")
}

func TestObserveWhereEverythingIsRefused(t *testing.T) {
	h := &dingTalk{page: answers("!invalidParameter.param.invalid")}
	observed, err := newClient(h).Observe(t.Context(), observedAt)
	traits := observed.Traits
	if err != nil {
		t.Fatal(err)
	}
	for _, trait := range traits {
		if trait.Seen != "" || trait.How == "not asked" {
			t.Errorf("got %+v", trait)
		}
	}
	equal(t, "data calls", len(h.asked), 2)
}

// TestObserveUntilAnError breaks off after every number of calls: what was told until then is what would have been told.
func TestObserveUntilAnError(t *testing.T) {
	sw := dingtalktest.Switches{Order: dingtalktest.Descending, StrictHistory: true}
	server, client := simulated(70, sw)
	whole := observe(t, server, client)
	calls := len(server.Calls()) - 1
	for answered := range calls {
		server, client := simulated(70, sw)
		n := 0
		fault := dingtalktest.SystemError
		fault.When = func(dingtalktest.Call) bool { n++; return n > answered }
		server.Fail(fault, 1)
		observed, err := client.Observe(t.Context(), observedAt)
		traits := observed.Traits
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != "system.error" {
			t.Fatalf("after %d calls: got %v", answered, err)
		}
		checkCanaries(t, err.Error())
		equal(t, "data calls", n, answered+1)
		equal(t, "traits", len(traits), len(whole))
		for _, trait := range traits {
			if trait.Seen != whole[trait.Switch].Seen && (trait.Seen != "" || trait.How != "not asked") {
				t.Errorf("after %d calls: got %+v, want what is seen in the end (%+v), or nothing", answered, trait, whole[trait.Switch])
			}
			if answered == 0 {
				equal(t, trait.Switch, trait.How, "not asked")
			}
		}
	}
}

func TestObserveEndsWithAnyOtherError(t *testing.T) {
	for _, fault := range []dingtalktest.Fault{
		dingtalktest.Throttled, dingtalktest.PermissionDenied, dingtalktest.ResetBefore, dingtalktest.NoRecords, dingtalktest.UnknownCode,
		dingtalktest.ParameterRefused.Against(dingtalktest.TokenCalls), dingtalktest.SystemError.Against(dingtalktest.TokenCalls),
	} {
		t.Run(fault.Name, func(t *testing.T) {
			server, client := simulated(20, dingtalktest.Switches{})
			server.Fail(fault, 1)
			observed, err := client.Observe(t.Context(), observedAt)
			traits := observed.Traits
			if err == nil {
				t.Fatal("no error")
			}
			equal(t, "why", traits[0], Trait{"order", "", "not asked"})
		})
	}
	t.Run("an access token refused in the middle, and no other to be had", func(t *testing.T) {
		server, client := simulated(20, dingtalktest.Switches{})
		refuse := dingtalktest.ParameterRefused.Against(dingtalktest.TokenCalls)
		n := 0
		refuse.When = func(dingtalktest.Call) bool { n++; return n == 2 }
		server.Fail(dingtalktest.TokenRefused, 1)
		server.Fail(refuse, 1)
		_, err := client.Observe(t.Context(), observedAt)
		if e, ok := errors.AsType[*Error](err); !ok || e.Op != "access token" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a caller who gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		server, client := simulated(20, dingtalktest.Switches{})
		_, err := client.Observe(ctx, observedAt)
		equal(t, "cancelled", errors.Is(err, context.Canceled), true)
		equal(t, "calls", len(server.Calls()), 0)
	})
}

func TestObserveWaitsForTheRateAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := simulated(70, dingtalktest.Switches{})
		client.config.Limiter = NewLimiter(5)
		began := time.Now()
		observe(t, server, client)
		equal(t, "took", time.Since(began).Round(time.Millisecond), time.Duration(len(server.Calls())-1)*200*time.Millisecond)
	})
}

// TestObserveAsksNoMoreThanItSays meets a DingTalk that makes every walk as long as it gets: short pages where much is
// asked for, empty ones where little is, and times that are meant eight hours off.
func TestObserveAsksNoMoreThanItSays(t *testing.T) {
	h := &dingTalk{}
	h.page = func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		start, _ := time.Parse(time.RFC3339, q.Get("startTime"))
		end, _ := time.Parse(time.RFC3339, q.Get("endTime"))
		n, _ := strconv.Atoi(strings.TrimLeft(q.Get("nextToken"), "n")) // of pages before this one
		at, last, records := observedAt.Add(time.Duration(n-5)*day), n == 3, ""
		if end.Sub(start) < day {
			last = n == 2
			at = start.Add(8 * time.Hour).Round(day / 2) // the records lie at noon
		}
		if at.Add(-8*time.Hour).Before(start) || at.Add(-8*time.Hour).After(end) || end.Sub(start) < day && !last {
			at = time.Time{}
		}
		if !at.IsZero() {
			records = `{"userId":"u","leaveTime":"` + timestamp(at) + `"}`
		}
		next := ""
		if !last {
			next = fmt.Sprintf(`,"nextToken":"n%d"`, n+1)
		}
		fmt.Fprintf(w, `{"records":[%s]%s}`, records, next)
	}
	observed, err := newClient(h).Observe(t.Context(), observedAt)
	traits := observed.Traits
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "data calls", len(h.asked), maxLooks)
	got := byName(traits)
	equal(t, "request-offset", got["request-offset"].Seen, "-8h")
	equal(t, "bounds", got["bounds"], Trait{"bounds", "", "not asked: 40 calls were made"})
}
