// Package admin serves what operators and orchestrators ask of a running connector.
//
//	/healthz   200 while the loops move, else 503: restart me
//	/readyz    200 while every organisation of ours has a completed walk younger than three poll intervals, or we stand by;
//	           else 503 with the reason of each organisation in words
package admin

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"departures/connector"
)

// Handler answers from the status that status returns; it keeps nothing.
func Handler(status func() connector.Status) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "healthy", status().Healthy(time.Now()))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "ready", status().Ready(time.Now()))
	})
	return mux
}

// answer is 200 with the good word when there are no reasons against it, else 503 with the reasons, one a line.
func answer(w http.ResponseWriter, good string, reasons []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "not "+good)
		fmt.Fprintln(w, strings.Join(reasons, "\n"))
		return
	}
	fmt.Fprintln(w, good)
}
