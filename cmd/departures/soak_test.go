package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
)

var (
	soakFlag     = flag.Duration("soak", 20*time.Second, "how long the soak lasts; 2m every night")
	backfillFlag = flag.Int("backfill", 100_000, "how many departures the backfill has; 1000000 every night")
)

// Bounds of resident memory, in kB as /proc gives it.
const (
	soakBound     = 40 << 10 // with a ledger of a few thousand departures
	soakSlack     = 8 << 10  // by which it may be more in the second half than in the first
	backfillBound = 48 << 10 // without the ledger
	entryBytes    = 160      // of the ledger, a departure
)

const (
	slack  = 10              // descriptors, threads and goroutines that come and go
	dumped = "SIGQUIT: quit" // said before every goroutine's stack
)

// TestSoak runs the real program in all weathers: people leave, calls to DingTalk fail in every way that passes in seconds, tokens end
// before their time, the reconcile walk goes round and round, connections to Kafka are cut and commits refused. It must need no more in
// the end than in the beginning, of anything (I9); nothing is lost, nothing is there twice.
func TestSoak(t *testing.T) {
	t.Parallel()
	onLinux(t)
	brokers, trouble := troubledBrokers(t)
	r := newRig(t, brokers)
	r.catchesUpFrom(time.Now().Add(-4 * week))
	r.leftEvenly(2000)
	r.env["OVERLAP"], r.env["RECONCILE_INTERVAL"], r.env["DINGTALK_TIMEOUT"] = "10s", "3s", "2s"
	r.env["KAFKA_INSTANCE_ID"] = "pod-0" // the next one need not wait for the session timeout
	length := *soakFlag
	if testing.Short() {
		length = min(length, 10*time.Second)
	}
	p := r.start("run")
	p.isReady()
	r.sim.FailAtRandom(0.05, passing()...)
	stopLeaving := r.peopleLeave(100 * time.Millisecond)
	defer stopLeaving()

	var uses []use
	for began := time.Now(); time.Since(began) < length; uses = append(uses, p.use()) {
		p.lasts(200 * time.Millisecond)
		if len(uses)%20 == 19 {
			trouble()
			r.sim.ExpireTokens()
		}
	}
	stopLeaving()
	r.sim.Heal()
	r.settle(p)
	sessions := len(p.lines("session open"))
	t.Logf("%d sessions, %d commits; one after the other:%s", sessions, len(p.lines("committed")), told(uses))
	if sessions < 2 && !kafkatest.Real() {
		t.Error("its session was never lost")
	}
	if peak := p.use().peak; peak > soakBound {
		t.Errorf("I9: %d kB were resident, more than %d", peak, soakBound)
	}
	before, after := most(uses[:len(uses)/2]), most(uses[len(uses)/2:])
	if after.resident > before.resident+soakSlack || after.descriptors > before.descriptors+slack || after.threads > before.threads+slack {
		t.Errorf("I9: %v in the first half, %v in the second", before, after)
	}
	soaked, fresh := p.goroutines(), r.freshlyStarted().goroutines()
	t.Logf("%d goroutines, and %d of a program just started", soaked, fresh)
	if soaked > fresh+slack {
		t.Errorf("I9: %d goroutines, and no more than %d of a program just started\n%s", soaked, fresh, p.tail())
	}
	r.check()
}

// TestBackfill lets the real program catch up with a year of a very large company: what it holds is bound by its ledger.
func TestBackfill(t *testing.T) {
	t.Parallel()
	onLinux(t)
	r := newRig(t, kafkatest.Brokers(t))
	r.catchesUpFrom(time.Now().Add(-weeks * week))
	departures := *backfillFlag
	if testing.Short() {
		departures = min(departures, 20_000)
	}
	r.leftEvenly(departures)
	r.env["LOG_LEVEL"] = "info"
	began := time.Now()
	p := r.start("run")
	for !p.stderr.contains("caught up") {
		r.isAskedBy(p) // there is patience for each call
	}
	took := time.Since(began).Round(time.Millisecond)
	r.settle(p)
	bound := backfillBound + departures*entryBytes/1024
	t.Logf("%d departures in %v; %v", departures, took, p.use())
	if peak := p.use().peak; peak > bound {
		t.Errorf("%d kB were resident, more than %d", peak, bound)
	}
	r.check()
}

// onLinux skips a test that looks at a process from outside.
func onLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux: what a process needs is read from /proc")
	}
}

// leftEvenly lets n people leave between floor and now.
func (r *rig) leftEvenly(n int) {
	all, step := make([]dingtalktest.Leaver, n), time.Since(r.floor)/time.Duration(n+1)
	for i := range all {
		all[i] = person(fmt.Sprintf("old-%d", i), r.floor.Add(step*time.Duration(i)))
	}
	r.sim.Leave(all...)
}

// passing are faults after which a call may be made again within seconds.
func passing() []dingtalktest.Fault {
	return []dingtalktest.Fault{
		dingtalktest.SystemError, dingtalktest.SystemErrorAs400, dingtalktest.UnknownError, dingtalktest.BadGateway,
		dingtalktest.EmptyForbidden, dingtalktest.Throttled, dingtalktest.TokenRefused, dingtalktest.UnknownCode,
		dingtalktest.NoRecords, dingtalktest.CutObject, dingtalktest.ErrorAsSuccess,
		dingtalktest.Hanging, dingtalktest.Stalled, dingtalktest.Truncated, dingtalktest.TruncatedChunks,
		dingtalktest.ResetInBody, dingtalktest.ResetBefore,
		dingtalktest.SystemError.Against(dingtalktest.TokenCalls), dingtalktest.Hanging.Against(dingtalktest.TokenCalls),
	}
}

// troubledBrokers are brokers, and a function that gives them some trouble: the next commit is refused, or every connection is cut. A real
// broker is left alone.
func troubledBrokers(t *testing.T) (addrs []string, trouble func()) {
	t.Helper()
	if kafkatest.Real() {
		return kafkatest.Brokers(t), func() {}
	}
	var (
		c       cuttable
		refuses atomic.Bool
		times   int
	)
	cluster := kafkatest.Fake(t, "", kfake.ListenFn(c.listen))
	cluster.ControlKey(int16(kmsg.EndTxn), func(q kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		refusal := q.ResponseKind().(*kmsg.EndTxnResponse)
		refusal.ErrorCode = kerr.UnknownServerError.Code
		return refusal, nil, refuses.Swap(false)
	})
	return cluster.ListenAddrs(), func() {
		if times++; times%3 == 1 {
			refuses.Store(true)
			return
		}
		c.cut()
	}
}

// cuttable is a listener whose connections can be closed all at once.
type cuttable struct {
	net.Listener
	mu       sync.Mutex
	accepted []net.Conn
}

func (c *cuttable) listen(network, address string) (net.Listener, error) {
	var err error
	c.Listener, err = net.Listen(network, address)
	return c, err
}

// Accept takes a connection, and remembers it.
func (c *cuttable) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted = append(c.accepted, conn)
	return conn, nil
}

func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.accepted {
		conn.Close()
	}
	c.accepted = nil
}

// use is what a process needs at one moment, as Linux sees it; memory in kB.
type use struct{ resident, peak, threads, descriptors int }

func (u use) String() string {
	return fmt.Sprintf("%d kB resident, at most %d until then, %d threads, %d descriptors", u.resident, u.peak, u.threads, u.descriptors)
}

// use is what it needs now.
func (p *process) use() (u use) {
	p.t.Helper()
	folder := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	status, err := os.ReadFile(folder + "status")
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if into := map[string]*int{"VmRSS": &u.resident, "VmHWM": &u.peak, "Threads": &u.threads}[name]; into != nil {
			_, _ = fmt.Sscan(value, into) // zero is found out below
		}
	}
	open, err := os.ReadDir(folder + "fd")
	u.descriptors = len(open)
	if err != nil || u.resident == 0 || u.peak == 0 || u.threads == 0 || u.descriptors == 0 {
		p.t.Fatalf("%s cannot be read: %+v, %v\n%s", folder, u, err, p.tail())
	}
	return u
}

// most is the most of each.
func most(uses []use) (m use) {
	for _, u := range uses {
		m = use{max(m.resident, u.resident), max(m.peak, u.peak), max(m.threads, u.threads), max(m.descriptors, u.descriptors)}
	}
	return m
}

// told is ten lines about uses.
func told(uses []use) string {
	var b strings.Builder
	for part := range slices.Chunk(uses, len(uses)/10+1) {
		fmt.Fprintf(&b, "\n%v", most(part))
	}
	return b.String()
}

// freshlyStarted is another program, when it has walked everything once.
func (r *rig) freshlyStarted() *process {
	r.t.Helper()
	p := r.start("run")
	p.isReady()
	p.await("a reconcile walk", func() bool { return p.stderr.contains(`"walk":"reconcile"`) })
	return p
}

// goroutines ends the program by a signal at which Go says where every goroutine stands, and counts them.
func (p *process) goroutines() int {
	p.t.Helper()
	p.signal(syscall.SIGQUIT)
	<-p.exited
	if !p.stderr.contains(dumped) {
		p.t.Fatalf("it does not say where its goroutines stand\n%s", p.tail())
	}
	return strings.Count(p.stderr.String(), "\ngoroutine ")
}
