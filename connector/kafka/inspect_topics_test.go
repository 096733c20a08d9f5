package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"departures/connector/kafka/kafkatest"
	"departures/schema"
)

// deleted deletes a topic and waits until it is gone.
func deleted(t *testing.T, ctx context.Context, cfg Config, topic string) {
	t.Helper()
	adm := admin(t, cfg)
	if _, err := adm.DeleteTopics(ctx, topic); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, "the topic is gone", func() bool {
		meta, err := adm.Metadata(uncached(ctx), topic)
		return err == nil && meta.Topics[topic].Err != nil
	})
}

// situations are those that Prepare meets.
func situations(t *testing.T) map[string]func(t *testing.T, ctx context.Context, cfg *Config) {
	used := func(t *testing.T, ctx context.Context, cfg *Config) {
		s, _ := opened(t, ctx, prepared(t, ctx, *cfg), 4)
		if err := s.Commit(ctx, slices.Values([]Record{event(*cfg, "corp/a@1"), state(*cfg, "checkpoint/corp", "1")})); err != nil {
			t.Fatal(err)
		}
	}
	stateTopic := func(settings map[string]string) func(*testing.T, context.Context, *Config) {
		return func(t *testing.T, ctx context.Context, cfg *Config) {
			create(t, ctx, *cfg, cfg.StateTopic, 12, settings)
		}
	}
	meta := func(change func(*schema.Meta)) func(*testing.T, context.Context, *Config) {
		return func(t *testing.T, ctx context.Context, cfg *Config) {
			prepared(t, ctx, *cfg)
			metaOf(t, ctx, *cfg, change)
		}
	}
	lost := func(t *testing.T, ctx context.Context, cfg *Config) {
		create(t, ctx, *cfg, cfg.EventsTopic, 3, nil)
		write(t, ctx, *cfg, cfg.EventsTopic, 1, "corp/a@1", []byte("left"))
	}
	return map[string]func(*testing.T, context.Context, *Config){
		"nothing there yet":               func(*testing.T, context.Context, *Config) {},
		"nothing there, none is created":  func(_ *testing.T, _ context.Context, cfg *Config) { cfg.CreateTopics = false },
		"prepared":                        func(t *testing.T, ctx context.Context, cfg *Config) { prepared(t, ctx, *cfg) },
		"prepared, and none is created":   func(t *testing.T, ctx context.Context, cfg *Config) { prepared(t, ctx, *cfg); cfg.CreateTopics = false },
		"in use":                          used,
		"in use, by another form of init": func(t *testing.T, ctx context.Context, cfg *Config) { used(t, ctx, cfg); cfg.Init = true },
		"one topic missing, none is created": func(t *testing.T, ctx context.Context, cfg *Config) {
			prepared(t, ctx, *cfg)
			deleted(t, ctx, *cfg, cfg.QuarantineTopic)
			cfg.CreateTopics = false
		},
		"an illegal name":                       func(_ *testing.T, _ context.Context, cfg *Config) { cfg.EventsTopic = "employee left" },
		"a state that is deleted":               stateTopic(map[string]string{"cleanup.policy": "delete"}),
		"a state that is compacted and deleted": stateTopic(map[string]string{"cleanup.policy": "compact,delete"}),
		"a state without a policy of its own":   stateTopic(nil),
		"a state for small records only":        stateTopic(map[string]string{"cleanup.policy": "compact", "max.message.bytes": "1000"}),
		"a state as it should be":               stateTopic(map[string]string{"cleanup.policy": "compact"}),
		"events that are forgotten": func(t *testing.T, ctx context.Context, cfg *Config) {
			create(t, ctx, *cfg, cfg.EventsTopic, 3, map[string]string{"retention.ms": "604800000", "min.insync.replicas": "2"})
		},
		"a meta as it should be":               meta(func(*schema.Meta) {}),
		"a meta of a newer program":            meta(func(m *schema.Meta) { m.FormatVersion, m.MinReaderVersion = 9, 9 }),
		"a meta of another events topic":       meta(func(m *schema.Meta) { m.EventsTopic = "elsewhere" }),
		"a meta of a recreated events topic":   meta(func(m *schema.Meta) { m.EventsTopicID = "AAAAAAAAAAAAAAAAAAAAAA" }),
		"a meta of another encoding":           meta(func(m *schema.Meta) { m.Encoding = "avro" }),
		"a meta of another form of the key":    meta(func(m *schema.Meta) { m.KeyFormat = "userId" }),
		"a meta of more partitions":            meta(func(m *schema.Meta) { m.Partitions = 24 }),
		"a meta that says nothing":             meta(func(m *schema.Meta) { *m = schema.Meta{} }),
		"a meta without the events topic's id": meta(func(m *schema.Meta) { m.EventsTopicID = "" }),
		"metas that disagree": func(t *testing.T, ctx context.Context, cfg *Config) {
			opened(t, ctx, prepared(t, ctx, *cfg), 0)
			metaOf(t, ctx, *cfg, func(m *schema.Meta) { m.Partitions = 6 })
		},
		"an enlarged state": func(t *testing.T, ctx context.Context, cfg *Config) {
			used(t, ctx, cfg)
			if _, err := admin(t, *cfg).CreatePartitions(ctx, 5, cfg.StateTopic); err != nil {
				t.Fatal(err)
			}
			eventually(t, ctx, "17 partitions", func() bool {
				meta, err := admin(t, *cfg).Metadata(uncached(ctx), cfg.StateTopic)
				return err == nil && len(meta.Topics[cfg.StateTopic].Partitions) == 17 && led(meta.Topics[cfg.StateTopic])
			})
		},
		"events without a state topic": lost,
		"events beside an empty state": func(t *testing.T, ctx context.Context, cfg *Config) {
			lost(t, ctx, cfg)
			create(t, ctx, *cfg, cfg.StateTopic, 12, map[string]string{"cleanup.policy": "compact"})
		},
		"events without a state topic, and init": func(t *testing.T, ctx context.Context, cfg *Config) { lost(t, ctx, cfg); cfg.Init = true },
		"a state whose events topic is gone": func(t *testing.T, ctx context.Context, cfg *Config) {
			used(t, ctx, cfg)
			deleted(t, ctx, *cfg, cfg.EventsTopic)
		},
		"a state whose events topic is gone, and init": func(t *testing.T, ctx context.Context, cfg *Config) {
			used(t, ctx, cfg)
			deleted(t, ctx, *cfg, cfg.EventsTopic)
			cfg.Init = true
		},
		"a state whose events topic was created again": func(t *testing.T, ctx context.Context, cfg *Config) {
			used(t, ctx, cfg)
			deleted(t, ctx, *cfg, cfg.EventsTopic)
			create(t, ctx, *cfg, cfg.EventsTopic, 3, nil)
		},
	}
}

// TestInspectJudgesAsPrepareDoes: it has a fault wherever Prepare refuses, in the same words, and none where Prepare does not.
func TestInspectJudgesAsPrepareDoes(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Brokers(t)
	for name, arrange := range situations(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			cfg := config(t, brokers)
			arrange(t, ctx, &cfg)
			before := inspected(t, ctx, cfg)
			_, err := preparedBy(t, ctx, cfg)
			faults := of(Fault, before)
			if (err != nil) != (len(faults) > 0) {
				t.Errorf("Prepare says %v, and\n%s", err, lines(before))
			}
			for _, f := range before {
				if f.Level == Fine && findings(before).faulty(f.Subject) {
					t.Errorf("%s is fine and faulty:\n%s", f.Subject, lines(before))
				}
			}
			if err == nil {
				return
			}
			refusedFor(t, err)
			for _, f := range faults { // up to the id of an events topic that Prepare created before it refused
				if words, _, _ := strings.Cut(f, "(id "); !strings.Contains(err.Error(), strings.SplitN(words, ": ", 3)[2]) {
					t.Errorf("only an inspection says %q, Prepare says %v", f, err)
				}
			}
		})
	}
}

// rightsLess are ACLs with all rights but one operation on one of them.
func rightsLess(cfg Config, name string, without kmsg.ACLOperation) []kfake.ACL {
	var acls []kfake.ACL
	for n, r := range rights(cfg) {
		for _, operation := range r.operations {
			if n != name || operation != without {
				acls = append(acls, kfake.ACL{Resource: r.resource, Name: r.name, Pattern: r.pattern, Operation: operation, Allow: true})
			}
		}
	}
	return acls
}

// TestInspectNamesTheMissingRight: each right is taken away once, before the first run and beside what is there.
func TestInspectNamesTheMissingRight(t *testing.T) {
	t.Parallel()
	words := map[kmsg.ACLOperation]string{
		kmsg.ACLOperationRead: "grant Read", kmsg.ACLOperationWrite: "grant Write", kmsg.ACLOperationCreate: "grant Create",
		kmsg.ACLOperationDescribeConfigs: "grant DescribeConfigs",
	}
	for _, there := range []bool{false, true} {
		for name, r := range rights(config(t, nil)) {
			for _, operation := range append(r.operations, kmsg.ACLOperationUnknown) { // the last: nothing is missing
				t.Run(fmt.Sprintf("topics there %v, without %s %v", there, name, operation), func(t *testing.T) {
					t.Parallel()
					ctx := within(t, 30*time.Second)
					cfg := config(t, nil)
					r := rights(cfg)[name]
					fake := kafkatest.Fake(t, "users of its own", kfake.EnableSASL(), kfake.EnableACLs(),
						kfake.Superuser("PLAIN", "admin", "right"),
						kfake.User("PLAIN", "connector", "right", rightsLess(cfg, name, operation)...))
					cfg.Brokers = fake.ListenAddrs()
					cfg.Mechanism, cfg.Username, cfg.Password = "PLAIN", "admin", "right"
					if there {
						opened(t, ctx, prepared(t, ctx, cfg), 3)
					}
					cfg.Username = "connector"
					all := inspected(t, ctx, cfg)
					if operation == kmsg.ACLOperationUnknown || there && operation == kmsg.ACLOperationCreate {
						if len(of(Fault, all))+len(of(Warning, all)) > 0 {
							t.Errorf("nothing is missing:\n%s", lines(all))
						}
						return
					}
					subject := map[kmsg.ACLResourceType]string{
						kmsg.ACLResourceTypeTopic: "topic " + r.name, kmsg.ACLResourceTypeGroup: "group " + r.name,
						kmsg.ACLResourceTypeTransactionalId: "transactions",
					}[r.resource]
					finds(t, all, subject, Fault, words[operation], r.name)
					if faults := of(Fault, all); len(faults) != 1 {
						t.Errorf("one right is missing:\n%s", strings.Join(faults, "\n"))
					}
				})
			}
		}
	}
}

// TestGroupThatMayOnlyBeSeen: Describe is not Read.
func TestGroupThatMayOnlyBeSeen(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, nil)
	seen := kfake.ACL{Resource: kmsg.ACLResourceTypeGroup, Name: cfg.Group, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true}
	fake := kafkatest.Fake(t, "users of its own", kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.User("PLAIN", "connector", "right", append(rightsLess(cfg, "group", kmsg.ACLOperationRead), seen)...))
	cfg.Brokers, cfg.Mechanism, cfg.Username, cfg.Password = fake.ListenAddrs(), "PLAIN", "connector", "right"
	finds(t, inspected(t, ctx, cfg), "group "+cfg.Group, Fault, "grant Read on Group "+cfg.Group)
}

// TestRightsThatCannotBeTold: a broker that says nothing about them (Kafka below 2.3) is not taken to allow them.
func TestRightsThatCannotBeTold(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Fake(t, "an old version", kfake.MaxVersions(kversion.V2_2_0())).ListenAddrs())
	prepared(t, ctx, cfg)
	all := inspected(t, ctx, cfg)
	noFaults(t, all)
	finds(t, all, "topic "+cfg.StateTopic, Warning, "does not say which rights", "grant Read, Write on Topic "+cfg.StateTopic)
	finds(t, all, "topic "+cfg.EventsTopic, Warning, "does not say which rights", "grant Write on Topic "+cfg.EventsTopic)
	finds(t, all, "group "+cfg.Group, Warning, "does not say", "grant Read on Group")
	finds(t, all, "transactions", Warning, "KIP-890", "Kafka 4.0")
}

// TestATopicThatCannotBeAStateIsNotRead: under a mistyped name there may be anything.
func TestATopicThatCannotBeAStateIsNotRead(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	fake := kafkatest.Fake(t, "requests are looked at")
	cfg := config(t, fake.ListenAddrs())
	create(t, ctx, cfg, cfg.StateTopic, 1, nil)
	write(t, ctx, cfg, cfg.StateTopic, 0, "k", []byte("v"))
	fake.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		t.Error("it was read")
		return nil, nil, false
	})
	finds(t, inspected(t, ctx, cfg), "topic "+cfg.StateTopic, Fault, "cleanup.policy")
	_, err := preparedBy(t, ctx, cfg)
	refusedFor(t, err, "cleanup.policy")
}

// TestPartitionsWithoutALeader: said at once, and without waiting for one.
func TestPartitionsWithoutALeader(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	fake := kafkatest.Fake(t, "an answer of its own")
	cfg := config(t, fake.ListenAddrs())
	prepared(t, ctx, cfg)
	known, err := admin(t, cfg).Metadata(uncached(ctx), cfg.EventsTopic)
	if err != nil {
		t.Fatal(err)
	}
	fake.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		asked := r.(*kmsg.MetadataRequest).Topics
		if len(asked) != 1 || *asked[0].Topic != cfg.EventsTopic {
			return nil, nil, false
		}
		return withoutLeader(r.(*kmsg.MetadataRequest), known, cfg.EventsTopic), nil, true
	})
	var all []Finding
	returnsWithin(t, 5*time.Second, "inspect", func() { all = inspected(t, ctx, cfg) })
	finds(t, all, "topic "+cfg.EventsTopic, Fault, "[1] have no leader")
	finds(t, all, "topic "+cfg.EventsTopic, Fault, "[2] have fewer replicas in sync than min.insync.replicas=1")
}

// withoutLeader is the answer for a topic of three partitions: one as it should be, one that nobody leads, and one that is led
// while no replica is in sync.
func withoutLeader(r *kmsg.MetadataRequest, known kadm.Metadata, topic string) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.MetadataResponse)
	resp.ControllerID = known.Controller
	for _, b := range known.Brokers {
		resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: b.NodeID, Host: b.Host, Port: b.Port})
	}
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.TopicID, t.AuthorizedOperations = &topic, known.Topics[topic].ID, 0x0ffc
	for n, row := range []struct {
		leader int32
		isr    []int32
	}{{0, []int32{0}}, {-1, nil}, {0, nil}} {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.Replicas, p.ISR = int32(n), row.leader, []int32{0}, row.isr
		t.Partitions = append(t.Partitions, p)
	}
	resp.Topics = append(resp.Topics, t)
	return resp
}

// TestStrangersUnderOurNames: what bears a name of ours and is somebody else's.
func TestStrangersUnderOurNames(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	create(t, ctx, cfg, cfg.StateTopic, 3, map[string]string{"cleanup.policy": "compact"})
	finds(t, inspected(t, ctx, cfg), "state", Fine, "new")
	write(t, ctx, cfg, cfg.StateTopic, 1, "somebody's", []byte("v"))

	elsewhere := cfg.StateTopic + "-elsewhere"
	create(t, ctx, cfg, elsewhere, 1, nil)
	joined := outsider(t, cfg, kgo.ConsumerGroup(cfg.Group), kgo.ConsumeTopics(elsewhere), kgo.Balancers(kgo.CooperativeStickyBalancer()))
	eventually(t, ctx, "the group has a member", func() bool {
		groups, err := kadm.NewClient(joined).DescribeGroups(ctx, cfg.Group)
		return err == nil && groups[cfg.Group].State == "Stable"
	})
	all := inspected(t, ctx, cfg)
	finds(t, all, "state", Warning, cfg.StateTopic, "not empty", "correct STATE_TOPIC")
	finds(t, all, "group "+cfg.Group, Fault, "something else", "correct GROUP")
}

// TestReplicas: how many there are, against what is asked for.
func TestReplicas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		brokers, replicas int
		minInsync         string
		says              string // "": nothing
	}{
		{1, 1, "1", ""},
		{3, 3, "2", ""},
		{3, 1, "1", "one replica on a cluster of 3 brokers"},
		{3, 2, "1", "make it 3 replicas"},
		{3, 3, "1", "set min.insync.replicas to 2"},
		{3, 1, "2", "fewer replicas (1) than min.insync.replicas=2"},
	} {
		t.Run(fmt.Sprintf("%d brokers, %d replicas, min.insync %s", c.brokers, c.replicas, c.minInsync), func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			cfg := config(t, kafkatest.Fake(t, "so many brokers", kfake.NumBrokers(c.brokers)).ListenAddrs())
			configs := map[string]*string{"min.insync.replicas": &c.minInsync, "retention.ms": kadm.StringPtr("-1")}
			if _, err := admin(t, cfg).CreateTopic(ctx, 1, int16(c.replicas), configs, cfg.EventsTopic); err != nil {
				t.Fatal(err)
			}
			all := inspected(t, ctx, cfg)
			if c.says != "" {
				finds(t, all, "topic "+cfg.EventsTopic, Warning, c.says)
				return
			}
			if warned := strings.Join(of(Warning, all), "\n"); strings.Contains(warned, cfg.EventsTopic) {
				t.Errorf("warned for nothing: %s", warned)
			}
		})
	}
}
