package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// backBound is how long after the return of a Kafka's only broker departures are published again.
	backBound = 10 * time.Second
	// failoverBound is the same after one of three brokers has died: others have to be chosen for what it led.
	failoverBound = time.Minute
)

// TestBrokersDie kills real brokers with SIGKILL, one at a time and at any moment, while people leave all the time and two instances of
// the program run, and starts each again on its data. Nothing is lost, nothing is there twice, and the program goes on by itself.
//
// A Kafka of three loses nothing that two have acknowledged. A Kafka of one has only its files: what it acknowledged is with the system
// by then and outlives the process, which is what is killed here; a host that loses power may take the last seconds with it.
func TestBrokersDie(t *testing.T) {
	t.Parallel()
	folders := filepath.SplitList(os.Getenv(nodesEnv))
	if len(folders) == 0 {
		t.Skipf("only on real brokers of its own: %s names the folders in which .ci/kafka/start has put some", nodesEnv)
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	for _, folder := range folders {
		c := clusterIn(t, folder)
		t.Run(fmt.Sprintf("of %d", len(c.nodes)), func(t *testing.T) {
			t.Parallel()
			t.Attr("broker", "Apache Kafka")
			killNodes(t, c, seed)
		})
	}
}

func killNodes(t *testing.T, c *cluster, seed uint64) {
	w := &outage{rig: newRig(t, c.addrs()), cluster: c, draw: rand.New(rand.NewPCG(seed, uint64(len(c.nodes)))), began: time.Now()}
	defer func() {
		if t.Failed() {
			t.Logf("again with -seed %d\n%s", seed, w.story())
		}
	}()
	w.env["OVERLAP"] = "10s" // so that a poll does not show all of the test again
	for range 2 {
		w.start("run").isReady()
	}
	stopLeaving := w.peopleLeave(50 * time.Millisecond)
	defer stopLeaving()
	w.goesOn(patience)
	kills := cmp.Or(*killsFlag, 10)
	if len(c.nodes) == 1 {
		kills = cmp.Or(*killsFlag, 20)
	}
	for n := range kills {
		w.killOne(roles[n%len(roles)])
	}
	if len(c.nodes) == 3 {
		w.killMost()
	}
	stopLeaving()
	w.settle(w.processes[0])
	for _, p := range w.processes {
		p.signal(syscall.SIGTERM)
		p.ends(stopBound, exitClean)
	}
	a := w.check()
	t.Logf("%s\n%d brokers, %d kills in %v: %d events, %d transactions with events aborted, %d sessions; %v without a commit at the most",
		strings.Join(w.events, "\n"), len(c.nodes), kills, time.Since(w.began).Round(time.Second), len(a.Events), aborted(a), w.count("session open"), w.longestPause())
}

// outage is one organisation whose brokers die, and what has happened to them.
type outage struct {
	*rig
	cluster *cluster
	draw    *rand.Rand
	began   time.Time
	events  []string
}

func (w *outage) note(format string, args ...any) {
	w.events = append(w.events, fmt.Sprintf("%v  ", time.Since(w.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// killOne kills the node that has a role, and starts it again.
func (w *outage) killOne(has role) {
	w.t.Helper()
	victim := w.cluster.who(w.t, has, w.rig, w.draw)
	w.anyMoment()
	victim.kill(w.t)
	w.note("killed node %d, %s", victim.id, has.name)
	if len(w.cluster.nodes) > 1 {
		w.goesOn(failoverBound)
		w.passes(time.Second)
	}
	victim.again(w.t)
	w.note("node %d is back", victim.id)
	w.goesOn(backBound)
	w.cluster.isInSync(w.t)
}

// anyMoment waits until it is time to kill: half of the times it is when a transaction is under way, as far as that can be told.
func (w *outage) anyMoment() {
	w.t.Helper()
	if w.draw.IntN(2) == 0 {
		w.passes(time.Second)
		return
	}
	w.isAskedBy(w.owner())
	w.passes(30 * time.Millisecond)
}

// killMost kills two of three nodes: nothing can be committed any more, which is said, until one of them is back.
func (w *outage) killMost() {
	w.t.Helper()
	first := w.draw.IntN(3)
	for _, n := range []int{first, (first + 1) % 3} {
		w.cluster.nodes[n].kill(w.t)
	}
	w.note("killed nodes %d and %d", w.cluster.nodes[first].id, w.cluster.nodes[(first+1)%3].id)
	owner := w.owner()
	owner.isNotReady()
	_, said := owner.get("/readyz")
	w.note("not ready: %s", said)
	w.cluster.nodes[first].again(w.t)
	w.note("node %d is back", w.cluster.nodes[first].id)
	w.goesOn(failoverBound)
	for _, p := range w.processes {
		p.isReady()
	}
	w.cluster.nodes[(first+1)%3].again(w.t)
	w.cluster.isInSync(w.t)
}

// owner is the instance that has committed last. The other one stands by, and is ready as long as its group is coordinated.
func (w *outage) owner() (owner *process) {
	var latest time.Time
	for _, p := range w.processes {
		if at := p.committed(); len(at) > 0 && at[len(at)-1].After(latest) {
			owner, latest = p, at[len(at)-1]
		}
	}
	return owner
}

// committed are the times at which it said so.
func (p *process) committed() (times []time.Time) {
	p.t.Helper()
	for _, line := range p.lines("committed") {
		at, err := time.Parse(time.RFC3339Nano, line["time"].(string))
		if err != nil {
			p.t.Fatal(err)
		}
		times = append(times, at)
	}
	return times
}

// passes lets some time pass, up to a most, in which no instance ends by itself.
func (w *outage) passes(most time.Duration) {
	w.t.Helper()
	for _, p := range w.processes {
		p.lasts(time.Duration(w.draw.Int64N(int64(most) / int64(len(w.processes)))))
	}
}

// goesOn waits until two more transactions with events are committed: one at least begins now.
func (w *outage) goesOn(within time.Duration) {
	w.t.Helper()
	before, began := w.count("committed"), time.Now()
	for w.count("committed") < before+2 {
		w.passes(100 * time.Millisecond)
		if time.Since(began) > within {
			w.t.Fatalf("nothing was committed for %v", within)
		}
	}
	w.note("goes on after %v", time.Since(began).Round(time.Millisecond))
}

// count is how often the instances have said a message.
func (w *outage) count(message string) (n int) {
	for _, p := range w.processes {
		n += strings.Count(p.stderr.String(), `"msg":"`+message+`"`)
	}
	return n
}

// longestPause is the longest time between two transactions with events, as the instances said them.
func (w *outage) longestPause() (longest time.Duration) {
	var times []time.Time
	for _, p := range w.processes {
		times = append(times, p.committed()...)
	}
	slices.SortFunc(times, time.Time.Compare)
	for i := range len(times) - 1 {
		longest = max(longest, times[i+1].Sub(times[i]))
	}
	return longest.Round(time.Millisecond)
}

// story is what has happened, for a failure's message.
func (w *outage) story() string {
	all := slices.Clone(w.events)
	for i, p := range w.processes {
		all = append(all, fmt.Sprintf("instance %d:", i), p.tail())
	}
	for _, n := range w.cluster.nodes {
		all = append(all, fmt.Sprintf("node %d:", n.id), n.tail())
	}
	return strings.Join(all, "\n")
}
