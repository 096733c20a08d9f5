package connector_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka"
	"departures/connector/kafka/kafkatest"
	"departures/schema"
)

const (
	benchCorp   = "ding8f2a41c7b3"
	benchKey    = "dingk3y0fth3b3nchm4rk"
	benchSecret = "the-secret-of-the-benchmark"
	// unlimited is a DINGTALK_RATE that nothing comes near.
	unlimited = "1000000"
)

// noLimits is a DingTalk that answers however often it is asked.
var noLimits = dingtalktest.Switches{QPS: -1}

// site is a simulated DingTalk with one company, served over loopback HTTP as a real one would be.
type site struct {
	sim   *dingtalktest.Server
	url   string
	start time.Time // the first leaveTime there is; START of whoever reads it all

	pages   atomic.Int64 // asked for since a child was started
	firstAt atomic.Int64 // when the first of them was, in Unix nanoseconds; 0: not yet
}

// newSite has a company that so many people left, evenly over a span that ended some time ago, and a DingTalk with the given switches. This
// process collects its garbage rarely meanwhile, whatever GOGC and GOMEMLIMIT say to its children: it holds the company, and is no part
// of what is measured.
func newSite(b *testing.B, leavers int, span, ago time.Duration, switches dingtalktest.Switches) *site {
	b.Helper()
	percent, limit := debug.SetGCPercent(400), debug.SetMemoryLimit(math.MaxInt64)
	s := &site{
		start: time.Now().Add(-ago - span).UTC().Truncate(time.Second),
		sim: dingtalktest.New(dingtalktest.Options{
			CorpID: benchCorp, AppKey: benchKey, AppSecret: benchSecret, KeepCalls: 1000, Switches: switches,
		}),
	}
	all := make([]dingtalktest.Leaver, leavers)
	for i := range all {
		all[i] = leaver(i, s.start.Add(span/time.Duration(leavers)*time.Duration(i)))
	}
	s.sim.Leave(all...)
	server := httptest.NewServer(s)
	s.url = server.URL
	b.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
		debug.FreeOSMemory()
	})
	return s
}

// ServeHTTP counts the pages.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/empLeaveRecords") {
		s.firstAt.CompareAndSwap(0, time.Now().UnixNano())
		s.pages.Add(1)
	}
	s.sim.ServeHTTP(w, r)
}

// leaver is somebody with a record of the size that DingTalk shows. The same number is the same person.
func leaver(i int, at time.Time) dingtalktest.Leaver {
	h := scatter(i)
	name := names[h%16] + names[h>>4%16] + names[h>>8%16]
	code, mobile := "86", fmt.Sprintf("1%010d", h>>12%1e10)
	return dingtalktest.Leaver{UserID: userID(i), Name: &name, StateCode: &code, Mobile: &mobile, LeaveTime: at, LeaveReason: "leave"}
}

// userID is the userId of the i-th leaver: digits without an order, and no two alike.
func userID(i int) string { return fmt.Sprintf("%07d%012d", i, scatter(i)%1e12) }

// scatter is a number without an order out of one with.
func scatter(i int) uint64 {
	x := (uint64(i) + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>31) * 0xbf58476d1ce4e5b9
	return x ^ x>>29
}

var names = strings.Split("李 王 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林", " ")

// benchRig is a site, topics of its own on some Kafka, and the environment of a child between them.
type benchRig struct {
	*site
	b       *testing.B
	brokers []string
	events  string
	env     map[string]string
}

// newBenchRig has empty topics, made as the connector makes them.
func newBenchRig(b *testing.B, s *site, brokers []string) *benchRig {
	b.Helper()
	r := &benchRig{site: s, b: b, brokers: brokers, events: kafkatest.Name(b, "employee-left")}
	r.env = map[string]string{
		"DINGTALK_BASE_URL": s.url, "DINGTALK_CORP_ID": benchCorp, "DINGTALK_APP_KEY": benchKey, "DINGTALK_APP_SECRET": benchSecret,
		"DINGTALK_RATE": unlimited, "KAFKA_BROKERS": strings.Join(brokers, ","), "GROUP": kafkatest.Name(b, "group"),
		"EVENTS_TOPIC": r.events, "STATE_TOPIC": kafkatest.Name(b, "state"), "QUARANTINE_TOPIC": kafkatest.Name(b, "quarantine"),
		"START": s.start.Format(time.RFC3339),
	}
	cluster, err := kafka.New(kafka.Config{
		Brokers: brokers, Group: r.env["GROUP"], Encoding: "json", CreateTopics: true, PartitionKey: schema.PartitionKey,
		EventsTopic: r.events, StateTopic: r.env["STATE_TOPIC"], QuarantineTopic: r.env["QUARANTINE_TOPIC"],
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), benchPatience)
	defer cancel()
	if _, err := cluster.Prepare(ctx); err != nil {
		b.Fatal(err)
	}
	return r
}

// startChild starts a child with the rig's environment and the given changes to it, each NAME=value.
func (r *benchRig) startChild(role string, changes ...string) *child {
	r.b.Helper()
	env := maps.Clone(r.env)
	for _, name := range []string{profileEnv, "GOGC", "GOMEMLIMIT", "GODEBUG"} {
		env[name] = os.Getenv(name)
	}
	env[roleEnv] = role
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		env[name] = value
	}
	r.pages.Store(0)
	r.firstAt.Store(0)
	return launchChild(r.b, env)
}

// setting is a change to a child's environment.
func setting(name string, value any) string { return fmt.Sprintf("%s=%v", name, value) }
