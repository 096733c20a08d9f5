package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
)

// Canaries stand where secrets and personal data stand; none of them may ever be said (I8).
const (
	canarySecret   = "canary-secret-5ac1"
	canaryPassword = "canary-password-0b2d"
	canaryName     = "canary-name-77e0"
	canaryMobile   = "185-canary-mobile-1390"
	canaryUser     = "canary-user-42f8-" // every userId begins with it
)

// rig is one organisation: its simulated DingTalk on a port of this host, its topics on some Kafka, and the environment of a
// program between them.
type rig struct {
	t         testing.TB
	sim       *dingtalktest.Server
	brokers   []string
	topics    promisetest.Topics
	floor     time.Time
	env       map[string]string
	secured   *kafkatest.Secured // nil: the program needs no login, and may do everything
	granted   map[kafkatest.Names]bool
	dataCalls atomic.Int64
	processes []*process
}

// newRig has an empty company and a program that would start an hour ago. Its end looks for canaries in all that was said.
func newRig(t testing.TB, brokers []string) *rig {
	t.Helper()
	r := &rig{
		t: t, brokers: brokers, floor: time.Now().Add(-time.Hour).UTC().Truncate(time.Second),
		sim: dingtalktest.New(dingtalktest.Options{
			CorpID: "dingtest", AppKey: "key", AppSecret: canarySecret, Switches: dingtalktest.Switches{QPS: -1},
		}),
		topics: promisetest.Topics{
			Events:     kafkatest.Name(t, "employee-left"),
			Quarantine: kafkatest.Name(t, "quarantine"),
			State:      kafkatest.Name(t, "state"),
		},
		secured: kafkatest.SecuredSide(t, brokers), granted: map[kafkatest.Names]bool{},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/empLeaveRecords") {
			r.dataCalls.Add(1)
		}
		r.sim.ServeHTTP(w, q)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	r.env = map[string]string{
		"DINGTALK_BASE_URL": server.URL, "DINGTALK_CORP_ID": "dingtest", "DINGTALK_APP_KEY": "key",
		"DINGTALK_APP_SECRET": canarySecret, "DINGTALK_RATE": "10000",
		"KAFKA_BROKERS": strings.Join(brokers, ","), "GROUP": kafkatest.Name(t, "group"),
		"EVENTS_TOPIC": r.topics.Events, "STATE_TOPIC": r.topics.State, "QUARANTINE_TOPIC": r.topics.Quarantine,
		"START": r.floor.Format(time.RFC3339), "POLL_INTERVAL": "1s", "HTTP_ADDR": "127.0.0.1:0", "LOG_LEVEL": "debug",
	}
	if r.secured != nil {
		maps.Copy(r.env, r.secured.Env)
	}
	t.Cleanup(r.nothingPrivateWasSaid)
	return r
}

// start runs a verb with the rig's environment and the given changes to it, each NAME=value; an empty value takes one away.
func (r *rig) start(verb string, changes ...string) *process {
	r.t.Helper()
	env := maps.Clone(r.env)
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		env[name] = value
	}
	r.grant(env)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if env[name] != "" {
			list = append(list, name+"="+env[name])
		}
	}
	p := launch(r.t, strings.Fields(verb), list)
	r.processes = append(r.processes, p)
	return p
}

// grant gives the program on the secured side the documented rights to what its environment names, once.
func (r *rig) grant(env map[string]string) {
	r.t.Helper()
	names := kafkatest.Names{Events: env["EVENTS_TOPIC"], Quarantine: env["QUARANTINE_TOPIC"], State: env["STATE_TOPIC"], Group: env["GROUP"]}
	if r.secured != nil && !r.granted[names] {
		r.granted[names] = true
		r.secured.Grant(r.t, kafkatest.Rights(names)...)
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

// truth is what has to be on the events topic.
func (r *rig) truth() []promisetest.Departure { return promisetest.Owed(r.sim, r.floor) }

// settle waits until p has brought every departure that there is to the events topic.
func (r *rig) settle(p *process) {
	r.t.Helper()
	p.await("every departure on the events topic", func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), patience)
		defer cancel()
		events, err := kafkatest.ReadCommitted(ctx, r.brokers, r.topics.Events)
		truth := r.truth()
		if err != nil || len(events) < len(truth) {
			time.Sleep(100 * time.Millisecond) // reading everything is work that the program wants to do too
			return false
		}
		lost, _, _ := (&promisetest.Account{Events: events}).Count("dingtest", truth)
		return len(lost) == 0
	})
}

func (r *rig) account() *promisetest.Account {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	a, err := promisetest.Read(ctx, r.brokers, r.topics)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// check states the whole guarantee.
func (r *rig) check() *promisetest.Account {
	r.t.Helper()
	a := r.account()
	lost, twice, extra := a.Count("dingtest", r.truth())
	if len(lost)+len(twice)+len(extra) > 0 {
		r.t.Errorf("I1, I2: lost %v, twice %v, not known to DingTalk %v", lost, twice, extra)
	}
	for _, breach := range a.Check() {
		r.t.Error(breach)
	}
	return a
}

// nothingPrivateWasSaid is I8.
func (r *rig) nothingPrivateWasSaid() {
	canaries := []string{
		canarySecret, canaryPassword, canaryName, canaryMobile, canaryUser, dingtalktest.TokenMark, dingtalktest.PageTokenMark,
	}
	if r.secured != nil {
		canaries = append(canaries, r.secured.Password)
	}
	for _, p := range r.processes {
		for _, canary := range canaries {
			if p.stdout.contains(canary) || p.stderr.contains(canary) || p.pages.contains(canary) {
				r.t.Errorf("I8: %s was said\n%s", canary, p.tail())
			}
		}
		if p.stderr.contains("panic:") || p.stderr.contains("goroutine ") && !p.stderr.contains(dumped) {
			r.t.Errorf("the program panicked\n%s", p.tail())
		}
	}
}

// length is how many offsets of a topic are taken, aborted ones included; 0 if there is no such topic.
func (r *rig) length(topic string) (n int64) {
	r.t.Helper()
	ends, err := kadm.NewClient(r.client()).ListEndOffsets(r.t.Context(), topic)
	if err != nil {
		r.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil && o.Err != kerr.UnknownTopicOrPartition {
			r.t.Fatal(o.Err)
		}
		n += max(0, o.Offset)
	})
	return n
}

// createTopic creates a topic by hand.
func (r *rig) createTopic(topic string, partitions int32, configs map[string]string) {
	r.t.Helper()
	values := map[string]*string{}
	for k, v := range configs {
		values[k] = &v
	}
	if _, err := kadm.NewClient(r.client()).CreateTopic(r.t.Context(), partitions, 1, values, topic); err != nil {
		r.t.Fatal(err)
	}
}

// produce writes records by hand.
func (r *rig) produce(records ...*kgo.Record) {
	r.t.Helper()
	if err := r.client(kgo.RecordPartitioner(kgo.ManualPartitioner())).ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) client(opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(r.brokers...),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.UnknownTopicRetries(-1), // one just created is not known everywhere at once
	}, opts...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(cl.Close)
	return cl
}
