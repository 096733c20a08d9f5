// Reads a topic of employee-left from its beginning to its end, in whatever encoding, and prints a JSON object a record.
//
//	go run . BROKERS TOPIC [REGISTRY]      REGISTRY is the base URL of a registry with Confluent's API
//
// It knows nothing of the program that publishes: schemas come from the registry.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// line is what is printed of a record.
type line struct {
	Partition  int32             `json:"partition"`
	Offset     int64             `json:"offset"`
	Key        string            `json:"key"`
	Headers    map[string]string `json:"headers"`
	Value      map[string]any    `json:"value"`
	CloudEvent map[string]string `json:"cloudevent"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: read-go BROKERS TOPIC [REGISTRY]")
		os.Exit(2)
	}
	registry := append(os.Args, "")[3]
	if err := read(context.Background(), strings.Split(os.Args[1], ","), os.Args[2], registry); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(ctx context.Context, brokers []string, topic, registry string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // franz-go's default, as Java's, shows aborted records
		kgo.KeepControlRecords(),                     // or a partition that ends with aborted records never comes to its end
	)
	if err != nil {
		return err
	}
	defer client.Close()
	unread, err := ends(ctx, client, topic)
	if err != nil {
		return err
	}
	d, err := newDecoder(registry)
	if err != nil {
		return err
	}
	for len(unread) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, r := range fetches.Records() {
			if !r.Attrs.IsControl() {
				if err := show(ctx, d, r); err != nil {
					return fmt.Errorf("partition %d, offset %d: %w", r.Partition, r.Offset, err)
				}
			}
			if r.Offset+1 >= unread[r.Partition] {
				delete(unread, r.Partition)
			}
		}
	}
	return nil
}

// ends gives where each partition that has something in it ends at present.
func ends(ctx context.Context, client *kgo.Client, topic string) (map[int32]int64, error) {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	unread := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, _ := starts.Lookup(topic, end.Partition); end.Offset > start.Offset {
			unread[end.Partition] = end.Offset
		}
	})
	return unread, nil
}

func show(ctx context.Context, d *decoder, r *kgo.Record) error {
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	value, err := d.decode(ctx, headers["content-type"], r.Value)
	if err != nil {
		return err
	}
	event, err := cloudEvent(ctx, r)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(line{r.Partition, r.Offset, string(r.Key), headers, value, event})
}
