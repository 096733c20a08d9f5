package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"departures/connector"
	"departures/connector/operate"
)

// errReported says that a person must act and has been told so.
var errReported = errors.New("there are faults, and they were reported")

// check prints what stands between this configuration and a run.
func check(ctx context.Context, cfg connector.Config, log *slog.Logger, stdout io.Writer) error {
	log.Info("looking at DingTalk, Kafka and the schema registry, where there is one; DingTalk is asked some twenty times an app, at half of its rate")
	report := operate.Check(ctx, cfg, connector.Wire{}, log)
	if err := report.Write(stdout); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if report.Count(operate.Fault) > 0 {
		return errReported
	}
	return nil
}
