package kafka

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

// setLimit gives a topic another max.message.bytes and waits until it is shown.
func setLimit(t *testing.T, ctx context.Context, c *Cluster, topic string, n int) {
	t.Helper()
	adm, value := admin(t, c.cfg), strconv.Itoa(n)
	if _, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: &value}}, topic); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, "the new max.message.bytes is shown", func() bool {
		has, err := c.settings(ctx, adm, topic)
		return err == nil && has["max.message.bytes"] == value
	})
}

// sized is an event of exactly so many bytes by Record.Size, which no codec makes smaller.
func sized(cfg Config, key string, size int) Record {
	r := event(cfg, key)
	r.Value = make([]byte, size-r.Size()+len(r.Value))
	rand.Read(r.Value)
	return r
}

// TestLimitsThatChange: a topic's max.message.bytes is lowered and raised while the program runs.
func TestLimitsThatChange(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	cfg.Compression = "none"
	c := prepared(t, ctx, cfg)
	found := *c.topics.Load()
	for n, limit := range []int{6000, 50_000} {
		setLimit(t, ctx, c, cfg.EventsTopic, limit)
		s, _ := opened(t, ctx, c, 0)
		got := s.Topics()
		if got.MaxEventBytes != limit-batchMargin || got.MaxStateBytes != found.MaxStateBytes ||
			got.MaxQuarantineBytes != found.MaxQuarantineBytes || got.Partitions != 12 {
			t.Errorf("max.message.bytes is %d, the session goes by %+v", limit, got)
		}
		full := sized(cfg, "corp/full@"+strconv.Itoa(n), got.MaxEventBytes)
		second := sized(cfg, full.Key, got.MaxEventBytes) // the same partition, and not the same batch
		if err := s.Commit(ctx, slices.Values([]Record{full, second, state(cfg, "checkpoint/corp", "1")})); err != nil {
			t.Errorf("max.message.bytes is %d: %v", limit, err)
		}
		err := s.Commit(ctx, slices.Values([]Record{sized(cfg, "corp/more@1", got.MaxEventBytes+1)}))
		if err == nil || !strings.Contains(err.Error(), "too many") {
			t.Errorf("a record above the new limit of %d: %v", limit, err)
		}
		s.Close()
	}
	if n := len(visible(t, ctx, cfg, cfg.EventsTopic)); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
}

func TestLimitThatBecameTooSmall(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	setLimit(t, ctx, c, cfg.StateTopic, 1000)
	_, err := c.Open(ctx, 0, ignore)
	refusedFor(t, err, cfg.StateTopic, "max.message.bytes=1000", "raise it to 4096")
}

// TestRightThatWasTakenAway: DescribeConfigs on one topic is missing when the next session opens.
func TestRightThatWasTakenAway(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"events", "quarantine", "state"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 20*time.Second)
			fake := kafkatest.Fake(t, "the right is taken away by an injected answer")
			cfg := config(t, fake.ListenAddrs())
			c := prepared(t, ctx, cfg)
			topic := map[string]string{"events": cfg.EventsTopic, "quarantine": cfg.QuarantineTopic, "state": cfg.StateTopic}[which]
			fake.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
				fake.KeepControl()
				asked := req.(*kmsg.DescribeConfigsRequest).Resources
				if len(asked) != 1 || asked[0].ResourceName != topic {
					return nil, nil, false
				}
				answer := kmsg.NewDescribeConfigsResponseResource()
				answer.ErrorCode, answer.ResourceType, answer.ResourceName = kerr.TopicAuthorizationFailed.Code, asked[0].ResourceType, topic
				resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
				resp.Resources = append(resp.Resources, answer)
				return resp, nil, true
			})
			_, err := c.Open(ctx, 0, ignore)
			refusedFor(t, err, "grant DescribeConfigs on Topic "+topic)
		})
	}
}
