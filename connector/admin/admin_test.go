package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"departures/connector"
	"departures/connector/admin"
	"departures/schema"
)

func TestAnswers(t *testing.T) {
	now := time.Now()
	well := connector.OrgStatus{LastWindow: now, FreshWithin: time.Minute, MovesBefore: now.Add(time.Minute)}
	of := func(o connector.OrgStatus) connector.Status {
		return connector.Status{Joined: true, Orgs: map[string]connector.OrgStatus{"ding1": well, "ding2": o}}
	}
	late, troubled, stuck, gap := well, well, well, well
	late.LastWindow = now.Add(-time.Hour)
	troubled.LastWindow, troubled.Trouble = time.Time{}, "permission missing"
	stuck.MovesBefore = now.Add(-time.Minute)
	waiting := late
	waiting.CommitSince = now.Add(-20 * time.Second)
	gap.Checkpoint.Gaps = []schema.Gap{{Start: now.AddDate(-2, 0, 0), End: now.AddDate(-1, 0, 0)}}
	for _, c := range []struct {
		name, path string
		status     connector.Status
		code       int
		says       string
	}{
		{"all is well", "/readyz", of(well), http.StatusOK, "ready\n"},
		{"a standby is ready", "/readyz", connector.Status{Joined: true}, http.StatusOK, "ready\nstanding by: "},
		{"not yet in the group", "/readyz", connector.Status{}, http.StatusServiceUnavailable, "not ready\nstarting"},
		{"no Kafka", "/readyz", connector.Status{Joined: true, Outage: "no brokers"}, http.StatusServiceUnavailable, "no brokers"},
		{"a walk that is late", "/readyz", of(late), http.StatusServiceUnavailable, "ding2: last window walked 1h0m0s ago"},
		{"a commit that waits", "/readyz", of(waiting), http.StatusServiceUnavailable, "ding2: last window walked 1h0m0s ago: a commit has been waiting for Kafka for 20s"},
		{"a walk that never was", "/readyz", of(troubled), http.StatusServiceUnavailable, "ding2: no window walked yet: permission missing"},
		{"a gap is no reason not to be ready, but said", "/readyz", of(gap), http.StatusOK, "ready\nding2: gap: "},
		{"the loops move", "/healthz", of(troubled), http.StatusOK, "healthy\n"},
		{"a loop is stuck", "/healthz", of(stuck), http.StatusServiceUnavailable, "not healthy\nding2: the loop should have moved by"},
		{"nothing else is served", "/", of(well), http.StatusNotFound, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			admin.Handler(func() connector.Status { return c.status }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.path, nil))
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%d %q, want %d with %q", w.Code, w.Body, c.code, c.says)
			}
		})
	}
}
