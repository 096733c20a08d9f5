// Package admin serves what operators and orchestrators ask of a running connector.
//
//	/healthz   200 while the loops move, else 503: restart me
//	/readyz    200 while every organisation of ours had a window walked whole within three poll intervals, or we stand by; else
//	           503 with the reason of each organisation in words. That we stand by, gaps, and clocks that are apart are noted in either case
package admin

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"departures/connector"
)

// Handler answers from the status that status returns; it keeps nothing.
func Handler(status func() connector.Status) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "healthy", status().Healthy(time.Now()), nil)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := status()
		answer(w, "ready", s.Ready(time.Now()), s.Notes())
	})
	return mux
}

// answer is 200 with the good word when there are no reasons against it, else 503 with the reasons; then the notes, one a line.
func answer(w http.ResponseWriter, good string, reasons, notes []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		good = "not " + good
	}
	for _, line := range slices.Concat([]string{good}, reasons, notes) {
		fmt.Fprintln(w, line)
	}
}
