// Command ready waits until Kafka brokers can be used: until each answers a Metadata request with as many brokers, and with a
// controller. An open port is no such sign; a broker listens long before it has registered itself.
//
//	go run ./.ci/kafka/ready 127.0.0.1:9092,127.0.0.1:9094
//
// The exit code is 0 when the brokers are ready, 1 when one was not within a minute.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	patience = time.Minute
	pause    = 100 * time.Millisecond
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: ready host:port[,host:port]…")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addrs := strings.Split(os.Args[1], ",")
	for _, addr := range addrs {
		if err := wait(ctx, addr, len(addrs)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// wait asks addr again and again until it knows of so many brokers or ctx is done.
func wait(ctx context.Context, addr string, brokers int) error {
	for {
		err := ask(ctx, addr, brokers)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", addr, err)
		case <-time.After(pause):
		}
	}
}

// ask sends one Metadata request, with a client of its own: a client that met a closed port backs off for longer than
// the broker needs to start.
func ask(ctx context.Context, addr string, brokers int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer cl.Close()

	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	answer, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if len(answer.Brokers) < brokers || answer.ControllerID < 0 {
		return fmt.Errorf("metadata: %d brokers, controller %d", len(answer.Brokers), answer.ControllerID)
	}
	return nil
}
