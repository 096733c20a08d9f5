package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"departures/connector"
	"departures/connector/admin"
)

// runConnector polls and publishes until ctx ends, with the admin server beside it.
func runConnector(ctx context.Context, cfg connector.Config, log *slog.Logger, _ io.Writer) error {
	runner, err := connector.New(cfg, connector.Wire{}, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.HTTPAddr)
	if err != nil {
		return fmt.Errorf("HTTP_ADDR cannot be listened on: %w: set HTTP_ADDR to a free address", err)
	}
	server := &http.Server{Handler: admin.Handler(runner.Status), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends with Close
	}()
	defer func() {
		server.Close()
		<-served
	}()
	log.Info("started", "version", version(), "admin", listener.Addr().String())
	defer context.AfterFunc(ctx, func() { log.Info("stopping") })()
	if err := runner.Run(ctx); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}
