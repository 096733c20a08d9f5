package connector_test

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/promisetest"
	"departures/connector/walk"
	"departures/schema"
)

// day is a day of somebody's working life.
const day = 24 * time.Hour

// company is an organisation with a DingTalk of its own, which behaves in ways of its own. All companies have the same history, so what
// has to be on the events topic is one and the same set.
type company struct {
	connector.Org
	ways     []choice
	switches dingtalktest.Switches
	sim      *dingtalktest.Server
	dawn     time.Time // when the connector was started first

	mu      sync.Mutex     // windows are fetched side by side
	story   []happening    // what has yet to happen
	page    map[string]int // of each window by its startTime, from 0
	longest int            // window so far, in pages
	begun   uint64         // a digest of the answers in the beginning, whatever their order
}

// beginning is how long after dawn what is answered goes into company.begun: the catch-up is over, the first poll has yet to come, and so
// nothing depends on chance.
const beginning = 30 * time.Second

// digests is the seed of all companies' digests of pages.
var digests = maphash.MakeSeed()

// pageToken is a nextToken: which one a page gets depends on the order in which windows are asked for.
var pageToken = regexp.MustCompile(dingtalktest.PageTokenMark + "[0-9A-F]{8}")

// RoundTrip lets the next thing happen, if the call is for a page that follows another, and serves it.
func (c *company) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/empLeaveRecords") {
		c.await(r.URL.Query())
		c.turn(r.URL.Query())
	}
	resp, err := c.sim.Transport().RoundTrip(r)
	if err != nil || time.Since(c.dawn) >= beginning {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun += maphash.Bytes(digests, pageToken.ReplaceAll(body, nil))
	return resp, nil
}

// await keeps a call waiting until its window has its turn, twice a second: which of the windows that are asked for at once came first would
// otherwise be chance, and some DingTalks draw what they show. Two calls a second for each window are no more than DingTalk allows.
func (c *company) await(asked url.Values) {
	const round, turns = 500 * time.Millisecond, 5
	start, err := time.Parse(time.RFC3339, asked.Get("startTime"))
	if err != nil {
		return
	}
	since := start.Sub(c.dawn)
	turn := int((since - founded + day) / walk.MaxSpan) // of the windows of a catch-up
	if since > -30*time.Hour {
		turn = turns - 1 // of a poll
	}
	now := time.Since(c.dawn)
	time.Sleep((time.Duration(turn%turns)*round/turns - now%round + round) % round)
}

// failing is the end of a body.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// turn counts the pages of each window. Between any two of them, after the first that showed anybody, one thing of the story happens, if it
// is one for this window.
func (c *company) turn(asked url.Values) {
	c.mu.Lock()
	defer c.mu.Unlock()
	window := asked.Get("startTime")
	c.page[window]++
	if asked.Get("nextToken") == "0" {
		c.page[window] = 0
	}
	c.longest = max(c.longest, c.page[window]+1)
	first := 1
	if c.switches.EmptyPages {
		first = 2
	}
	start, err := time.Parse(time.RFC3339, window)
	if err != nil || c.page[window] < first {
		return
	}
	now := time.Since(c.dawn)
	i := slices.IndexFunc(c.story, func(h happening) bool {
		return now >= h.after && start.Sub(c.dawn) >= h.from && start.Sub(c.dawn) <= h.to
	})
	if i >= 0 {
		c.story[i].do(c)
		c.story = slices.Delete(c.story, i, i+1)
	}
}

// String is the company and the ways of its DingTalk.
func (c *company) String() string {
	names := make([]string, len(c.ways))
	for i, w := range c.ways {
		names[i] = w.name
	}
	return c.CorpID + " (" + strings.Join(names, ", ") + ")"
}

// found makes a company with its history. What it changes in an organisation is what must differ between two.
func (r *rig) found(corpID string, ways []choice, plan plan) *company {
	c := &company{Org: r.cfg.Orgs[0], ways: ways, dawn: time.Now(), story: story(plan), page: map[string]int{}}
	c.CorpID, c.DingTalk.CorpID = corpID, corpID
	c.DingTalk.AppKey = "key of " + corpID
	c.AppKeyDigest = schema.Digest([]byte(c.DingTalk.AppKey))
	c.DingTalk.BaseURL = &url.URL{Scheme: "https", Host: corpID + ".test"}
	c.DingTalk.Rate = 1000 // see company.await
	c.sim = dingtalktest.New(dingtalktest.Options{CorpID: corpID, AppKey: c.DingTalk.AppKey, AppSecret: canarySecret})
	for _, w := range ways {
		w.turn(c)
	}
	c.sim.Set(func(s *dingtalktest.Switches) { *s = c.switches })
	c.sim.Leave(history(c.dawn, plan)...)
	return c
}

// live runs one connector for all companies, through both sessions of the plan.
func (r *rig) live(companies []*company, plan plan) {
	r.t.Helper()
	hosts := byHost{}
	r.cfg.Orgs = nil
	for _, c := range companies {
		hosts[c.DingTalk.BaseURL.Host] = c
		r.cfg.Orgs = append(r.cfg.Orgs, c.Org)
	}
	r.calls = hosts
	r.cfg.Start = connector.StartAt(time.Now().Add(founded))
	r.cfg.PollInterval = time.Minute
	r.cfg.Kafka.Compression = "none" // a tenth of the time of these tests
	r.session(plan.first)
	time.Sleep(away)
	back := time.Now()
	status := r.session(plan.second)
	for _, c := range companies {
		const worst = 10*time.Minute + time.Second // a clock that is ten minutes behind, and shows whole seconds
		cp := status.Orgs[c.CorpID].Checkpoint
		if back.Sub(cp.HighWaterMark) > worst || back.Sub(cp.ReconciledThrough) > worst {
			r.t.Errorf("%s: the checkpoint stands at %+v, now is %s", c, cp, time.Now())
		}
	}
}

// session runs the connector for so long. In the end it must be ready.
func (r *rig) session(d time.Duration) connector.Status {
	r.t.Helper()
	i := r.start(nil)
	time.Sleep(d)
	status := i.runner.Status()
	r.stop(i)
	if reasons := status.Ready(time.Now()); len(reasons) > 0 {
		r.t.Errorf("not ready at the end of a session: %s", strings.Join(reasons, "\n"))
	}
	return status
}

// judge holds what stands in Kafka against the promises, against what each company's DingTalk showed, and the companies against each
// other.
func (r *rig) judge(companies []*company, plan plan) {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, breach := range a.Check() {
		r.t.Error(breach)
		for _, c := range companies {
			if strings.Contains(breach, c.CorpID+"/") {
				r.t.Log(c)
			}
		}
	}
	events, quarantined := byCompany(a.Events), byCompany(a.Quarantined)
	first := published(events[companies[0].CorpID])
	for _, c := range companies {
		own := &promisetest.Account{Events: events[c.CorpID], Quarantined: quarantined[c.CorpID]}
		for _, fault := range append(c.faults(own, r.cfg.Start.At(time.Now()), plan), c.others(own, first)...) {
			r.t.Errorf("%s: %s", c, fault)
		}
	}
	r.nothingPrivateWasSaid()
	if r.t.Failed() {
		r.t.Log(r.log.tail())
	}
}

// faults is what is wrong with a company's own events, and with how it lived.
func (c *company) faults(own *promisetest.Account, floor time.Time, plan plan) (faults []string) {
	lost, twice, extra := own.Count(c.CorpID, promisetest.Owed(c.sim, floor))
	if plan.restarts { // a page of a walk that began again is void
		lost = slices.DeleteFunc(lost, func(key string) bool { return strings.Contains(key, canaryUser+midWalk) })
	}
	if len(lost)+len(twice)+len(extra) > 0 {
		faults = append(faults, fmt.Sprintf("lost %v, twice %v, not known to DingTalk %v", lost, twice, extra))
	}
	if n := len(own.Quarantined); n != 1 {
		faults = append(faults, fmt.Sprintf("%d records in quarantine, not the one that cannot be read", n))
	}
	if len(c.story) > 0 || c.longest < 3 {
		faults = append(faults, fmt.Sprintf("%d things did not happen; the longest walk had %d pages", len(c.story), c.longest))
	}
	for _, call := range c.sim.Calls() {
		if call.Code == "invalidParameter.param.invalid" && call.Fault == "" && call.Param("nextToken") == "0" {
			faults = append(faults, "refused for what was asked: "+call.Query)
		}
	}
	return faults
}

// others is how a company's events differ from those of the first one.
func (c *company) others(own *promisetest.Account, first map[string]int) []string {
	mine := published(own.Events)
	if maps.Equal(mine, first) {
		return nil
	}
	return []string{fmt.Sprintf("other events than elsewhere: only here %v, only there %v", without(mine, first), without(first, mine))}
}

// byCompany are records by the corpId in their keys.
func byCompany(records []*kgo.Record) map[string][]*kgo.Record {
	of := map[string][]*kgo.Record{}
	for _, r := range records {
		corpID, _, _ := strings.Cut(string(r.Key), "/")
		of[corpID] = append(of[corpID], r)
	}
	return of
}

// published is who stands in the events of a company, in a form that is the same for all. Whoever leaves just now leaves at another time in
// each, and whoever is removed in mid-walk was shown in some only.
func published(events []*kgo.Record) map[string]int {
	who := map[string]int{}
	for _, e := range events {
		_, key, _ := strings.Cut(string(e.Key), "/")
		switch {
		case strings.HasPrefix(key, canaryUser+midWalk):
		case strings.HasPrefix(key, canaryUser+"just-now@"):
			who["just-now"]++
		default:
			who[key]++
		}
	}
	return who
}

// without is who is in a and not in b.
func without(a, b map[string]int) (names []string) {
	for name := range a {
		if b[name] == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
