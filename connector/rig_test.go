package connector_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector"
	"departures/connector/dingtalk"
	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka"
	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
	"departures/schema"
)

// Canaries stand where secrets and personal data stand; none of them may ever be logged (I8).
const (
	canarySecret = "canary-secret-5ac1"
	canaryName   = "canary-name-77e0"
	canaryMobile = "canary-mobile-1390"
	canaryUser   = "canary-user-42f8-" // every userId begins with it
)

// rig is one organisation: its simulated DingTalk, its topics on some Kafka, and the configuration of a connector between them.
type rig struct {
	t       testing.TB
	sim     *dingtalktest.Server
	brokers []string
	topics  promisetest.Topics
	cfg     connector.Config
	log     *logbook                                                             // all that was said, on /readyz too
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // nil: the ordinary network
	calls   http.RoundTripper                                                    // to DingTalk; nil: straight to the simulator
}

// newRig has an empty company and a connector that would start an hour ago.
func newRig(t testing.TB, brokers []string) *rig {
	r := &rig{
		t:       t,
		brokers: brokers,
		sim: dingtalktest.New(dingtalktest.Options{
			CorpID: "dingtest", AppKey: "key", AppSecret: canarySecret, Switches: dingtalktest.Switches{QPS: -1},
		}),
		topics: promisetest.Topics{
			Events:     kafkatest.Name(t, "employee-left"),
			Quarantine: kafkatest.Name(t, "quarantine"),
			State:      kafkatest.Name(t, "state"),
		},
		log: &logbook{},
	}
	base, _ := url.Parse("https://dingtalk.test")
	r.cfg = connector.Config{
		Orgs: []connector.Org{{CorpID: "dingtest", AppKeyDigest: schema.Digest([]byte("key")), DingTalk: dingtalk.Config{
			BaseURL: base, CorpID: "dingtest", AppKey: "key", Secret: func() (string, error) { return canarySecret, nil },
			Rate: 10_000, Timeout: 5 * time.Second, EndTime: true,
		}}},
		Kafka: kafka.Config{
			Brokers: brokers, Group: kafkatest.Name(t, "group"), Instance: t.Name(), Encoding: "json",
			EventsTopic: r.topics.Events, StateTopic: r.topics.State, QuarantineTopic: r.topics.Quarantine, CreateTopics: true,
			PartitionKey: schema.PartitionKey,
		},
		Start:             connector.StartAt(time.Now().Add(-time.Hour)),
		PollInterval:      50 * time.Millisecond,
		Overlap:           24 * time.Hour,
		ReconcileInterval: time.Hour,
		Lookback:          720 * time.Hour,
	}
	return r
}

// instance is one run of the connector.
type instance struct {
	runner *connector.Runner
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

// start runs a connector with the rig's configuration, on an ordinary network or the given one to Kafka.
func (r *rig) start(cutter *kafkatest.Cutter) *instance {
	r.t.Helper()
	wire := connector.Wire{DingTalk: r.calls, Kafka: r.dial}
	if r.calls == nil {
		wire.DingTalk = r.sim.Transport()
	}
	if cutter != nil {
		wire.Kafka = cutter.Dial
	}
	runner, err := connector.New(r.cfg, wire, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{runner: runner, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(i.done)
		i.err = runner.Run(ctx)
	}()
	return i
}

// stop ends the instance as a signal would.
func (r *rig) stop(i *instance) {
	r.t.Helper()
	s, now := i.runner.Status(), time.Now()
	fmt.Fprintln(r.log, "status:", s.Ready(now), s.Healthy(now), s.Notes())
	i.cancel()
	select {
	case <-i.done:
	case <-time.After(5 * time.Second):
		r.t.Fatalf("the connector did not stop within 5 s\n%s", r.log.tail())
	}
}

// leave lets n people leave, just now.
func (r *rig) leave(n int, prefix string) {
	for i := range n {
		r.sim.Leave(person(fmt.Sprintf("%s-%d", prefix, i), time.Now()))
	}
}

func person(who string, at time.Time) dingtalktest.Leaver {
	name, code, mobile := canaryName, "86", canaryMobile
	return dingtalktest.Leaver{UserID: canaryUser + who, Name: &name, StateCode: &code, Mobile: &mobile, LeaveTime: at, LeaveReason: "leave"}
}

// departure is the departure of a person who left at that time.
func departure(who string, at time.Time) promisetest.Departure {
	return promisetest.Departure{UserID: canaryUser + who, LeaveTime: at.UTC().Truncate(time.Second)}
}

// truth is what has to be on the events topic.
func (r *rig) truth() []promisetest.Departure {
	return promisetest.Owed(r.sim, r.cfg.Start.At(time.Now()))
}

// settle waits until every departure that there is stands on the events topic.
func (r *rig) settle() {
	r.t.Helper()
	r.wait("every departure on the events topic", func() bool {
		a, err := r.account()
		if err != nil {
			return false
		}
		lost, _, _ := a.Count("dingtest", r.truth())
		return len(lost) == 0
	})
}

// wait polls an outsider's condition.
func (r *rig) wait(what string, condition func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited too long for %s\n%s", what, r.log.tail())
		}
	}
}

func (r *rig) account() (*promisetest.Account, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var opts []kgo.Opt
	if r.dial != nil {
		opts = append(opts, kgo.Dialer(r.dial))
	}
	return promisetest.Read(ctx, r.brokers, r.topics, opts...)
}

// check states the whole guarantee.
func (r *rig) check() {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	lost, twice, extra := a.Count("dingtest", r.truth())
	if len(lost)+len(twice)+len(extra) > 0 {
		r.t.Errorf("I1, I2: lost %v, twice %v, not known to DingTalk %v", lost, twice, extra)
	}
	for _, breach := range a.Check() {
		r.t.Error(breach)
	}
	r.nothingPrivateWasSaid()
	if r.t.Failed() {
		r.t.Log(r.log.tail())
	}
}

// nothingPrivateWasSaid is I8.
func (r *rig) nothingPrivateWasSaid() {
	r.t.Helper()
	for _, canary := range []string{canarySecret, canaryName, canaryMobile, canaryUser, dingtalktest.TokenMark, dingtalktest.PageTokenMark} {
		for _, line := range r.log.lines(canary) {
			r.t.Errorf("I8: %s was said: %s", canary, line)
		}
	}
}

// logbook keeps what was logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) contains(s string) bool { return l.count(s) > 0 }

func (l *logbook) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// lines are those that contain s.
func (l *logbook) lines(s string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, s) {
			found = append(found, line)
		}
	}
	return found
}

// tail is the last of it, for a failure's message.
func (l *logbook) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.text.String()
	return s[max(0, len(s)-6000):]
}
