package operate_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"departures/connector"
	"departures/connector/dingtalk"
	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka"
	"departures/connector/kafka/kafkatest"
	"departures/connector/operate"
	"departures/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Canaries stand where secrets and personal data stand; none of them may ever be reported.
const (
	canarySecret = "canary-secret-5ac1"
	canaryPerson = "canary-person-77e0"
)

// rig is one organisation with its simulated DingTalk, and topics of its own.
type rig struct {
	sim  *dingtalktest.Server
	cfg  connector.Config
	wire connector.Wire
}

// newRig is a company that somebody left every hour of the last five days.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := emptyRig(t)
	name := canaryPerson
	for h := range 120 {
		r.sim.Leave(dingtalktest.Leaver{UserID: canaryPerson, Name: &name, Mobile: &name, LeaveTime: time.Now().Add(-time.Duration(h) * time.Hour)})
	}
	return r
}

// emptyRig is a company that nobody ever left.
func emptyRig(t *testing.T) *rig {
	t.Helper()
	base, err := url.Parse("https://dingtalk.test")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		sim: dingtalktest.New(dingtalktest.Options{CorpID: "dingtest", AppKey: "key", AppSecret: canarySecret}),
		cfg: connector.Config{
			Orgs: []connector.Org{{CorpID: "dingtest", AppKeyDigest: schema.Digest([]byte("key")), DingTalk: dingtalk.Config{
				BaseURL: base, CorpID: "dingtest", AppKey: "key", Secret: func() (string, error) { return canarySecret, nil },
				Rate: 1000, EndTime: true,
			}}},
			Kafka: kafka.Config{
				Brokers: kafkatest.Brokers(t), Group: kafkatest.Name(t, "group"), Encoding: "json", CreateTopics: true,
				EventsTopic: kafkatest.Name(t, "employee-left"), StateTopic: kafkatest.Name(t, "state"), QuarantineTopic: kafkatest.Name(t, "quarantine"),
				PartitionKey: schema.PartitionKey,
			},
			Start: connector.StartAt(time.Now().Add(-time.Hour)),
		},
	}
	r.sim.Set(func(s *dingtalktest.Switches) { s.QPS = -1 })
	r.wire.DingTalk = r.sim.Transport()
	return r
}

// check is the report as it is printed, its blanks and line ends squeezed, and the count of its faults and warnings.
func (r *rig) check(t *testing.T) (text string, faults, warnings int) {
	t.Helper()
	text, faults, warnings = r.printed(t)
	return strings.Join(strings.Fields(text), " "), faults, warnings
}

// printed is the report as it is printed.
func (r *rig) printed(t *testing.T) (text string, faults, warnings int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report := operate.Check(ctx, r.cfg, r.wire, slog.New(slog.DiscardHandler))
	var b bytes.Buffer
	if err := report.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, canary := range []string{canarySecret, canaryPerson, dingtalktest.TokenMark, dingtalktest.PageTokenMark} {
		if strings.Contains(b.String(), canary) {
			t.Errorf("I8: %s is reported", canary)
		}
	}
	return b.String(), report.Count(operate.Fault), report.Count(operate.Warning)
}

// TestWhatIsFoundAtDingTalk has one thing out of the ordinary at a time.
func TestWhatIsFoundAtDingTalk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		arrange  func(r *rig)
		faults   int
		warnings int
		says     string
	}{
		{"nothing", func(*rig) {}, 0, 0, "no fault, no warning"},
		{
			"a clock that is behind", func(r *rig) { r.sim.Set(func(s *dingtalktest.Switches) { s.Skew = -10 * time.Minute }) },
			0, 1, "behind this host's",
		},
		{
			"a clock that is ahead", func(r *rig) { r.sim.Set(func(s *dingtalktest.Switches) { s.Skew = 10 * time.Minute }) },
			0, 1, "ahead of this host's",
		},
		{
			"a record that would be quarantined",
			func(r *rig) {
				r.sim.Leave(dingtalktest.Leaver{UserID: "x", LeaveTime: time.Now(), Raw: []byte(`{"name":"` + canaryPerson + `"}`)})
				r.sim.Set(func(s *dingtalktest.Switches) { s.Order = dingtalktest.Descending })
			},
			0, 1, "1 that were shown would be quarantined and not published: userId is missing, leaveTime is missing",
		},
		{
			"no record that can be read",
			func(r *rig) {
				*r = *emptyRig(t)
				for n := range 3 {
					raw := fmt.Appendf(nil, `{"userId":"%d","leaveTime":"23.11.2026 10:00"}`, n)
					r.sim.Leave(dingtalktest.Leaver{UserID: fmt.Sprint(n), LeaveTime: time.Now().Add(-72 * time.Hour), Raw: raw})
				}
			},
			1, 0, "FAULT leave records: 3 that were shown would be quarantined and not published: leaveTime cannot be read",
		},
		{
			"a nextToken that leads to itself", func(r *rig) { r.sim.Set(func(s *dingtalktest.Switches) { s.RepeatToken, s.ShortPages = true, true }) },
			1, 0, "FAULT paging: a page gives the nextToken that it was asked with",
		},
		{
			"a nextToken that is refused", func(r *rig) { r.sim.Set(func(s *dingtalktest.Switches) { s.PageTokenTTL = time.Nanosecond }) },
			1, 0, "FAULT paging: a nextToken that was just given is refused",
		},
		{
			"an endTime that is never sent though it is answered", func(r *rig) { r.cfg.Orgs[0].DingTalk.EndTime = false },
			0, 1, "DINGTALK_END_TIME=always",
		},
		{
			"a start 364 days ago", func(r *rig) { r.cfg.Start = connector.StartAt(time.Now().Add(-364*24*time.Hour - time.Second)) },
			0, 0, "no fault, no warning",
		},
		{
			"a start that may be too old", func(r *rig) { r.cfg.Start = connector.StartAt(time.Now().Add(-400 * 24 * time.Hour)) },
			0, 1, "START is more than 364 days ago",
		},
		{
			"an organisation that it does not know", func(r *rig) { r.cfg.Orgs[0].DingTalk.CorpID = "dingother" },
			1, 0, "correct DINGTALK_CORP_ID",
		},
		{
			"an organisation that it does not know for a moment",
			func(r *rig) {
				f := dingtalktest.Fault{Name: "500 unknownError", Status: 500, Code: "unknownError", On: dingtalktest.TokenCalls}
				r.sim.Fail(f, 2)
			},
			0, 0, "no fault",
		},
		{
			"an app that gets no token of an organisation",
			func(r *rig) {
				f := dingtalktest.Fault{Name: "not for this app", Status: 401, Code: "unauthorized.client", On: dingtalktest.TokenCalls}
				f.When = func(c dingtalktest.Call) bool { return strings.HasSuffix(c.Path, "/token") }
				r.sim.Fail(f, 3)
			},
			0, 1, "cannot be told",
		},
		{
			"a missing permission", func(r *rig) { r.sim.Set(func(s *dingtalktest.Switches) { s.NoPermission = true }) },
			1, 0, "permission missing: ",
		},
		{
			"a fault of a moment", func(r *rig) { r.sim.Fail(dingtalktest.SystemError.Against(dingtalktest.AllCalls), 2) },
			0, 0, "no fault",
		},
		{
			"a fault that lasts", func(r *rig) { r.sim.Fail(dingtalktest.SystemError, 1000) },
			1, 0, "ask again in a few minutes",
		},
		{
			"a fault after the first page",
			func(r *rig) {
				f, n := dingtalktest.BadGateway, 0
				f.When = func(dingtalktest.Call) bool { n++; return n > 3 }
				r.sim.Fail(f, 1000)
			},
			0, 1, "warning behaviour: not all of it could be seen",
		},
		{
			"a permission that is missing for a moment", func(r *rig) { r.sim.Fail(dingtalktest.PermissionDenied, 1) },
			0, 0, "no fault",
		},
		{
			"a nextToken that is refused once",
			func(r *rig) {
				f := dingtalktest.ParameterRefused
				f.When = func(c dingtalktest.Call) bool { return c.Param("nextToken") != "0" }
				r.sim.Fail(f, 1)
			},
			0, 0, "no fault",
		},
		{
			"a limit that passes when it says", func(r *rig) {
				r.sim.Fail(dingtalktest.Fault{Name: "429", Status: 429, Header: http.Header{"Retry-After": {"2"}}}, 1)
			},
			0, 0, "no fault",
		},
		{
			"a permission that is taken away meanwhile",
			func(r *rig) {
				f, n := dingtalktest.PermissionDenied, 0
				f.When = func(dingtalktest.Call) bool { n++; return n > 3 }
				r.sim.Fail(f, 1000)
			},
			1, 0, "FAULT behaviour: not all of it could be seen",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c.arrange(r)
			text, faults, warnings := r.check(t)
			if faults != c.faults || warnings != c.warnings || !strings.Contains(text, c.says) {
				t.Errorf("%d faults and %d warnings, want %d and %d, and %q in it\n%s", faults, warnings, c.faults, c.warnings, c.says, text)
			}
		})
	}
}

// TestWhereTheOrganisationsStand has a state that an earlier run left, with a gap in it.
func TestWhereTheOrganisationsStand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	cp := schema.Checkpoint{
		HighWaterMark: at, ReconciledThrough: at, Floor: at.AddDate(-2, 0, 0), ObservedAt: at, AppKeyDigest: r.cfg.Orgs[0].AppKeyDigest,
		Gaps: []schema.Gap{{Start: at.AddDate(-2, 0, 0), End: at.AddDate(-1, 0, 0)}},
	}
	r.commit(t, kafka.Record{Topic: r.cfg.Kafka.StateTopic, Key: schema.CheckpointKey("dingtest"), Value: cp.JSON()})
	text, faults, warnings := r.check(t)
	for _, says := range []string{"complete through 2024-05-06T07:08:09Z", "gap: DingTalk refused to show who left from 2022-05-06T07:08:09Z to 2023-05-06T07:08:09Z"} {
		if !strings.Contains(text, says) {
			t.Errorf("the report lacks %q\n%s", says, text)
		}
	}
	if faults != 0 || warnings != 1 {
		t.Errorf("%d faults and %d warnings\n%s", faults, warnings, text)
	}

	entry := schema.LedgerEntry{Digest: "d", PublishedAt: at}
	departure := schema.Departure{CorpID: "dingtest", UserID: canaryPerson, LeaveTime: at}
	r.commit(t, kafka.Record{Topic: r.cfg.Kafka.StateTopic, Key: schema.PublishedKey(departure), Value: entry.JSON()})
	r.cfg.Orgs[0].CorpID, r.cfg.Start = "dingmistyped", connector.Start{}
	text, faults, _ = r.check(t)
	for _, says := range []string{"already publishes as organisation dingtest", "START is not set"} {
		if !strings.Contains(text, says) {
			t.Errorf("the report lacks %q\n%s", says, text)
		}
	}
	if faults != 2 {
		t.Errorf("%d faults\n%s", faults, text)
	}

	r.commit(t, kafka.Record{Topic: r.cfg.Kafka.StateTopic, Key: schema.PublishedKey(departure), Value: []byte("?")})
	r.cfg.Orgs[0].CorpID = "dingtest"
	if text, faults, _ = r.check(t); faults != 1 || !strings.Contains(text, "state record published/dingtest cannot be read") {
		t.Errorf("%d faults\n%s", faults, text)
	}
}

// commit writes state as a run would.
func (r *rig) commit(t *testing.T, records ...kafka.Record) {
	t.Helper()
	r.commitFor(t, "dingtest", records...)
}

func (r *rig) commitFor(t *testing.T, corpID string, records ...kafka.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cluster, err := kafka.New(r.cfg.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	session, err := cluster.Open(ctx, cluster.Partition(corpID), func(string, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.Commit(ctx, slices.Values(records)); err != nil {
		t.Fatal(err)
	}
}

// TestACheckThatIsEndedSaysSo reports what it could not look at as a fault.
func TestACheckThatIsEndedSaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report := operate.Check(ctx, r.cfg, r.wire, slog.New(slog.DiscardHandler))
	var b bytes.Buffer
	if err := report.Write(&b); err != nil || report.Count(operate.Fault) < 2 || !strings.Contains(b.String(), "interrupted") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
