package dingtalk

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// TestObserveABulkDelete: records without number in one second are looked at no further, and not asked for.
func TestObserveABulkDelete(t *testing.T) {
	server, client := simulated(0, dingtalktest.Switches{Order: dingtalktest.Random})
	for i := range 3000 {
		server.Leave(dingtalktest.Leaver{UserID: fmt.Sprintf("canary-user-%d", i), LeaveTime: observedAt.Add(-20 * day)})
	}
	got := observe(t, server, client)
	equal(t, "bounds", got["bounds"].Seen, "")
	equal(t, "order", got["order"].Seen, "")

	server, client = simulated(20, dingtalktest.Switches{})
	for i := range 3000 {
		server.Leave(dingtalktest.Leaver{UserID: fmt.Sprintf("canary-user-b%d", i), LeaveTime: observedAt.Add(-3 * day)})
	}
	equal(t, "bounds beside it", observe(t, server, client)["bounds"].Seen, "closed")
}

// TestObserveAHalfSeenSecond: a record that is not among the first pages of its second may be on a later one.
func TestObserveAHalfSeenSecond(t *testing.T) {
	told := 0
	for seed := range uint64(20) {
		server := dingtalktest.New(dingtalktest.Options{
			AppKey: "app1", AppSecret: secretCanary, Now: func() time.Time { return observedAt }, Seed: seed,
			Switches: dingtalktest.Switches{Order: dingtalktest.Random, QPS: -1},
		})
		for i := range 200 {
			server.Leave(dingtalktest.Leaver{UserID: fmt.Sprintf("canary-user-%d", i), LeaveTime: observedAt.Add(-3 * day)})
		}
		got := observe(t, server, clientOf(server))["bounds"]
		switch got.Seen {
		case "closed":
			told++
		case "":
		default:
			t.Errorf("seed %d: %+v", seed, got)
		}
	}
	if told == 0 || told == 20 {
		t.Errorf("told %d times of 20: the test shows nothing", told)
	}
}

func TestObserveWhatIsNotFoundByItsSecond(t *testing.T) {
	server, client := simulated(0, dingtalktest.Switches{FilterField: dingtalktest.ByOperation})
	for i := range 20 {
		at := observedAt.Add(-5*day + time.Duration(i)*7*time.Minute)
		server.Leave(dingtalktest.Leaver{UserID: fmt.Sprintf("canary-user-%d", i), LeaveTime: at, OperatedAt: at.Add(2 * time.Hour)})
	}
	got := observe(t, server, client)
	for _, name := range []string{"filter", "request-offset", "bounds"} {
		equal(t, name, got[name].Seen, "")
		if !strings.Contains(got[name].How, "2 records are hidden when they are asked for at their own second, and one of them also 8h off") {
			t.Errorf("%s: %s", name, got[name].How)
		}
	}
	narrow := 0
	for _, c := range server.Calls() {
		start, _ := time.Parse(time.RFC3339, c.Param("startTime"))
		end, _ := time.Parse(time.RFC3339, c.Param("endTime"))
		if c.Param("startTime") != "" && end.Sub(start) == 2*time.Second {
			narrow++
		}
	}
	equal(t, "questions", narrow, 2+2)
}

func TestObservePartsOfASecond(t *testing.T) {
	server, client := simulated(0, dingtalktest.Switches{TimeFormat: dingtalktest.TimeMillis})
	for i := range 20 {
		server.Leave(dingtalktest.Leaver{UserID: fmt.Sprintf("canary-user-%d", i), LeaveTime: observedAt.Add(-5*day + time.Duration(i)*7001*time.Millisecond)})
	}
	got := observe(t, server, client)
	equal(t, "with one of a whole second", got["bounds"].Seen, "closed")
	server.Remove("canary-user-0", observedAt.Add(-5*day))
	observed, err := clientOf(server).Observe(t.Context(), observedAt)
	traits := observed.Traits
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "without", byName(traits)["bounds"], Trait{"bounds", "", "no record with its time in whole seconds in the last 364 days"})
}

// wide gives every wide window the same page, or another for pages of fewer than 50, and an empty page to all others.
func wide(page, smaller string) *dingTalk {
	return &dingTalk{page: func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		start, _ := time.Parse(time.RFC3339, q.Get("startTime"))
		end, _ := time.Parse(time.RFC3339, q.Get("endTime"))
		size, _ := strconv.Atoi(q.Get("maxResults"))
		records := page
		switch {
		case end.Sub(start) < day, start.Before(observedAt.Add(-370 * day)):
			records = ""
		case size < maxResults:
			records = smaller
		}
		fmt.Fprintf(w, `{"records":[%s]}`, records)
	}}
}

// leavers are records of the days of June 2024, in that order.
func leavers(days ...int) string {
	var records []string
	for _, d := range days {
		records = append(records, fmt.Sprintf(`{"userId":"u%d","leaveTime":"2024-06-%02dT10:00:01Z"}`, d, d))
	}
	return strings.Join(records, ",")
}

func TestObserveTheOrderOfTwoWalks(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second []int
		want          string
	}{
		{"both from the earliest on", []int{2, 3, 4, 5}, []int{2, 3, 4, 5}, "asc"},
		{"both from the latest on", []int{5, 4, 3, 2}, []int{5, 4, 3}, ""},
		{"one from the earliest on", []int{2, 3, 4, 5}, []int{2, 4, 3, 5}, "random"},
		{"one from the latest on", []int{5, 4, 3, 2}, []int{5, 3, 4, 2}, "random"},
		{"three, one of the orders their own", []int{2, 3, 4}, []int{3, 2, 4}, "random"},
		{"neither, but the same", []int{5, 2, 3, 7, 4, 6}, []int{5, 2, 3, 7, 4, 6}, "insertion"},
		{"neither, the same, and few", []int{5, 2, 3, 7, 4}, []int{5, 2, 3, 7, 4}, ""},
		{"one begins as the other", []int{5, 2, 3, 7, 4, 6}, []int{5, 2, 3, 7, 4, 6, 1, 8}, "insertion"},
		{"one has hardly any of the other", []int{5, 2, 3, 7, 4, 6}, []int{5, 11, 18, 17, 14, 16}, "random"},
	} {
		t.Run(c.name, func(t *testing.T) {
			observed, err := newClient(wide(leavers(c.first...), leavers(c.second...))).Observe(t.Context(), observedAt)
			traits := observed.Traits
			if err != nil {
				t.Fatal(err)
			}
			got := byName(traits)["order"]
			t.Log(got.How)
			equal(t, "order", got.Seen, c.want)
		})
	}
}

func TestObserveFields(t *testing.T) {
	for _, c := range []struct{ name, fields, how, seen string }{
		{"mobile", `"mobile":"1" "mobile":"2" `, "1 missing, 2 present", "present"},
		{"mobile", `"mobile":"1" "mobile":null "mobile":null`, "2 null, 1 present", "mixed"},
		{"mobile", `"mobile":null "mobile":""  `, "1 empty, 2 missing, 1 null", "mixed"},
		{"mobile", `"mobile":185`, "1 present", "present"},
		{"mobile", `"mobile":"185****7676"`, "1 masked", "masked"},
		{"name", `"name":"Max" "name":"Xi"`, "2 present", "present"},
		{"name", `"name":"M**"`, "1 masked", "masked"},
		{"time-format", `"leaveTime":"2024-06-02T10:00:01Z"`, "1 seconds; none at a full minute, where seconds may be left out", "seconds"},
		{"time-format", `"leaveTime":"2024-06-02T10:00:00Z"`, "1 seconds", "seconds"},
		{"time-format", `"leaveTime":"2024-06-02T10:00:01Z" "leaveTime":"2024-06-02T11:00Z"`, "1 minutes, 1 seconds; none of those in seconds is at a full minute", "minutes"},
		{"time-format", `"leaveTime":"2024-06-02T10:00:00Z" "leaveTime":"2024-06-02T11:00Z"`, "1 minutes, 1 seconds", "mixed"},
		{"time-format", `"leaveTime":"2024-06-02T10:00:00.000" "leaveTime":"2024-06-02T11:00"`, "2 zoneless", "zoneless"},
	} {
		t.Run(c.seen+", "+c.how, func(t *testing.T) {
			var records []string
			for i, f := range strings.Split(c.fields, " ") {
				if !strings.Contains(f, "leaveTime") {
					f = strings.TrimPrefix(f+`,"leaveTime":"2024-06-02T10:00:00Z"`, ",")
				}
				records = append(records, fmt.Sprintf(`{"userId":"u%d",%s}`, i, f))
			}
			page := strings.Join(records, ",")
			observed, err := newClient(wide(page, page)).Observe(t.Context(), observedAt)
			traits := observed.Traits
			if err != nil {
				t.Fatal(err)
			}
			got := byName(traits)[c.name]
			equal(t, "seen", got.Seen, c.seen)
			equal(t, "how", got.How, c.how)
		})
	}
}

func TestObserveMoreThanIsAllowed(t *testing.T) {
	page := leavers(make([]int, 51)...)
	observed, err := newClient(wide(page, page)).Observe(t.Context(), observedAt)
	traits := observed.Traits
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "trait", byName(traits)["clamp-max-results"], Trait{"clamp-max-results", "", "a maxResults of 51 is answered with 51 records: more than 50 are allowed"})
}

func TestEveryTraitIsASwitch(t *testing.T) {
	names := map[string]bool{}
	for f := range reflect.TypeFor[dingtalktest.Switches]().Fields() {
		names[f.Tag.Get("name")] = true
	}
	server, client := simulated(0, dingtalktest.Switches{})
	for name := range observe(t, server, client) {
		equal(t, name+" is the name of a switch", names[name], true)
	}
}

// TestObserveCountsAnUnreadableRecordOnce: most of them are shown by several windows.
func TestObserveCountsAnUnreadableRecordOnce(t *testing.T) {
	server, client := simulated(3, dingtalktest.Switches{})
	for _, raw := range []string{`{"userId":"a"}`, `{"userId":"b"}`, `7`} {
		server.Leave(dingtalktest.Leaver{LeaveTime: observedAt.Add(-time.Hour), Raw: []byte(raw)})
	}
	o, err := client.Observe(t.Context(), observedAt)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "leaveTime", o.Unreadable["leaveTime is missing"], 2)
	equal(t, "no object", o.Unreadable["the record is not an object"], 1)
}
