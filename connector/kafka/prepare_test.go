package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/kafka/kafkatest"
	"departures/schema"
)

// preparedBy calls Prepare on a cluster of its own.
func preparedBy(t *testing.T, ctx context.Context, cfg Config) (Topics, error) {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c.Prepare(ctx)
}

// refusedFor fails unless err is a refusal that says every one of the words.
func refusedFor(t *testing.T, err error, words ...string) {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Errorf("not refused: %v", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the refusal does not say %q: %v", word, err)
		}
	}
}

// create makes a topic with settings that Prepare would not choose.
func create(t *testing.T, ctx context.Context, cfg Config, topic string, partitions int32, settings map[string]string) {
	t.Helper()
	configs := map[string]*string{}
	for k, v := range settings {
		configs[k] = &v
	}
	adm := admin(t, cfg)
	if _, err := adm.CreateTopic(ctx, partitions, -1, configs, topic); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, "topic "+topic+" has leaders", func() bool {
		meta, err := adm.Metadata(uncached(ctx), topic)
		return err == nil && len(meta.Topics[topic].Partitions) > 0 && led(meta.Topics[topic])
	})
}

// write puts one record into a topic, past the connector.
func write(t *testing.T, ctx context.Context, cfg Config, topic string, partition int32, key string, value []byte) {
	t.Helper()
	cl := outsider(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(key), Value: value}
	if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestPrepareCreatesTopics(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	got, err := preparedBy(t, ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got.Partitions != 12 || len(got.MetaPartitions) > 0 || got.EventsTopicID == "" || got.MaxEventBytes != kgoMaxBatch-batchMargin || got.MaxStateBytes != got.MaxEventBytes {
		t.Errorf("got %+v", got)
	}
	adm := admin(t, cfg)
	for _, want := range []struct {
		topic      string
		partitions int
		policy     string
	}{{cfg.EventsTopic, 12, "delete"}, {cfg.QuarantineTopic, 1, "delete"}, {cfg.StateTopic, 12, "compact"}} {
		meta, err := adm.Metadata(ctx, want.topic)
		if err != nil {
			t.Fatal(err)
		}
		has, err := new(Cluster).settings(ctx, adm, want.topic)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(meta.Topics[want.topic].Partitions); n != want.partitions || has["retention.ms"] != "-1" || has["cleanup.policy"] != want.policy {
			t.Errorf("%s has %d partitions, retention.ms=%s, cleanup.policy=%s", want.topic, n, has["retention.ms"], has["cleanup.policy"])
		}
	}
	again, err := preparedBy(t, ctx, cfg)
	if err != nil || again.EventsTopicID != got.EventsTopicID {
		t.Errorf("a second Prepare: %+v, %v", again, err)
	}
}

func TestPrepareNamesEveryMissingTopicAtOnce(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	cfg.CreateTopics = false
	_, err := preparedBy(t, ctx, cfg)
	refusedFor(t, err, cfg.EventsTopic, cfg.StateTopic, cfg.QuarantineTopic, "CREATE_TOPICS", "EVENTS_TOPIC", "STATE_TOPIC", "QUARANTINE_TOPIC")
	topics, err := admin(t, cfg).ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if topics.Has(cfg.StateTopic) {
		t.Error("a topic was created all the same")
	}
}

func TestPrepareRefusesSettings(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Brokers(t)
	for name, settings := range map[string]map[string]string{
		"a state that is deleted":               {"cleanup.policy": "delete"},
		"a state that is compacted and deleted": {"cleanup.policy": "compact,delete"},
		"a state without a policy of its own":   nil,
		"a state for small records only":        {"cleanup.policy": "compact", "max.message.bytes": "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 20*time.Second)
			cfg := config(t, brokers)
			create(t, ctx, cfg, cfg.StateTopic, 12, settings)
			_, err := preparedBy(t, ctx, cfg)
			refusedFor(t, err, cfg.StateTopic)
		})
	}
}

func TestPrepareWarns(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	log := &testLog{}
	cfg.Log = log.logger()
	create(t, ctx, cfg, cfg.EventsTopic, 3, map[string]string{"retention.ms": "604800000", "min.insync.replicas": "2"})
	if _, err := preparedBy(t, ctx, cfg); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{
		"topic " + cfg.EventsTopic + " forgets":     1,
		"min.insync.replicas":                       1,
		"created topic " + cfg.StateTopic:           1,
		"created topic " + cfg.QuarantineTopic:      1,
		"created topic " + cfg.EventsTopic:          0,
		"topic " + cfg.QuarantineTopic + " forgets": 0,
	} {
		if got := log.lines(text); got != want {
			t.Errorf("%q stands in %d lines of the log, want %d", text, got, want)
		}
	}
}

// metaOf writes a meta record into partition 4, as another program or configuration would have left it.
func metaOf(t *testing.T, ctx context.Context, cfg Config, change func(*schema.Meta)) {
	t.Helper()
	meta, err := admin(t, cfg).Metadata(ctx, cfg.EventsTopic)
	if err != nil {
		t.Fatal(err)
	}
	m := schema.Meta{
		FormatVersion: schema.FormatVersion, MinReaderVersion: schema.FormatVersion, Partitions: 12, Encoding: "json",
		EventsTopic: cfg.EventsTopic, EventsTopicID: topicID(meta.Topics[cfg.EventsTopic].ID), KeyFormat: schema.KeyFormat,
	}
	change(&m)
	write(t, ctx, cfg, cfg.StateTopic, 4, schema.MetaKey, m.JSON())
}

func TestMetaThatDoesNotFit(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Brokers(t)
	for name, row := range map[string]struct {
		change func(*schema.Meta)
		words  []string
	}{
		"written by a newer program":  {func(m *schema.Meta) { m.FormatVersion, m.MinReaderVersion = 9, 9 }, []string{"format 9", "newer version"}},
		"another events topic":        {func(m *schema.Meta) { m.EventsTopic = "elsewhere" }, []string{"elsewhere", "EVENTS_TOPIC", "STATE_TOPIC"}},
		"a recreated events topic":    {func(m *schema.Meta) { m.EventsTopicID = "AAAAAAAAAAAAAAAAAAAAAA" }, []string{"created again", "state init", "not published to it again", "new STATE_TOPIC", "START"}},
		"another encoding":            {func(m *schema.Meta) { m.Encoding = "avro" }, []string{"avro", "ENCODING"}},
		"another form of the key":     {func(m *schema.Meta) { m.KeyFormat = "userId" }, []string{"userId"}},
		"more partitions than it has": {func(m *schema.Meta) { m.Partitions = 24 }, []string{"24", "12", "STATE_TOPIC"}},
		"no meta at all":              {func(m *schema.Meta) { *m = schema.Meta{} }, []string{"meta"}},
		"two things at once":          {func(m *schema.Meta) { m.Encoding, m.KeyFormat = "avro", "userId" }, []string{"avro", "userId"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 20*time.Second)
			cfg := config(t, brokers)
			c := prepared(t, ctx, cfg)
			metaOf(t, ctx, cfg, row.change)
			_, err := preparedBy(t, ctx, cfg)
			refusedFor(t, err, append(row.words, cfg.StateTopic)...)
			_, err = c.Open(ctx, 4, ignore) // prepared before the other one wrote
			refusedFor(t, err, cfg.StateTopic)
		})
	}
}

func TestMetasThatDisagree(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	opened(t, ctx, c, 0)
	metaOf(t, ctx, cfg, func(m *schema.Meta) { m.Partitions = 6 })
	visible(t, ctx, cfg, cfg.StateTopic) // a real broker acknowledges the session's commit before readers see it
	_, err := preparedBy(t, ctx, cfg)
	refusedFor(t, err, "6", "12", cfg.StateTopic)
}

func TestEnlargedStateTopicIsHarmless(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	opened(t, ctx, c, 0)
	before := c.Partition("corp")
	if _, err := admin(t, cfg).CreatePartitions(ctx, 5, cfg.StateTopic); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, "17 partitions", func() bool {
		meta, err := admin(t, cfg).Metadata(uncached(ctx), cfg.StateTopic)
		return err == nil && len(meta.Topics[cfg.StateTopic].Partitions) == 17 && led(meta.Topics[cfg.StateTopic])
	})
	c = prepared(t, ctx, cfg)
	if got := c.topics.Load(); got.Partitions != 12 || len(got.MetaPartitions) != 1 || c.Partition("corp") != before {
		t.Errorf("got %+v, an organisation moved from %d to %d", got, before, c.Partition("corp"))
	}
}

// TestLostState: an events topic that holds something, beside a state that says nothing about it.
func TestLostState(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	create(t, ctx, cfg, cfg.EventsTopic, 3, nil)
	write(t, ctx, cfg, cfg.EventsTopic, 1, "corp/a@1", []byte("left"))
	words := []string{cfg.StateTopic, cfg.EventsTopic, "STATE_TOPIC", "EVENTS_TOPIC", "departures state init", "START"}
	_, err := preparedBy(t, ctx, cfg)
	refusedFor(t, err, words...)
	topics, err := admin(t, cfg).ListTopics(ctx)
	if err != nil || topics.Has(cfg.StateTopic) {
		t.Errorf("a refused start created the state topic (%v)", err)
	}
	create(t, ctx, cfg, cfg.StateTopic, 12, map[string]string{"cleanup.policy": "compact"})
	_, err = preparedBy(t, ctx, cfg)
	refusedFor(t, err, words...)

	cfg.Init = true
	opened(t, ctx, prepared(t, ctx, cfg), 0)
	cfg.Init = false
	got, err := preparedBy(t, ctx, cfg)
	if err != nil || len(got.MetaPartitions) != 1 || got.MetaPartitions[0] != 0 {
		t.Errorf("after state init: %+v, %v", got, err)
	}
}

// TestInitAfterTheEventsTopicWasRecreated: the new meta stands behind the old one in the log, and counts.
func TestInitAfterTheEventsTopicWasRecreated(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	opened(t, ctx, c, 0)
	opened(t, ctx, c, 7)
	adm := admin(t, cfg)
	if _, err := adm.DeleteTopics(ctx, cfg.EventsTopic); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, "the topic is gone", func() bool {
		meta, err := adm.Metadata(uncached(ctx), cfg.EventsTopic)
		return err == nil && meta.Topics[cfg.EventsTopic].Err != nil
	})
	_, err := preparedBy(t, ctx, cfg)
	refusedFor(t, err, "created again", "state init")

	cfg.Init = true
	c = prepared(t, ctx, cfg)
	for _, p := range c.topics.Load().MetaPartitions {
		opened(t, ctx, c, p)
	}
	cfg.Init = false
	if got, err := preparedBy(t, ctx, cfg); err != nil || len(got.MetaPartitions) != 2 {
		t.Errorf("after state init: %+v, %v", got, err)
	}
	opened(t, ctx, prepared(t, ctx, cfg), 0)
}

func TestIllegalSettingsAreRefusedByNew(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"no brokers":           func(c *Config) { c.Brokers = nil },
		"no group":             func(c *Config) { c.Group = "" },
		"no state topic":       func(c *Config) { c.StateTopic = "" },
		"one name for two":     func(c *Config) { c.StateTopic = c.EventsTopic },
		"an unknown codec":     func(c *Config) { c.Compression = "rar" },
		"an unknown mechanism": func(c *Config) { c.Mechanism = "GSSAPI" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, []string{"127.0.0.1:1"})
			change(&cfg)
			if _, err := New(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestEveryCompressionCanBeRead(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	brokers := kafkatest.Brokers(t)
	for _, codec := range []string{"", "gzip", "zstd", "lz4", "snappy", "none"} {
		cfg := config(t, brokers)
		cfg.Compression = codec
		s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
		r := event(cfg, "corp/a@1")
		r.Value = []byte(strings.Repeat("left ", 200))
		if err := s.Commit(ctx, slices.Values([]Record{r})); err != nil {
			t.Errorf("%s: %v", codec, err)
		}
		if got := visible(t, ctx, cfg, cfg.EventsTopic); len(got) != 1 {
			t.Errorf("%s: %d events", codec, len(got))
		}
		s.Close()
	}
}
