package operate_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"departures/connector"
	"departures/connector/operate"
	"departures/schema/avro"
	"departures/schema/registry"
)

// canaryPassword is the registry's.
const canaryPassword = "canary-password-2b7d"

// answers are a registry's, by request; each is a status and a body.
type answers map[string]string

// withRegistry puts a registry beside the rig that wants canaryPassword.
func (r *rig) withRegistry(t *testing.T, given answers) {
	t.Helper()
	r.cfg.Encoding, r.cfg.Kafka.Encoding = connector.Avro, "avro"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked := req.Method + " " + strings.ReplaceAll(req.URL.Path, r.cfg.Kafka.EventsTopic+"-value", "*")
		if _, password, _ := req.BasicAuth(); password != canaryPassword {
			t.Errorf("%s with the password %q", asked, password)
		}
		if req.Method == http.MethodPost {
			var got struct{ Schema string }
			if err := json.NewDecoder(req.Body).Decode(&got); err != nil || got.Schema != avro.Schema {
				t.Errorf("%s with %q, %v", asked, got.Schema, err)
			}
		}
		status, body, known := strings.Cut(given[asked], " ")
		if !known {
			t.Errorf("asked for %s", asked)
		}
		code, err := strconv.Atoi(status)
		if err != nil {
			code = http.StatusTeapot
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	r.registryAt(t, server.URL)
}

func (r *rig) registryAt(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	r.cfg.Registry = &registry.Config{URL: u, Username: "departures", Password: canaryPassword, Register: true}
}

// TestWhatIsFoundAtTheRegistry has a registry that is fine, one that is not, and one of which not all can be told.
func TestWhatIsFoundAtTheRegistry(t *testing.T) {
	t.Parallel()
	const (
		known  = `200 {"id":7,"version":1,"schema":"…"}`
		absent = `404 {"error_code":40403,"message":"Schema not found"}`
		strict = `200 {"compatibilityLevel":"BACKWARD_TRANSITIVE"}`
		open   = `200 {"mode":"READWRITE"}`
	)
	for _, c := range []struct {
		name             string
		given            answers
		faults, warnings int
		says             string
	}{
		{
			"a schema that is registered",
			answers{"POST /subjects/*": known, "GET /config/*": strict},
			0, 0,
			"ok connection: the registry answers ok compatibility: of subject *: BACKWARD_TRANSITIVE ok schema: subject *: registered, with the id 7 no fault, no warning",
		},
		{
			"a schema that is not compatible",
			answers{
				"POST /subjects/*": absent, "GET /subjects/*/versions/latest": known, "GET /config/*": strict, "GET /mode/*": open,
				"POST /compatibility/subjects/*/versions": `200 {"is_compatible":false}`,
			},
			1, 0, "FAULT schema: subject *: this version's schema is not compatible with what is registered",
		},
		{
			"a comparison that fails",
			answers{
				"POST /subjects/*": absent, "GET /subjects/*/versions/latest": known, "GET /config/*": strict, "GET /mode/*": open,
				"POST /compatibility/subjects/*/versions": `500 {"error_code":0,"message":"#: could not determine version"}`,
			},
			0, 1, "warning schema: the next run registers it, if it is compatible, which cannot be told",
		},
		{
			"a password that is refused",
			answers{"POST /subjects/*": `401 {"error_code":401,"message":"Unauthorized"}`},
			1, 0,
			"correct SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.withRegistry(t, c.given)
			text, faults, warnings := r.check(t)
			at := "Schema registry at " + r.cfg.Registry.URL.String()
			says := strings.ReplaceAll(c.says, "*", r.cfg.Kafka.EventsTopic+"-value")
			if faults != c.faults || warnings != c.warnings || !strings.Contains(text, at) || !strings.Contains(text, says) {
				t.Errorf("%d faults and %d warnings, want %d and %d, and %q and %q in it\n%s", faults, warnings, c.faults, c.warnings, at, says, text)
			}
			if strings.Contains(text, canaryPassword) {
				t.Errorf("I8: the registry's password is reported\n%s", text)
			}
		})
	}
}

// TestACheckThatIsEndedAtTheRegistry says so, and not what a registry would make of it.
func TestACheckThatIsEndedAtTheRegistry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ended, end := context.WithCancel(t.Context())
	r.registryAt(t, "http://127.0.0.1:9")
	end()
	report := operate.Check(ended, r.cfg, r.wire, slog.New(slog.DiscardHandler))
	last := report.Sections[len(report.Sections)-1]
	if len(last.Findings) != 1 || last.Findings[0].Level != operate.Fault || !strings.Contains(last.Findings[0].Text, "interrupted") {
		t.Errorf("%s: %v", last.Title, last.Findings)
	}
}
