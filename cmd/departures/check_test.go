package main

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
)

// TestACheckBeforeTheFirstRun finds no fault, tells how DingTalk behaves, and leaves nothing behind.
func TestACheckBeforeTheFirstRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	r.sim.Set(func(s *dingtalktest.Switches) {
		s.Order, s.LastToken, s.Bounds = dingtalktest.Descending, dingtalktest.TokenZero, dingtalktest.HalfOpen
		s.TimeFormat, s.StrictHistory = dingtalktest.TimeOffset, true
	})
	for i := range 120 {
		r.sim.Leave(person("p", time.Now().Add(-time.Duration(i)*17*time.Minute)))
	}
	before := r.inKafka()
	p := r.start("check")
	p.ends(patience, exitClean)
	for _, says := range []string{
		"ok access token", "ok leave records", "ok corp id", "no checkpoint yet: the first run begins at",
		"transactions", r.topics.Events, r.topics.State, r.topics.Quarantine, "no fault",
		"order desc", "last-token zero", "bounds half-open", "time-format offset", "refuse-end-time false", "strict-history true",
	} {
		if !strings.Contains(squeezed(p.stdout.String()), squeezed(says)) {
			t.Errorf("the report lacks %q\n%s", says, p.tail())
		}
	}
	if after := r.inKafka(); after != before {
		t.Errorf("Kafka held %s before, %s after", before, after)
	}
}

// squeezed is a text with every run of blanks made one, so that columns may be as wide as they like.
func squeezed(text string) string { return strings.Join(strings.Fields(text), " ") }

// inKafka is what stands in Kafka that a check could have left there: the rig's topics and its group.
func (r *rig) inKafka() string {
	r.t.Helper()
	adm := kadm.NewClient(r.client())
	topics, err := adm.ListTopics(r.t.Context(), r.topics.Events, r.topics.State, r.topics.Quarantine)
	if err != nil {
		r.t.Fatal(err)
	}
	var found []string
	for _, topic := range topics.Sorted() {
		if topic.Err == nil {
			found = append(found, topic.Topic)
		}
	}
	groups, err := adm.ListGroups(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, group := range groups.Groups() {
		if group == r.env["GROUP"] {
			found = append(found, "group "+group)
		}
	}
	return strings.Join(found, ", ")
}

// TestACheckBesideAConnectorThatRuns disturbs nobody.
func TestACheckBesideAConnectorThatRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	running := r.start("run")
	r.leave(3, "before")
	r.settle(running)
	lengths := func() [3]int64 {
		return [3]int64{r.length(r.topics.Events), r.length(r.topics.Quarantine), r.length(r.topics.State)}
	}
	before := lengths()
	p := r.start("check")
	p.ends(patience, exitClean)
	if says := "complete through"; !p.stdout.contains(says) {
		t.Errorf("the report lacks %q\n%s", says, p.tail())
	}
	if after := lengths(); after != before {
		t.Errorf("the topics had %v offsets before, %v after", before, after)
	}
	r.leave(3, "after")
	r.settle(running)
	r.check()
	if running.stderr.contains("fenced") || len(running.lines("session open")) != 1 {
		t.Errorf("the connector was disturbed\n%s", running.tail())
	}
}

// TestACheckFindsEveryFaultAtOnce has something wrong on each side.
func TestACheckFindsEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		changes func(r *rig) []string
		says    []string
	}{
		{
			"a missing permission, missing topics and no START",
			func(r *rig) []string {
				r.sim.Set(func(s *dingtalktest.Switches) { s.NoPermission = true })
				return []string{"CREATE_TOPICS=false", "START="}
			},
			[]string{"Contact.Common.Read", "CREATE_TOPICS is false: create it with 12 partitions", "START is not set", "FAULT"},
		},
		{
			"wrong credentials, and brokers that are not there",
			func(*rig) []string {
				return []string{"DINGTALK_APP_SECRET=wrong", "KAFKA_BROKERS=127.0.0.1:1"}
			},
			[]string{"check DINGTALK_APP_KEY and DINGTALK_APP_SECRET", "api.dingtalk.com or api.dingtalk.io", "127.0.0.1:1"},
		},
		{
			"another organisation's corp id",
			func(*rig) []string { return []string{"DINGTALK_CORP_ID=dingother"} },
			[]string{"FAULT corp id", "DINGTALK_CORP_ID"},
		},
		{
			"another organisation's corp id, and tokens of the organisation",
			func(*rig) []string { return []string{"DINGTALK_CORP_ID=dingother", "DINGTALK_TOKEN=corp"} },
			[]string{"FAULT access token", "check DINGTALK_CORP_ID"},
		},
		{
			"an address that is not on the white list, and events without their state",
			func(r *rig) []string {
				r.runOnce(1)
				r.sim.Set(func(s *dingtalktest.Switches) { s.IPNotWhiteListed = true })
				return []string{"STATE_TOPIC=" + kafkatest.Name(r.t, "mistyped")}
			},
			[]string{"server IP list", "STATE_TOPIC", "`departures state init`"},
		},
		{
			"endTime refused",
			func(r *rig) []string {
				r.sim.Set(func(s *dingtalktest.Switches) { s.RefuseEndTime = true })
				return nil
			},
			[]string{"DINGTALK_END_TIME=never"},
		},
		{
			"a DingTalk that is not there",
			func(*rig) []string { return []string{"DINGTALK_BASE_URL=http://127.0.0.1:1"} },
			[]string{"FAULT access token", "connection refused", "transactions"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kafkatest.Brokers(t))
			p := r.start("check", c.changes(r)...)
			p.ends(patience, exitFault)
			for _, says := range c.says {
				if !strings.Contains(squeezed(p.stdout.String()), says) {
					t.Errorf("the report lacks %q\n%s", says, p.tail())
				}
			}
		})
	}
}

// TestASignalEndsACheck, whatever hangs.
func TestASignalEndsACheck(t *testing.T) {
	t.Parallel()
	silent := listen(t)
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			defer func(c net.Conn) { _ = c.Close() }(conn)
		}
	}()
	r := newRig(t, []string{silent.Addr().String()})
	r.sim.Set(func(s *dingtalktest.Switches) { s.Latency = time.Hour })
	p := r.start("check")
	p.await("DingTalk is asked", func() bool { return len(r.sim.Calls()) > 0 })
	p.signal(syscall.SIGTERM)
	p.ends(stopBound, exitFault)
}
