package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"departures/connector"
)

// initState writes a first checkpoint for each organisation that has none.
func initState(ctx context.Context, cfg connector.Config, log *slog.Logger, stdout io.Writer) error {
	done, err := connector.Init(ctx, cfg, connector.Wire{}, log)
	for _, line := range done {
		fmt.Fprintln(stdout, line)
	}
	return err
}
