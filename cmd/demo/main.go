// Command demo shows the promise at work, in one process and without any set-up: a simulated DingTalk with a company whose people
// leave, Kafka in memory, the connector, and a consumer that reads at read_committed and knows nothing of the connector.
//
//	demo                          20 seconds, then the count
//	demo -for 5m -every 200ms     longer, and a company that people run away from
//	demo -brokers host:port       the same against a real Kafka, on topics of its own
//	demo -v                       with the connector's log on standard error
//
// Every few seconds the connector is cut off in the middle of what it is doing, as by kill -9 and a pulled cable at once, and a
// new instance is started. At the end everything that stands in Kafka is held against everybody who left. The last line is
//
//	departures 214 · events 214 · lost 0 · twice 0
//
// The exit code is 0 only if nothing was lost, nothing stands there twice, and no other part of the promise was broken; wrong flags
// are 2, anything else 1. SIGINT or SIGTERM ends the demo early, with its count; a second one ends it at once.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the next signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
