// Command dingtalksim serves a simulated DingTalk: one organisation with a history of departures, where somebody leaves every
// few seconds. `departures run` works against it with the environment that it prints.
//
//	dingtalksim                          on 127.0.0.1:8787, 500 people over 360 days, one more every 15 s
//	dingtalksim -addr 0.0.0.0:8787       for other containers
//	dingtalksim -fault-rate 0.05         one data call in twenty goes wrong
//	dingtalksim -fault 403-empty:3       the next three data calls go wrong so
//	dingtalksim -admin 127.0.0.1:8788    and everything can be changed while it runs: GET / there says how
//	dingtalksim -script story.json       what happens later, e.g. [{"after": "1m", "blockIP": {}}, {"after": "90s", "heal": true}]
//	dingtalksim -help                    every switch, with the doubt about the real DingTalk that it stands for
//
// Whoever leaves by -leave-every is a line on standard output. Everybody is invented. SIGINT or SIGTERM ends it with exit code 0;
// wrong flags are 2, anything else 1.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
