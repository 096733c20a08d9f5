// Departures polls DingTalk for employee departures and publishes each one to Kafka exactly once.
//
//	departures run          poll and publish until SIGTERM or SIGINT
//	departures check        look for faults at DingTalk and Kafka, without writing a record
//	departures state init   write a first checkpoint at START, without publishing anything
//	departures version      print the version
//
// The configuration is the environment; the README has the table. Exit codes: 0 a clean stop, 2 wrong usage or configuration, 1
// anything else that needs a person. A second signal ends at once, with 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/term"

	"departures/connector"
	"departures/connector/kafka"
)

const (
	exitClean = 0
	exitFault = 1
	exitUsage = 2
)

const usage = `usage: departures VERB

  run          poll DingTalk and publish departures until stopped
  check        look for everything that would keep it from running; writes no record
  state init   write a first checkpoint at START, without publishing anything
  version      print the version

The configuration is the environment; the README has the table.
`

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(connector.GCPercent)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2) // room for the second, which may come before the first is seen
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(exitFault)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: the verb in args, the configuration in the environment, an exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if n := len(args); n > 1 && (args[n-1] == "-h" || args[n-1] == "-help" || args[n-1] == "--help") {
		args = []string{"help"}
	}
	switch strings.Join(args, " ") {
	case "run":
		return withConfig(ctx, stdout, stderr, runConnector)
	case "check":
		return withConfig(ctx, stdout, stderr, check)
	case "state init":
		return withConfig(ctx, stdout, stderr, initState)
	case "version":
		return printVersion(stdout)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return exitClean
	case "":
		fmt.Fprint(stderr, usage)
	default:
		fmt.Fprintf(stderr, "departures: no verb %q\n\n%s", strings.Join(args, " "), usage)
	}
	return exitUsage
}

// withConfig reads the configuration, all its faults at once, and runs a verb that needs it.
func withConfig(ctx context.Context, stdout, stderr io.Writer, verb func(context.Context, connector.Config, *slog.Logger, io.Writer) error) int {
	cfg, err := connector.LoadConfig()
	if err != nil {
		fmt.Fprintf(stderr, "departures: the configuration cannot be used:\n%v\n", err)
		return exitUsage
	}
	log := logger(cfg, stderr)
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	switch err := verb(ctx, cfg, log, stdout); {
	case err == nil:
		return exitClean
	case !errors.Is(err, errReported):
		for _, fault := range faults(err) {
			log.Error("cannot go on: " + fault)
		}
	}
	return exitFault
}

// faults is everything that a person has to mend, a text each.
func faults(err error) []string {
	var (
		ours   *connector.Refusal
		kafkas *kafka.Refusal
	)
	switch {
	case errors.As(err, &ours):
		return ours.Faults
	case errors.As(err, &kafkas):
		return kafkas.Faults
	}
	return []string{err.Error()}
}

// logger writes text where a person looks on, JSON where a machine collects.
func logger(cfg connector.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	file, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	if cfg.LogFormat == "text" || cfg.LogFormat == "auto" && terminal {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
