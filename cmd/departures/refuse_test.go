package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
	"departures/schema"
)

// refuseBound is within how long the program has to say that a person must act.
const refuseBound = 20 * time.Second

// TestItRefusesToStart has every state of Kafka and the host that a person must mend: exit code 1 and a message that names what it
// is about and the way out, before DingTalk is asked for a leave record and before anything is published.
func TestItRefusesToStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		arrange func(t *testing.T, r *rig) (changes []string)
		says    func(r *rig) []string
	}{
		{
			"no checkpoint and no START",
			func(*testing.T, *rig) []string { return []string{"START="} },
			func(r *rig) []string { return []string{"START", r.topics.State, "`departures state init`"} },
		},
		{
			"a state topic that is not compacted",
			func(_ *testing.T, r *rig) []string {
				r.createTopic(r.topics.State, 3, map[string]string{"cleanup.policy": "delete"})
				return nil
			},
			func(r *rig) []string { return []string{r.topics.State, "cleanup.policy", "compact"} },
		},
		{
			"a state topic that is compacted and deleted",
			func(_ *testing.T, r *rig) []string {
				r.createTopic(r.topics.State, 3, map[string]string{"cleanup.policy": "compact,delete"})
				return nil
			},
			func(r *rig) []string { return []string{r.topics.State, "cleanup.policy", "compact"} },
		},
		{
			"the app already publishes as another organisation",
			func(_ *testing.T, r *rig) []string {
				r.runOnce(1)
				return []string{"DINGTALK_CORP_ID=dingother"}
			},
			func(r *rig) []string { return []string{"dingother", "dingtest", "DINGTALK_CORP_ID", r.topics.State} },
		},
		{
			"a state that a newer version wrote",
			func(_ *testing.T, r *rig) []string {
				r.createState(func(m *schema.Meta) { m.FormatVersion, m.MinReaderVersion = 7, 7 })
				return nil
			},
			func(r *rig) []string { return []string{r.topics.State, "newer version"} },
		},
		{
			"a state of another events topic",
			func(_ *testing.T, r *rig) []string {
				r.createState(func(m *schema.Meta) { m.EventsTopic = "another-topic" })
				return nil
			},
			func(r *rig) []string {
				return []string{r.topics.State, "another-topic", r.topics.Events, "EVENTS_TOPIC", "STATE_TOPIC"}
			},
		},
		{
			"a checkpoint that cannot be read",
			func(_ *testing.T, r *rig) []string {
				r.createState(func(*schema.Meta) {})
				r.produce(&kgo.Record{Topic: r.topics.State, Key: []byte(schema.CheckpointKey("dingtest")), Value: []byte("{}")})
				return nil
			},
			func(*rig) []string { return []string{"checkpoint/dingtest", "STATE_TOPIC"} },
		},
		{
			"no state beside events that are there",
			func(_ *testing.T, r *rig) []string {
				r.createTopic(r.topics.Events, 3, nil)
				r.produce(&kgo.Record{Topic: r.topics.Events, Value: []byte("{}")})
				return nil
			},
			func(r *rig) []string {
				return []string{r.topics.Events, r.topics.State, "`departures state init`", "START"}
			},
		},
		{
			"a mistyped state topic beside events that are there",
			func(t *testing.T, r *rig) []string {
				r.runOnce(1)
				r.topics.State = kafkatest.Name(t, "mistyped")
				return []string{"STATE_TOPIC=" + r.topics.State}
			},
			func(r *rig) []string {
				return []string{r.topics.Events, r.topics.State, "STATE_TOPIC", "`departures state init`"}
			},
		},
		{
			"missing topics that it must not create",
			func(*testing.T, *rig) []string { return []string{"CREATE_TOPICS=false"} },
			func(r *rig) []string {
				return []string{r.topics.Events, r.topics.State, r.topics.Quarantine, "CREATE_TOPICS", "cleanup.policy=compact"}
			},
		},
		{
			"an address for the admin server that is taken",
			func(t *testing.T, _ *rig) []string { return []string{"HTTP_ADDR=" + listen(t).Addr().String()} },
			func(*rig) []string { return []string{"HTTP_ADDR"} },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kafkatest.Brokers(t))
			changes := c.arrange(t, r)
			r.leave(3, "left")
			calls, events := r.dataCalls.Load(), r.length(r.topics.Events)
			p := r.start("run", changes...)
			p.ends(refuseBound, exitFault)
			if says := c.says(r); !containsAll(p.stderr.String(), says) {
				t.Errorf("stderr lacks one of %q\n%s", says, p.tail())
			}
			r.did(calls, events)
		})
	}
}

// TestKafkaRefusesTheCredentials has a broker that says so, as Apache Kafka does: nobody but a person can help.
func TestKafkaRefusesTheCredentials(t *testing.T) {
	t.Parallel()
	broker := kafkatest.Fake(t, "it answers as a broker with SASL that others do not have", kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "right"))
	broker.ControlKey(int16(kmsg.SASLAuthenticate), func(q kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		resp := q.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	r := newRig(t, broker.ListenAddrs())
	p := r.start("run", "KAFKA_SASL_MECHANISM=PLAIN", "KAFKA_SASL_USERNAME=user", "KAFKA_SASL_PASSWORD="+canaryPassword)
	p.ends(refuseBound, exitFault)
	if says := []string{"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}; !containsAll(p.stderr.String(), says) {
		t.Errorf("stderr lacks one of %q\n%s", says, p.tail())
	}
	r.did(0, -1)
}

// TestTwoInstancesWithOneInstanceID: the older one must go, or the two would throw each other out for ever.
func TestTwoInstancesWithOneInstanceID(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	older := r.start("run", "KAFKA_INSTANCE_ID=pod-0")
	older.isReady()
	newer := r.start("run", "KAFKA_INSTANCE_ID=pod-0")
	older.ends(patience, exitFault)
	if says := []string{"KAFKA_INSTANCE_ID", "pod-0", "FENCED_INSTANCE_ID"}; !containsAll(older.stderr.String(), says) {
		t.Errorf("stderr lacks one of %q\n%s", says, older.tail())
	}
	r.leave(3, "after")
	r.settle(newer)
	r.check()
}

// TestAnotherOrganisationsCheckpointAloneIsNoReasonToRefuse: a first run with a mistyped corpId must not lock the app out.
func TestAnotherOrganisationsCheckpointAloneIsNoReasonToRefuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	r.runOnce(0)
	p := r.start("run", "DINGTALK_CORP_ID=dingother")
	r.leave(1, "after")
	p.says(`"msg":"committed"`)
}

// TestStateInitBeginsAnewBesideEventsThatAreThere is the way out that the refusal names.
func TestStateInitBeginsAnewBesideEventsThatAreThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	r.runOnce(2)
	events := r.length(r.topics.Events)
	r.topics.State = kafkatest.Name(t, "new-state")
	r.env["STATE_TOPIC"] = r.topics.State
	start := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	for range 2 { // it can be said twice
		calls := r.dataCalls.Load()
		p := r.start("state init", "START="+start.Format(time.RFC3339))
		p.ends(patience, exitClean)
		if says := []string{"dingtest", start.Format(time.RFC3339)}; !containsAll(p.stdout.String(), says) {
			t.Errorf("stdout lacks one of %q\n%s", says, p.tail())
		}
		r.did(calls, events)
	}
	p := r.start("run", "START=")
	p.isReady()
	r.leave(2, "after")
	r.settle(p)
	lost, twice, extra := r.account().Count("dingtest", r.truth())
	if len(lost)+len(twice)+len(extra) > 0 {
		t.Errorf("I1, I2: lost %v, twice %v, not known to DingTalk %v", lost, twice, extra)
	}
}

// TestStateInitWithoutStartIsRefused names the variable that is missing.
func TestStateInitWithoutStartIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	p := r.start("state init", "START=")
	p.ends(refuseBound, exitFault)
	if !p.stderr.contains("START is not set") {
		t.Errorf("START is not named\n%s", p.tail())
	}
	r.did(0, 0)
}

// TestARefusedStateInitLeavesTheCatchOn: beside events that are there, a run on a mistyped STATE_TOPIC is refused after it as before.
func TestARefusedStateInitLeavesTheCatchOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	r.runOnce(2)
	calls, events := r.dataCalls.Load(), r.length(r.topics.Events)
	mistyped := "STATE_TOPIC=" + kafkatest.Name(t, "mistyped")
	r.start("state init", "START=", mistyped).ends(refuseBound, exitFault)
	r.start("run", "START=8736h", mistyped).ends(refuseBound, exitFault)
	r.did(calls, events)
}

// did checks how many data calls were made and offsets of the events topic taken by now; -1 is unknown.
func (r *rig) did(calls, events int64) {
	r.t.Helper()
	if n := r.dataCalls.Load(); n != calls {
		r.t.Errorf("%d data calls, want %d", n, calls)
	}
	if events < 0 {
		return
	}
	if n := r.length(r.topics.Events); n != events {
		r.t.Errorf("the events topic has %d records and markers, want %d", n, events)
	}
}

// runOnce is an earlier life of the connector, in which n people were found to have left half an hour ago.
func (r *rig) runOnce(n int) {
	r.t.Helper()
	for i := range n {
		r.sim.Leave(person(fmt.Sprintf("earlier-%d", i), time.Now().Add(-30*time.Minute)))
	}
	p := r.start("run")
	p.isReady()
	r.settle(p)
	p.signal(syscall.SIGTERM)
	p.ends(stopBound, exitClean)
}

// createState makes the topics, and a state that says of itself what change makes of the truth.
func (r *rig) createState(change func(*schema.Meta)) {
	r.t.Helper()
	r.createTopic(r.topics.Events, 3, nil)
	r.createTopic(r.topics.State, 1, map[string]string{"cleanup.policy": "compact"})
	m := schema.Meta{
		FormatVersion: schema.FormatVersion, MinReaderVersion: schema.FormatVersion, Partitions: 1,
		EventsTopic: r.topics.Events, Encoding: "json", KeyFormat: schema.KeyFormat,
	}
	change(&m)
	r.produce(&kgo.Record{Topic: r.topics.State, Key: []byte(schema.MetaKey), Value: m.JSON()})
}
