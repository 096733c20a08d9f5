package main

import (
	"net/url"
	"time"

	"departures/connector"
	"departures/connector/dingtalk"
	"departures/connector/kafka"
	"departures/schema"
)

const (
	// pollInterval is shorter than anybody needs: on a screen, a second is long.
	pollInterval = 250 * time.Millisecond
	// rate is what DingTalk's standard edition allows, in calls a second. A year is 52 windows, so it lasts a few seconds to the
	// last of them: time to read, and to be cut off in.
	rate = 20
)

// configFor is the connector's configuration, the same for every instance.
func configFor(c *cluster, start connector.Start) connector.Config {
	return connector.Config{
		Orgs: []connector.Org{{CorpID: corpID, AppKeyDigest: schema.Digest([]byte(appKey)), DingTalk: dingtalk.Config{
			BaseURL: &url.URL{Scheme: "https", Host: "dingtalk.demo"}, // dialled by nobody: the simulator answers in this process
			CorpID:  corpID,
			AppKey:  appKey,
			Secret:  func() (string, error) { return appSecret, nil },
			Rate:    rate,
			Timeout: 5 * time.Second,
			EndTime: true,
		}}},
		Kafka: kafka.Config{
			Brokers:         c.brokers,
			Group:           c.group,
			InstanceID:      "demo", // a static member: started again, it has its partitions at once
			EventsTopic:     c.topics.Events,
			StateTopic:      c.topics.State,
			QuarantineTopic: c.topics.Quarantine,
			CreateTopics:    true,
			Encoding:        "json",
			PartitionKey:    schema.PartitionKey,
		},
		Start:             start,
		PollInterval:      pollInterval,
		Overlap:           24 * time.Hour,
		ReconcileInterval: time.Hour,
		Lookback:          30 * 24 * time.Hour,
	}
}
