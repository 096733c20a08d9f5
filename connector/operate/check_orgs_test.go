package operate_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"departures/connector"
	"departures/connector/dingtalk"
	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka"
	"departures/schema"
)

// group is several organisations, each with a simulated DingTalk of its own: the first with all that a rig has.
type group struct {
	*rig
	sims []*dingtalktest.Server

	mu       sync.Mutex
	inFlight int // calls
	most     int // calls in flight so far
}

// newGroup has n organisations ding0 to ding<n-1>, with apps key0 to key<n-1>.
func newGroup(t *testing.T, n int) *group {
	t.Helper()
	g := &group{rig: emptyRig(t)}
	g.wire.DingTalk = g
	one := g.cfg.Orgs[0]
	g.cfg.Orgs = nil
	for i := range n {
		o := one
		o.CorpID, o.DingTalk.AppKey = fmt.Sprintf("ding%d", i), fmt.Sprintf("key%d", i)
		g.cfg.Orgs = append(g.cfg.Orgs, o)
		g.serve(i)
	}
	return g
}

// serve gives an organisation its DingTalk, in which somebody left every three hours.
func (g *group) serve(i int) {
	o := &g.cfg.Orgs[i]
	o.DingTalk.CorpID, o.AppKeyDigest = o.CorpID, schema.Digest([]byte(o.DingTalk.AppKey))
	o.DingTalk.BaseURL = &url.URL{Scheme: "https", Host: fmt.Sprintf("dingtalk-%d.test", i)}
	sim := dingtalktest.New(dingtalktest.Options{CorpID: o.CorpID, AppKey: o.DingTalk.AppKey, AppSecret: canarySecret, Seed: uint64(i)})
	sim.Set(func(s *dingtalktest.Switches) { s.QPS = -1 })
	for h := range 30 {
		sim.Leave(dingtalktest.Leaver{UserID: canaryPerson, LeaveTime: time.Now().Add(-time.Duration(h) * 3 * time.Hour)})
	}
	g.sims = append(g.sims[:i], sim)
}

// RoundTrip takes a call to the DingTalk of its host, which takes a moment.
func (g *group) RoundTrip(r *http.Request) (*http.Response, error) {
	g.count(1)
	defer g.count(-1)
	var i int
	if _, err := fmt.Sscanf(r.URL.Host, "dingtalk-%d.test", &i); err != nil {
		return nil, err
	}
	time.Sleep(time.Millisecond)
	return g.sims[i].Transport().RoundTrip(r)
}

func (g *group) count(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight += n
	g.most = max(g.most, g.inFlight)
}

// TestAHundredOrganisationsAreLookedAt: each is named, what is wrong is not drowned, and DingTalk is not stormed.
func TestAHundredOrganisationsAreLookedAt(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 100)
	g.sims[7].Set(func(s *dingtalktest.Switches) { s.NoPermission = true })
	g.sims[8].SetSecret("another")
	g.sims[9].Set(func(s *dingtalktest.Switches) { s.Skew = -10 * time.Minute })
	g.sims[10].Set(func(s *dingtalktest.Switches) { s.Order = dingtalktest.Descending })
	g.cfg.Start = connector.Start{}
	printed, faults, warnings := g.printed(t)
	text := strings.Join(strings.Fields(printed), " ")
	for _, says := range []string{
		"DingTalk: 100 organisations", "FAULT organisation ding7: leave records: permission missing", "FAULT organisation ding8: access token: credentials refused",
		"warning organisation ding9: clock: ", "nothing is wrong with 97 organisations: ding0, ding1, ding2, ding3, ding4, ding5, ding6, ding10, ding11, ",
		"order ? organisations: asc 97, desc 1", "bounds closed organisations: closed 98",
		"FAULT organisation ding0, ding1, ding2, ", "ding99: has no checkpoint in " + g.cfg.Kafka.StateTopic + " and START is not set",
	} {
		if !strings.Contains(text, says) {
			t.Errorf("the report lacks %q", says)
		}
	}
	if faults != 3 || warnings != 1 {
		t.Errorf("%d faults and %d warnings, want 3 and 1", faults, warnings)
	}
	for n := range 100 {
		if !strings.Contains(text, fmt.Sprintf("ding%d", n)) {
			t.Errorf("organisation ding%d is not named", n)
		}
	}
	if n := strings.Count(printed, "\n"); n > 80 {
		t.Errorf("the report has %d lines", n)
	}
	for line := range strings.Lines(printed) {
		if len(line) > 120 && !strings.Contains(line, "dingtalksim -") { // that one is to be copied
			t.Errorf("a line has %d bytes: %s", len(line), line)
		}
	}
	if g.most > 32 || g.most < 2 {
		t.Errorf("up to %d calls at once", g.most)
	}
	if t.Failed() {
		t.Log(printed)
	}
}

// TestFiveOrganisationsHaveASectionEach, as one has.
func TestFiveOrganisationsHaveASectionEach(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5)
	g.sims[4].Set(func(s *dingtalktest.Switches) { s.NoPermission = true })
	text, faults, warnings := g.check(t)
	for n := range 5 {
		if says := fmt.Sprintf("DingTalk: organisation ding%d at https://dingtalk-%d.test ok access token", n, n); !strings.Contains(text, says) {
			t.Errorf("the report lacks %q\n%s", says, text)
		}
	}
	if says := "ok organisation ding0, ding1, ding2, ding3, ding4: no checkpoint yet: the first run begins at"; !strings.Contains(text, says) {
		t.Errorf("the report lacks %q\n%s", says, text)
	}
	if faults != 1 || warnings != 0 {
		t.Errorf("%d faults and %d warnings\n%s", faults, warnings, text)
	}
}

// TestOneAppOfManyOrganisationsIsNotAskedTheSameOften: all calls for them share the app's limit.
func TestOneAppOfManyOrganisationsIsNotAskedTheSameOften(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	for i := range g.sims {
		g.cfg.Orgs[i].DingTalk.AppKey, g.cfg.Orgs[i].DingTalk.Token = "key0", dingtalk.CorpToken
		g.serve(i)
	}
	text, faults, warnings := g.check(t)
	if says := "behaviour: looked at with organisation ding0, which has the same app"; strings.Count(text, says) != 2 || faults+warnings > 0 {
		t.Errorf("%d faults, %d warnings, want none, and twice %q\n%s", faults, warnings, says, text)
	}
	for i, sim := range g.sims {
		if n := len(sim.Calls()); n < 2 || i > 0 && n > 3 || i == 0 && n < 10 {
			t.Errorf("organisation ding%d was asked %d times", i, n)
		}
	}
}

// TestWhereManyOrganisationsStand names the mark that is furthest behind, once for all.
func TestWhereManyOrganisationsStand(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 7)
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for i, o := range g.cfg.Orgs[:6] {
		mark := at.Add(time.Duration((i+3)%6) * time.Hour)
		cp := schema.Checkpoint{HighWaterMark: mark, ReconciledThrough: mark, Floor: at, ObservedAt: mark, AppKeyDigest: o.AppKeyDigest}
		if i == 1 {
			cp.Gaps = []schema.Gap{{Start: at.AddDate(-2, 0, 0), End: at.AddDate(-1, 0, 0)}}
		}
		g.commitFor(t, o.CorpID, kafka.Record{Topic: g.cfg.Kafka.StateTopic, Key: schema.CheckpointKey(o.CorpID), Value: cp.JSON()})
	}
	text, faults, warnings := g.check(t)
	for _, says := range []string{
		"ok organisation ding0, ding1, ding2, ding3, ding4, ding5: complete through 2024-05-06T07:08:09Z or later",
		"warning organisation ding1: gap: DingTalk refused to show who left from 2022-05-06T07:08:09Z",
		"ok organisation ding6: no checkpoint yet",
	} {
		if !strings.Contains(text, says) {
			t.Errorf("the report lacks %q\n%s", says, text)
		}
	}
	if faults != 0 || warnings != 1 {
		t.Errorf("%d faults and %d warnings\n%s", faults, warnings, text)
	}
}
