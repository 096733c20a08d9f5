package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
)

const (
	// sessionTimeout is how long the group waits for a member that died.
	sessionTimeout = 15 * time.Second
	// handOver is how long a hand-over may take beside it. One takes a second at most, which is measured where time is simulated; here many
	// programs share two cores.
	handOver = 3 * time.Second
	// latestPoll is how late a poll may be when instances are restarted.
	latestPoll = 5 * time.Second
)

// fleet is several instances of the program for several organisations, each of which has a simulated DingTalk of its own.
type fleet struct {
	*rig
	firms []*firm
	file  string // ORGS_FILE
	slots []*process
}

// firm is one organisation, and when it was asked for leave records.
type firm struct {
	corpID    string
	partition float64 // of the state topic, as the log has it
	sim       *dingtalktest.Server
	entry     string // in ORGS_FILE

	mu    sync.Mutex
	asked []time.Time
}

// newFleet has empty companies, the first two of them in one state partition, and room for some instances; none is started.
func newFleet(t testing.TB, brokers []string, slots, firms int) *fleet {
	t.Helper()
	f := &fleet{rig: newRig(t, brokers), file: filepath.Join(t.TempDir(), "orgs.yaml"), slots: make([]*process, slots)}
	for _, name := range []string{"DINGTALK_BASE_URL", "DINGTALK_CORP_ID", "DINGTALK_APP_KEY", "DINGTALK_APP_SECRET"} {
		delete(f.env, name)
	}
	f.env["ORGS_FILE"] = f.file
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(canarySecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := 0; len(f.firms) < firms; n++ {
		corpID := fmt.Sprintf("dingfleet%d", n)
		p := float64(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(corpID)}, 12))
		if len(f.firms) == 1 && p != f.firms[0].partition {
			continue
		}
		f.firms = append(f.firms, newFirm(t, corpID, p, secret))
	}
	f.employs(f.firms...)
	return f
}

func newFirm(t testing.TB, corpID string, partition float64, secret string) *firm {
	x := &firm{corpID: corpID, partition: partition, sim: dingtalktest.New(dingtalktest.Options{
		CorpID: corpID, AppKey: "key-of-" + corpID, AppSecret: canarySecret, Switches: dingtalktest.Switches{QPS: -1},
	})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/empLeaveRecords") {
			x.mu.Lock()
			x.asked = append(x.asked, time.Now())
			x.mu.Unlock()
		}
		x.sim.ServeHTTP(w, q)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	x.entry = fmt.Sprintf("- corp_id: %s\n  app_key: key-of-%s\n  app_secret_file: %s\n  base_url: %s\n", corpID, corpID, secret, server.URL)
	return x
}

// employs makes some of the firms those that the next instances work for.
func (f *fleet) employs(firms ...*firm) {
	f.t.Helper()
	var file strings.Builder
	for _, x := range firms {
		file.WriteString(x.entry)
	}
	if err := os.WriteFile(f.file, []byte(file.String()), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// board starts an instance in a slot.
func (f *fleet) board(slot int, changes ...string) *process {
	f.t.Helper()
	f.slots[slot] = f.start("run", changes...)
	return f.slots[slot]
}

// leaveEverywhere lets somebody leave each firm, just now.
func (f *fleet) leaveEverywhere(who string) {
	for _, x := range f.firms {
		x.sim.Leave(person(who, time.Now()))
	}
}

// leavers lets somebody leave one firm after the other, until it is stopped.
func (f *fleet) leavers(every time.Duration) (stop func()) {
	return untilStopped(every, func(n int) {
		f.firms[n%len(f.firms)].sim.Leave(person(fmt.Sprintf("leaver-%d", n), time.Now()))
	})
}

// published waits until every departure of every firm is on the events topic, and is how long that took.
func (f *fleet) published() time.Duration {
	f.t.Helper()
	began := time.Now()
	f.await("every departure on the events topic", func() bool {
		ctx, cancel := context.WithTimeout(f.t.Context(), patience)
		defer cancel()
		events, err := kafkatest.ReadCommitted(ctx, f.brokers, f.topics.Events)
		if err != nil {
			return false
		}
		a, lost := promisetest.Account{Events: events}, 0
		for _, x := range f.firms {
			missing, _, _ := a.Count(x.corpID, promisetest.Owed(x.sim, f.floor))
			lost += len(missing)
		}
		return lost == 0
	})
	return time.Since(began)
}

// await waits for something that an outsider can see.
func (f *fleet) await(what string, condition func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("waited too long for %s\n%s", what, f.logs())
		}
	}
}

// check states the whole guarantee, for every firm.
func (f *fleet) check() {
	f.t.Helper()
	a := f.account()
	for _, x := range f.firms {
		lost, twice, extra := a.Count(x.corpID, promisetest.Owed(x.sim, f.floor))
		if len(lost)+len(twice)+len(extra) > 0 {
			f.t.Errorf("I1, I2: %s: lost %v, twice %v, not known to DingTalk %v", x.corpID, lost, twice, extra)
		}
	}
	for _, breach := range a.Check() {
		f.t.Error(breach)
	}
	if f.t.Failed() {
		f.t.Log(f.logs())
	}
}

// lands stops every instance that runs, cleanly.
func (f *fleet) lands() {
	f.t.Helper()
	for _, p := range f.slots {
		if p != nil && p.alive() {
			p.signal(syscall.SIGTERM)
		}
	}
	for _, p := range f.slots {
		if p != nil {
			p.ends(stopBound, exitClean)
		}
	}
}

// logs are the ends of what the instances in the slots said.
func (f *fleet) logs() string {
	var b strings.Builder
	for n, p := range f.slots {
		if p != nil {
			fmt.Fprintf(&b, "slot %d, process %d:\n%s\n", n, p.cmd.Process.Pid, p.tail())
		}
	}
	return b.String()
}

// opened is when somebody but p opened a session on a state partition first, since a time.
func (f *fleet) opened(partition float64, but *process, since time.Time) (first time.Time, ok bool) {
	for _, p := range f.processes {
		if p == but {
			continue
		}
		for _, s := range p.sessions() {
			if s.partition == partition && s.opened && s.at.After(since) && (!ok || s.at.Before(first)) {
				first, ok = s.at, true
			}
		}
	}
	return first, ok
}

// session is a line of the log: one was opened, or closed because the partition is another's.
type session struct {
	partition float64
	opened    bool
	at        time.Time
}

// sessions are those lines, oldest first.
func (p *process) sessions() (all []session) {
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.Contains(line, `"msg":"session `) {
			continue
		}
		var fields struct {
			Time      time.Time
			Msg       string
			Partition float64
		}
		if err := json.Unmarshal([]byte(line), &fields); err == nil {
			all = append(all, session{fields.Partition, fields.Msg == "session open", fields.Time})
		}
	}
	return all
}

// holds says whether it has a session open on a state partition, as far as it knows.
func (p *process) holds(partition float64) (open bool) {
	for _, s := range p.sessions() {
		if s.partition == partition {
			open = s.opened
		}
	}
	return open
}

// partitions are those of the state topic in which some firm lives.
func (f *fleet) partitions() (all []float64) {
	for _, x := range f.firms {
		all = append(all, x.partition)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// shared waits until every partition with a firm in it is worked on by one of the instances that live, and no other.
func (f *fleet) shared() {
	f.t.Helper()
	f.await("the organisations to be shared out", func() bool {
		for _, partition := range f.partitions() {
			owners := 0
			for _, p := range f.slots {
				if p != nil && p.alive() && p.holds(partition) {
					owners++
				}
			}
			if owners != 1 {
				return false
			}
		}
		return true
	})
}

// longestPause is the longest time in a span in which a firm was not asked for leave records.
func (x *firm) longestPause(from, to time.Time) (longest time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	last := from
	for _, at := range append(slices.Clone(x.asked), to) {
		if at.Before(from) || at.After(to) {
			continue
		}
		longest, last = max(longest, at.Sub(last)), at
	}
	return longest
}
