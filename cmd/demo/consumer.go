package main

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// event is what the consumer needs of an EmployeeLeft.
type event struct {
	UserID      string    `json:"userId"`
	Name        string    `json:"name"`
	LeaveReason string    `json:"leaveReason"`
	LeaveTime   time.Time `json:"leaveTime"`
}

// consumer reads the events topic at read_committed, as any consumer would: it knows brokers, topic and JSON.
type consumer struct {
	client   *kgo.Client
	screen   *screen
	log      *slog.Logger
	distinct atomic.Int64 // how many keys it has seen
}

func newConsumer(brokers []string, topic string, s *screen, log *slog.Logger) (*consumer, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("demo-consumer"),
		kgo.DisableClientMetrics(),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(250*time.Millisecond),
		// The connector is about to create the topic: look for it often, and see it soon.
		kgo.MetadataMinAge(50*time.Millisecond),
		kgo.MetadataMaxAge(500*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	return &consumer{client: client, screen: s, log: log}, nil
}

// run shows each event until ctx ends.
func (c *consumer) run(ctx context.Context) {
	defer c.client.Close()
	seen := map[string]bool{}
	for {
		fetches := c.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) { c.log.Debug("consumer: not yet", "err", err) })
		for _, r := range byLeaveTime(fetches.Records()) {
			key := string(r.record.Key)
			c.screen.event(r.event, time.Now(), seen[key])
			seen[key] = true
		}
		c.distinct.Store(int64(len(seen)))
	}
}

type read struct {
	record *kgo.Record
	event  event
}

// byLeaveTime puts what came with one fetch, from all partitions, into the order in which people left.
func byLeaveTime(records []*kgo.Record) []read {
	all := make([]read, len(records))
	for i, r := range records {
		all[i].record = r
		if json.Unmarshal(r.Value, &all[i].event) != nil {
			all[i].event.Name = "not readable"
		}
	}
	slices.SortStableFunc(all, func(a, b read) int {
		return cmp.Or(a.event.LeaveTime.Compare(b.event.LeaveTime), cmp.Compare(a.event.UserID, b.event.UserID))
	})
	return all
}
