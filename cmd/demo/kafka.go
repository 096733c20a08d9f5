package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
)

// answerWithin is how long a real Kafka may take to answer, and later to delete what the demo made.
const answerWithin = 10 * time.Second

// cluster is the Kafka that the demo plays on, and the names that it uses there.
type cluster struct {
	brokers []string
	topics  promisetest.Topics
	group   string
	memory  *kfake.Cluster // nil: a real Kafka
}

// openCluster starts a Kafka in this process, or finds the real one.
func openCluster(ctx context.Context, brokers []string) (*cluster, error) {
	if len(brokers) == 0 {
		memory, err := kafkatest.Start()
		if err != nil {
			return nil, fmt.Errorf("kafka in memory: %w", err)
		}
		return &cluster{
			brokers: memory.ListenAddrs(),
			topics:  promisetest.Topics{Events: "employee-left", Quarantine: "employee-left-quarantine", State: "employee-left-state"},
			group:   "departures",
			memory:  memory,
		}, nil
	}
	// The suffix is unique, or a state of an earlier run would be found beside a company that never was.
	name := "departures-demo-" + strings.ToLower(rand.Text()[:8])
	c := &cluster{
		brokers: brokers,
		topics:  promisetest.Topics{Events: name + "-events", Quarantine: name + "-quarantine", State: name + "-state"},
		group:   name,
	}
	return c, c.admin(ctx, func(ctx context.Context, a *kadm.Client) error {
		_, err := a.ListBrokers(ctx)
		return err
	})
}

// remove deletes what the demo made on a real Kafka.
func (c *cluster) remove(ctx context.Context) error {
	return c.admin(ctx, func(ctx context.Context, a *kadm.Client) error {
		deleted, err := a.DeleteTopics(ctx, c.topics.Events, c.topics.Quarantine, c.topics.State)
		if err == nil {
			err = deleted.Error()
		}
		_, _ = a.DeleteGroup(ctx, c.group) // the broker forgets an empty group by itself
		return err
	})
}

// close ends a Kafka in memory.
func (c *cluster) close() {
	if c.memory != nil {
		c.memory.Close()
	}
}

// admin asks the brokers something, on a client of its own.
func (c *cluster) admin(ctx context.Context, ask func(context.Context, *kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.DisableClientMetrics(), kgo.DialTimeout(answerWithin/2))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := ask(ctx, kadm.NewClient(client)); err != nil {
		return fmt.Errorf("kafka at %s: %w", strings.Join(c.brokers, ","), err)
	}
	return nil
}
