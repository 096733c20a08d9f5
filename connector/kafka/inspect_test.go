package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"departures/connector/kafka/kafkatest"
)

// inspected is what Inspect finds on a cluster of its own.
func inspected(t *testing.T, ctx context.Context, cfg Config) []Finding {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := c.Inspect(ctx)
	return all
}

// of are the findings of one level, for messages too.
func of(level Level, all []Finding) []string {
	var lines []string
	for _, f := range all {
		if f.Level == level {
			lines = append(lines, fmt.Sprintf("%s: %s: %s", f.Level, f.Subject, f.Text))
		}
	}
	return lines
}

// finds fails unless one finding has the subject, the level and every one of the words.
func finds(t *testing.T, all []Finding, subject string, level Level, words ...string) {
	t.Helper()
	for _, f := range all {
		if f.Subject == subject && f.Level == level && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(f.Text, w) }) {
			return
		}
	}
	t.Errorf("no %s of %q says %q, but\n%s", level, subject, words, lines(all))
}

// noFaults fails for each fault.
func noFaults(t *testing.T, all []Finding) {
	t.Helper()
	if faults := of(Fault, all); len(faults) > 0 {
		t.Errorf("%s", strings.Join(faults, "\n"))
	}
}

func lines(all []Finding) string {
	return strings.Join(slices.Concat(of(Fine, all), of(Warning, all), of(Fault, all)), "\n")
}

// TestInspectSaysAllAtOnce: faults of every kind, together.
func TestInspectSaysAllAtOnce(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	cfg.CreateTopics = false
	create(t, ctx, cfg, cfg.EventsTopic, 3, map[string]string{"max.message.bytes": "1000"})
	create(t, ctx, cfg, cfg.StateTopic, 12, map[string]string{"max.message.bytes": "1000"})
	rangeMember(t, ctx, cfg)
	all := inspected(t, ctx, cfg)
	finds(t, all, "topic "+cfg.EventsTopic, Fault, "max.message.bytes", "raise")
	finds(t, all, "topic "+cfg.QuarantineTopic, Fault, "does not exist", "CREATE_TOPICS", "QUARANTINE_TOPIC")
	finds(t, all, "topic "+cfg.StateTopic, Fault, "cleanup.policy", "STATE_TOPIC")
	finds(t, all, "topic "+cfg.StateTopic, Fault, "max.message.bytes", "raise")
	finds(t, all, "group "+cfg.Group, Fault, "range", "GROUP")
}

// rangeMember is another program in the connector's group, with another assignor.
func rangeMember(t *testing.T, ctx context.Context, cfg Config) {
	t.Helper()
	outsider(t, cfg, kgo.ConsumerGroup(cfg.Group), kgo.ConsumeTopics(cfg.StateTopic), kgo.Balancers(kgo.RangeBalancer()))
	adm := admin(t, cfg)
	eventually(t, ctx, "the group has a member", func() bool {
		groups, err := adm.DescribeGroups(ctx, cfg.Group)
		return err == nil && groups[cfg.Group].State == "Stable"
	})
}

func TestInspectSaysWhichTransactionProtocol(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	fake := kafkatest.Fake(t, "versions of its own")
	cfg := config(t, fake.ListenAddrs())
	all := inspected(t, ctx, cfg)
	finds(t, all, "transactions", Fine, "transaction.version=2")
	if warnings := of(Warning, all); len(warnings) > 0 {
		t.Errorf("%q", warnings)
	}

	update := kmsg.NewPtrUpdateFeaturesRequest() // as a cluster is after an upgrade
	feature := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	feature.Feature, feature.MaxVersionLevel, feature.UpgradeType = "transaction.version", 1, 2
	update.FeatureUpdates = append(update.FeatureUpdates, feature)
	if resp, err := update.RequestWith(ctx, outsider(t, cfg)); err != nil || resp.ErrorCode != 0 {
		t.Fatal(resp, err)
	}
	finds(t, inspected(t, ctx, cfg), "transactions", Warning, "transaction.version=1", "KIP-890", "kafka-features.sh upgrade --feature transaction.version=2")

	cfg.Brokers = kafkatest.Fake(t, "", kfake.MaxVersions(kversion.V3_9_0())).ListenAddrs()
	finds(t, inspected(t, ctx, cfg), "transactions", Warning, "transaction.version=0", "KIP-890", "Kafka 4.0")

	cfg.Brokers = kafkatest.Fake(t, "", kfake.BrokerConfigs(map[string]string{"transaction.max.timeout.ms": "5000"})).ListenAddrs()
	finds(t, inspected(t, ctx, cfg), "transactions", Fault, "transaction.max.timeout.ms", "45000", "raise it")
}

// onSimulatedTime gives a cluster whose coordinators are there only so long after somebody asks for them, on a clock that jumps
// ahead whenever everybody waits.
func onSimulatedTime(t *testing.T, absent time.Duration, f func(t *testing.T, cfg Config)) {
	t.Helper()
	if kafkatest.Real() {
		t.Skip("only on kfake: simulated time")
	}
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		fake, err := kafkatest.Start(kfake.ListenFn(network.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer fake.Close()
		there := map[int8]time.Time{}
		fake.ControlKey(int16(kmsg.FindCoordinator), func(r kmsg.Request) (kmsg.Response, error, bool) {
			fake.KeepControl()
			req := r.(*kmsg.FindCoordinatorRequest)
			if there[req.CoordinatorType].IsZero() {
				there[req.CoordinatorType] = time.Now().Add(absent)
			}
			if time.Now().After(there[req.CoordinatorType]) {
				return nil, nil, false
			}
			resp := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
			for _, key := range req.CoordinatorKeys {
				c := kmsg.NewFindCoordinatorResponseCoordinator()
				c.Key, c.NodeID, c.ErrorCode = key, -1, kerr.CoordinatorNotAvailable.Code
				resp.Coordinators = append(resp.Coordinators, c)
			}
			return resp, nil, true
		})
		cfg := config(t, fake.ListenAddrs())
		cfg.Dial = network.DialContext
		f(t, cfg)
	})
}

// TestInspectIsTheFirstUserOfACluster: the internal topics of the coordinators have to be created first.
func TestInspectIsTheFirstUserOfACluster(t *testing.T) {
	t.Parallel()
	onSimulatedTime(t, 3*time.Second, func(t *testing.T, cfg Config) { noFaults(t, inspected(t, t.Context(), cfg)) })
}

// TestCoordinatorsThatNeverCome: a cluster of fewer brokers than its internal topics want replicas.
func TestCoordinatorsThatNeverCome(t *testing.T) {
	t.Parallel()
	onSimulatedTime(t, time.Hour, func(t *testing.T, cfg Config) {
		began := time.Now()
		all := inspected(t, t.Context(), cfg)
		finds(t, all, "transactions", Fault, "transaction.state.log.replication.factor")
		finds(t, all, "group "+cfg.Group, Fault, "offsets.topic.replication.factor")
		if took := time.Since(began); len(of(Fault, all)) != 2 || took > 2*coordinatorBound+5*time.Second {
			t.Errorf("after %v:\n%s", took, lines(all))
		}
	})
}

// snapshot is what a client that knows nothing of the connector sees of what is the connector's.
func snapshot(t *testing.T, ctx context.Context, cfg Config) string {
	t.Helper()
	adm := admin(t, cfg)
	var all strings.Builder
	for _, topic := range []string{cfg.EventsTopic, cfg.StateTopic, cfg.QuarantineTopic} {
		meta, err := adm.Metadata(uncached(ctx), topic)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&all, topic, meta.Topics[topic].ID, len(meta.Topics[topic].Partitions), meta.Topics[topic].Err)
		if meta.Topics[topic].Err != nil {
			continue
		}
		ends, err := adm.ListEndOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		for p := range int32(len(ends[topic])) {
			fmt.Fprint(&all, " ", ends[topic][p].Offset)
		}
		configs, err := adm.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		var settings []string
		for _, c := range configs[0].Configs {
			settings = append(settings, c.Key+"="+c.MaybeValue())
		}
		fmt.Fprintln(&all, sortedStrings(settings))
	}
	var groups kadm.DescribedGroups
	eventually(t, ctx, "the group has a coordinator", func() bool { // the first user of a cluster waits for one
		var err error
		groups, err = adm.DescribeGroups(ctx, cfg.Group)
		return err == nil
	})
	offsets, err := adm.FetchOffsets(ctx, cfg.Group)
	group := groups[cfg.Group]
	fmt.Fprintln(&all, group.State, group.Err, len(group.Members), group.AssignedPartitions(), offsets, err)
	for _, m := range group.Members {
		fmt.Fprintln(&all, m.MemberID)
	}
	return all.String()
}

// TestInspectLeavesEverythingAsItWas: before the first run, and beside an instance that works.
func TestInspectLeavesEverythingAsItWas(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	before := snapshot(t, ctx, cfg)
	all := inspected(t, ctx, cfg)
	noFaults(t, all)
	finds(t, all, "topic "+cfg.StateTopic, Fine, "does not exist", "12 partitions", "cleanup.policy=compact")
	finds(t, all, "state", Fine, "new")
	if after := snapshot(t, ctx, cfg); after != before {
		t.Errorf("before the first run:\n%s\nthen\n%s", before, after)
	}

	c := prepared(t, ctx, cfg)
	a := own(t, ctx, c, nil)
	eventually(t, ctx, "an instance owns everything", func() bool { return shared(a) })
	s, _ := opened(t, ctx, c, 3)
	if err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "checkpoint/corp", "1")})); err != nil {
		t.Fatal(err)
	}
	before = snapshot(t, ctx, cfg)
	all = inspected(t, ctx, cfg)
	noFaults(t, all)
	finds(t, all, "state", Fine, "1 of 12 partitions")
	finds(t, all, "group "+cfg.Group, Fine, "1 in it", "departures at")
	if after := snapshot(t, ctx, cfg); after != before {
		t.Errorf("beside an instance:\n%s\nthen\n%s", before, after)
	}
	if err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/b@1"), state(cfg, "checkpoint/corp", "2")})); err != nil {
		t.Errorf("the session beside it: %v", err)
	}
	if !shared(a) || a.failure() != nil {
		t.Errorf("the instance beside it owns %v, %v", a.has(), a.failure())
	}
	visible(t, ctx, cfg, cfg.StateTopic) // a real broker acknowledges the commit before readers see it
	checkpoints := 0
	reader, err := New(cfg) // never prepared
	if err != nil {
		t.Fatal(err)
	}
	found, state := reader.Inspect(ctx)
	noFaults(t, found)
	if state != StateFound {
		t.Errorf("the state topic is %v", state)
	}
	if err := reader.ReadState(ctx, nil, func(_ int32, key string, _ []byte) error {
		if key == "checkpoint/corp" {
			checkpoints++
		}
		return nil
	}); err != nil || checkpoints != 2 {
		t.Errorf("%d checkpoints, %v", checkpoints, err)
	}
}

// TestInspectOnlyAsks looks at every request that reaches the broker.
func TestInspectOnlyAsks(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	fake := kafkatest.Fake(t, "requests are looked at")
	cfg := config(t, fake.ListenAddrs())
	check := func(r kmsg.Request) error {
		switch r := r.(type) {
		case *kmsg.ApiVersionsRequest, *kmsg.MetadataRequest, *kmsg.FindCoordinatorRequest, *kmsg.DescribeConfigsRequest, *kmsg.DescribeGroupsRequest,
			*kmsg.ListOffsetsRequest, *kmsg.FetchRequest:
			return nil
		case *kmsg.InitProducerIDRequest:
			if r.TransactionalID != nil && *r.TransactionalID == cfg.StateTopic+"-check" {
				return nil
			}
		case *kmsg.CreateTopicsRequest:
			if r.ValidateOnly {
				return nil
			}
		case *kmsg.HeartbeatRequest:
			if r.MemberID == "departures-check" {
				return nil
			}
		}
		return fmt.Errorf("%s: %+v", kmsg.NameForKey(r.Key()), r)
	}
	inspect := func() {
		t.Helper()
		var mu sync.Mutex
		watching, seen := true, 0
		fake.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
			mu.Lock()
			defer mu.Unlock()
			if !watching {
				return nil, nil, false
			}
			fake.KeepControl()
			seen++
			if err := check(r); err != nil {
				t.Error(err)
			}
			return nil, nil, false
		})
		noFaults(t, inspected(t, ctx, cfg))
		mu.Lock()
		defer mu.Unlock()
		watching = false
		if seen < 10 {
			t.Errorf("only %d requests were seen", seen)
		}
	}
	inspect()
	opened(t, ctx, prepared(t, ctx, cfg), 3)
	inspect()
}

// TestInspectOnAFrozenBroker: it ends soon after its context, whatever is being asked when the broker stops answering, and says
// that it was not done.
func TestInspectOnAFrozenBroker(t *testing.T) {
	t.Parallel()
	for _, key := range []kmsg.Key{
		kmsg.ApiVersions, kmsg.Metadata, kmsg.InitProducerID, kmsg.ListOffsets, kmsg.DescribeConfigs, kmsg.Fetch, kmsg.DescribeGroups,
	} {
		t.Run("at "+key.Name(), func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 40*time.Second)
			c, _, cutter := frozen(t, ctx)
			opened(t, ctx, c, 3)
			stopped, stop := context.WithCancel(ctx)
			cutter.OnCut(func(int16) {
				cutter.Heal()
				cutter.Freeze()
				time.AfterFunc(300*time.Millisecond, stop)
			})
			cutter.CutAt(1, kafkatest.NotApplied, int16(key))
			var all []Finding
			returnsWithin(t, 2*stopBound, "inspect", func() { all, _ = c.Inspect(stopped) })
			finds(t, all, "kafka", Fault, "before it had looked at everything")
			if faults := of(Fault, all); len(faults) != 1 {
				t.Errorf("the end of the context is no fault of Kafka's: %q", faults)
			}
		})
	}
	t.Run("without a signal", func(t *testing.T) {
		t.Parallel()
		ctx := within(t, 40*time.Second)
		c, _, cutter := frozen(t, ctx)
		cutter.Freeze()
		var all []Finding
		returnsWithin(t, reachBound+stopBound, "inspect", func() { all, _ = c.Inspect(ctx) })
		finds(t, all, "brokers", Fault, "takes connections and does not answer")
	})
}
