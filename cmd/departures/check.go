package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"departures/connector"
	"departures/connector/operate"
)

// errReported says that a person must act and has been told so.
var errReported = errors.New("there are faults, and they were reported")

// check prints what stands between this configuration and a run.
func check(ctx context.Context, cfg connector.Config, log *slog.Logger, stdout io.Writer) error {
	report := operate.Check(ctx, cfg, connector.Wire{}, log)
	report.Write(stdout)
	if report.Count(operate.Fault) > 0 {
		return errReported
	}
	return nil
}
