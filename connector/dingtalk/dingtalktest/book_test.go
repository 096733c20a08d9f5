package dingtalktest_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

func TestADepartureShowsFromItsVisibleAtOn(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(dingtalktest.Leaver{UserID: "late", LeaveTime: noon.Add(-time.Hour), VisibleAt: noon.Add(5 * time.Minute)})
	if got := d.ask().users(); got != nil {
		t.Errorf("before: %v", got)
	}
	if got := d.sim.Truth(); len(got) != 0 {
		t.Errorf("true before it is visible: %v", got)
	}
	d.now = noon.Add(5 * time.Minute)
	if got := d.sim.Truth(); len(got) != 1 || got[0].UserID != "late" {
		t.Errorf("the truth then: %v", got)
	}
	if got := d.ask().users(); !slices.Equal(got, []string{"late"}) {
		t.Errorf("then: %v", got)
	}
}

func TestBulksThatInterleaveAreOneListInOrder(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.FilterField = dingtalktest.ByOperation })
	for _, from := range []int{1, 2, 0, 3} { // of four: two lists that interleave, one before both, one behind
		var ls []dingtalktest.Leaver
		for i := range 100 {
			second := time.Duration(4*i+from) * time.Second
			ls = append(ls, dingtalktest.Leaver{UserID: fmt.Sprintf("u%03d", 4*i+from), LeaveTime: noon.Add(second - time.Hour)})
		}
		slices.Reverse(ls)
		d.sim.Leave(ls...)
	}
	for _, field := range dingtalktest.FilterFields() {
		d.sim.Set(func(s *dingtalktest.Switches) { s.FilterField = field })
		got := users(d.walk(nil))
		if len(got) != 400 || !slices.IsSorted(got) {
			t.Errorf("by %s: %d of 400: %v", field, len(got), got)
		}
	}
	d.sim.Leave(people(100, noon.Add(-time.Hour))...) // in the seconds of others, who came first
	if got := users(d.walk(nil)); len(got) != 500 || got[0] != "u000" || got[1] != "u1" || got[2] != "u001" {
		t.Errorf("%d of 500, from %v on", len(got), got[:3])
	}
}

func TestManyThatWaitShowInTheOrderOfTheirTime(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.Order = dingtalktest.Insertion })
	for i, l := range people(200, noon.Add(-time.Hour)) {
		l.VisibleAt = noon.Add(time.Duration(200-i) * time.Second)
		d.sim.Leave(l)
	}
	d.now = noon.Add(100 * time.Second)
	got := users(d.walk(nil))
	if len(got) != 100 || got[0] != "u200" || got[99] != "u101" {
		t.Errorf("%d visible: %v", len(got), got)
	}
	late := dingtalktest.Leaver{UserID: "late", LeaveTime: noon.Add(-time.Hour), VisibleAt: noon.Add(150*time.Second + time.Millisecond)}
	d.sim.Leave(late)
	d.now = noon.Add(200 * time.Second)
	got = users(d.walk(nil))
	if len(got) != 201 || got[149] != "u51" || got[150] != "late" || got[200] != "u1" {
		t.Errorf("%d visible then: %v", len(got), got)
	}
}

func TestABulkDeleteFallsIntoOneSecond(t *testing.T) {
	d := atNoon(t)
	var ls []dingtalktest.Leaver
	for _, l := range people(300, noon.Add(-time.Hour)) {
		l.LeaveTime = noon.Add(-time.Hour + time.Duration(len(ls))*time.Millisecond)
		ls = append(ls, l)
	}
	d.sim.Leave(ls...)
	at := stamp(noon.Add(-time.Hour))
	if got := users(d.walk(nil, "startTime", at, "endTime", at)); len(got) != 300 {
		t.Errorf("%d of 300 in the second", len(got))
	}
	truth := d.sim.Truth()
	if !slices.IsSortedFunc(truth, func(a, b dingtalktest.Departure) int { return strings.Compare(a.UserID, b.UserID) }) {
		t.Errorf("the truth is not in order of userId: %v", truth)
	}
	if i := slices.IndexFunc(truth, func(d dingtalktest.Departure) bool { return stamp(d.LeaveTime) != at || d.LeaveTime.Nanosecond() != 0 }); i >= 0 {
		t.Errorf("the truth is not in whole seconds: %v", truth[i].LeaveTime)
	}
}

func TestALeaverWithoutATimeLeavesNow(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(dingtalktest.Leaver{UserID: "a"})
	if r := d.ask(); len(r.Records) != 1 || r.Records[0].LeaveTime != stamp(noon) {
		t.Errorf("got %s", r.Body)
	}
}

func TestAnEditedRecordKeepsItsIdentityAndShowsItsNewContent(t *testing.T) {
	d := atNoon(t)
	at := noon.Add(-time.Hour)
	d.sim.Leave(dingtalktest.Leaver{UserID: "a", LeaveTime: at, Name: new("Alice"), LeaveReason: "unknown"})
	d.ask()
	if !d.sim.Edit("a", at, func(l *dingtalktest.Leaver) { l.LeaveReason, l.Name = "leave", nil }) {
		t.Fatal("not found")
	}
	if got := d.ask().Body; got != `{"records":[{"userId":"a","leaveTime":"2026-03-10T11:00:00Z","leaveReason":"leave"}]}` {
		t.Errorf("got %s", got)
	}
	got := d.sim.Truth()
	if len(got) != 1 || got[0].LeaveReason != "leave" || got[0].Removed || !got[0].Shown {
		t.Errorf("the truth: %+v", got)
	}
}

func TestAMovedLeaveTimeIsAnotherDepartureAndTheOldOneIsRemoved(t *testing.T) {
	d := atNoon(t)
	at, to := noon.Add(-time.Hour), noon.Add(-2*time.Hour)
	d.sim.Leave(dingtalktest.Leaver{UserID: "a", LeaveTime: at})
	d.sim.Edit("a", at, func(l *dingtalktest.Leaver) { l.LeaveTime = to })
	if got := d.ask(); len(got.Records) != 1 || got.Records[0].LeaveTime != stamp(to) {
		t.Errorf("shown: %s", got.Body)
	}
	got := d.sim.Truth()
	if len(got) != 2 || !got[0].LeaveTime.Equal(to) || got[0].Removed || !got[1].LeaveTime.Equal(at) || !got[1].Removed {
		t.Errorf("the truth: %+v", got)
	}
}

func TestARecordNotYetVisibleCanBeEditedAndWithdrawn(t *testing.T) {
	d := atNoon(t)
	at, soon := noon.Add(-time.Hour), noon.Add(time.Minute)
	d.sim.Leave(
		dingtalktest.Leaver{UserID: "a", LeaveTime: at, VisibleAt: soon},
		dingtalktest.Leaver{UserID: "b", LeaveTime: at, VisibleAt: soon},
	)
	d.sim.Edit("a", at, func(l *dingtalktest.Leaver) { l.LeaveReason = "leave" })
	d.sim.Remove("b", at)
	if got := d.ask().users(); got != nil {
		t.Errorf("before: %v", got)
	}
	d.now = soon
	if got := d.sim.Truth(); len(got) != 1 || got[0].LeaveReason != "leave" {
		t.Errorf("the truth: %+v", got)
	}
}

func TestARemovedRecordIsGoneButStaysInTheTruth(t *testing.T) {
	d := atNoon(t)
	at := noon.Add(-time.Hour)
	d.sim.Leave(people(2, at)...)
	if !d.sim.Remove("u1", at) || d.sim.Remove("u1", at) || d.sim.Remove("nobody", at) {
		t.Error("Remove does not report what it found")
	}
	if d.sim.Edit("u1", at, func(*dingtalktest.Leaver) {}) {
		t.Error("a removed record was edited")
	}
	for _, field := range dingtalktest.FilterFields() {
		d.sim.Set(func(s *dingtalktest.Switches) { s.FilterField = field })
		if got := d.ask().users(); !slices.Equal(got, []string{"u2"}) {
			t.Errorf("by %s: %v", field, got)
		}
	}
	if got := d.sim.Truth(); len(got) != 2 || !got[0].Removed || got[1].Removed {
		t.Errorf("the truth: %+v", got)
	}
}

func TestARehiredPersonLeavesTwiceWithOneUserID(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(
		dingtalktest.Leaver{UserID: "a", LeaveTime: noon.Add(-time.Hour)},
		dingtalktest.Leaver{UserID: "a", LeaveTime: noon.Add(-2 * time.Hour)},
	)
	if got := d.ask().users(); len(got) != 2 {
		t.Errorf("shown: %v", got)
	}
	if got := d.sim.Truth(); len(got) != 2 {
		t.Errorf("the truth: %+v", got)
	}
}

func TestARecordGivenTwiceIsShownTwiceAndTrueOnce(t *testing.T) {
	d := atNoon(t)
	at := noon.Add(-time.Hour)
	d.sim.Leave(people(1, at)[0], people(1, at)[0])
	if got := d.ask().users(); len(got) != 2 {
		t.Errorf("shown: %v", got)
	}
	d.sim.Remove("u1", at)
	if got := d.sim.Truth(); len(got) != 1 || got[0].Removed {
		t.Errorf("the truth after one was removed: %+v", got)
	}
}

func TestShownIsWhatAPageDeliveredWhole(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(people(3, noon.Add(-time.Hour))...)
	d.sim.Fail(dingtalktest.Truncated, 1)
	if _, err := d.try(); err == nil {
		t.Fatal("the page came whole")
	}
	if got := d.sim.Shown(); len(got) != 0 {
		t.Errorf("after a cut page: %v", got)
	}
	d.ask("maxResults", "2")
	if got := d.sim.Shown(); len(got) != 2 || got[0].UserID != "u1" || got[1].UserID != "u2" {
		t.Errorf("after a page of two: %v", got)
	}
	if got := d.sim.Truth(); !got[0].Shown || !got[1].Shown || got[2].Shown {
		t.Errorf("the truth after a page of two: %v", got)
	}
}

func TestWhatACallerDoesToItsOwnValuesChangesNothing(t *testing.T) {
	d := atNoon(t)
	name := "Alice"
	d.sim.Leave(dingtalktest.Leaver{UserID: "a", LeaveTime: noon, Name: &name})
	name = "Bob"
	*d.sim.Truth()[0].Name = "Carol"
	d.sim.Edit("a", noon, func(l *dingtalktest.Leaver) { l.LeaveReason = "leave" })
	if got := *d.sim.Truth()[0].Name; got != "Alice" {
		t.Errorf("the name became %s", got)
	}
}

func TestTheServerIsSafeForConcurrentUse(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.Paging = dingtalktest.LiveOffset })
	d.login()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				l := dingtalktest.Leaver{UserID: fmt.Sprintf("u%d-%d", i, j), LeaveTime: noon.Add(-time.Hour)}
				d.sim.Leave(l)
				d.sim.Edit(l.UserID, l.LeaveTime, func(l *dingtalktest.Leaver) { l.LeaveReason = "leave" })
				d.sim.Set(func(s *dingtalktest.Switches) { s.ShortPages = j%2 > 0 })
				if _, err := d.try(); err != nil {
					t.Error(err)
				}
				d.sim.Shown()
				d.sim.Calls()
			}
		})
	}
	all.Wait()
	if got := len(d.sim.Truth()); got != 160 {
		t.Errorf("%d of 160", got)
	}
}
