package kafka

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"departures/connector/kafka/kafkatest"
	"departures/schema"
)

// TestMain lets many tests run at once: they wait for a broker most of the time. At the end no goroutine may be left.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// within bounds a whole test; hardly any comes near. A real broker makes topics slowly, and many tests share it.
func within(t testing.TB, d time.Duration) context.Context {
	if kafkatest.Real() {
		d *= 4
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// config is a configuration whose names no other test uses.
func config(t testing.TB, brokers []string) Config {
	cfg := Config{
		Brokers: brokers, Group: kafkatest.Name(t, "departures"), Instance: t.Name(), CreateTopics: true, Encoding: "json",
		EventsTopic:     kafkatest.Name(t, "employee-left"),
		StateTopic:      kafkatest.Name(t, "employee-left-state"),
		QuarantineTopic: kafkatest.Name(t, "employee-left-quarantine"),
		PartitionKey:    schema.PartitionKey,
		Log:             new(testLog).logger(),
	}
	if s := kafkatest.SecuredSide(t, brokers); s != nil {
		cfg.Brokers, cfg.Dial = s.Brokers, kafkatest.Dial
		cfg.Mechanism, cfg.Username, cfg.Password = s.Env["KAFKA_SASL_MECHANISM"], s.Env["KAFKA_SASL_USERNAME"], s.Password
		s.Grant(t, kafkatest.Rights(kafkatest.Names{Events: cfg.EventsTopic, Quarantine: cfg.QuarantineTopic, State: cfg.StateTopic, Group: cfg.Group})...)
	}
	return cfg
}

// prepared is a cluster on its own topics, ready to be used.
func prepared(t testing.TB, ctx context.Context, cfg Config) *Cluster {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// opened is a session that is closed with the test.
func opened(t testing.TB, ctx context.Context, c *Cluster, partition int32) (*Session, []string) {
	t.Helper()
	var restored []string
	s, err := c.Open(ctx, partition, func(key string, value []byte) error {
		restored = append(restored, keyValue(key, value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, restored
}

func ignore(string, []byte) error { return nil }

// keyValue is a record in a form that can be compared and read.
func keyValue(key string, value []byte) string {
	if value == nil {
		return key + " deleted"
	}
	return key + "=" + string(value)
}

// visible is what a read_committed reader that knows nothing of the connector sees in a topic.
func visible(t *testing.T, ctx context.Context, cfg Config, topic string) []string {
	t.Helper()
	records, err := kafkatest.ReadCommitted(ctx, cfg.Brokers, topic)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, r := range records {
		seen = append(seen, keyValue(string(r.Key), r.Value))
	}
	return seen
}

// visibleState is the same for the state topic, without session and meta records.
func visibleState(t *testing.T, ctx context.Context, cfg Config) []string {
	t.Helper()
	var seen []string
	for _, s := range visible(t, ctx, cfg, cfg.StateTopic) {
		if !strings.HasPrefix(s, schema.SessionKey+"=") && !strings.HasPrefix(s, schema.MetaKey+"=") {
			seen = append(seen, s)
		}
	}
	return seen
}

// outsider is a client without options of the connector.
func outsider(t testing.TB, cfg Config, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(kafkatest.OpenSide(cfg.Brokers)...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(100 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func admin(t testing.TB, cfg Config) *kadm.Client { return kadm.NewClient(outsider(t, cfg)) }

// event and state are records of one departure.
func event(cfg Config, key string) Record {
	return Record{Topic: cfg.EventsTopic, Key: key, Value: []byte("left"), Headers: []schema.Header{{Key: "ce_id", Value: key}}}
}

func state(cfg Config, key, value string) Record {
	return Record{Topic: cfg.StateTopic, Key: key, Value: []byte(value)}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, ctx context.Context, what string, holds func() bool) {
	t.Helper()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not in time", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// testLog keeps what is logged.
type testLog struct {
	mu   sync.Mutex
	text []string
}

func (l *testLog) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Write takes one line.
func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, string(p))
	return len(p), nil
}

// lines is how many lines say something.
func (l *testLog) lines(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.text {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// returnsWithin fails when f takes longer.
func returnsWithin(t *testing.T, bound time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		t.Logf("%s returned after %v", what, time.Since(began).Round(time.Millisecond))
	case <-time.After(bound):
		t.Fatalf("%s has not returned after %v", what, bound)
	}
}

func diff(got, want []string) string {
	if fmt.Sprint(got) == fmt.Sprint(want) {
		return ""
	}
	return fmt.Sprintf("\n got  %q\n want %q", got, want)
}

func sortedStrings(s []string) []string {
	slices.Sort(s)
	return s
}
