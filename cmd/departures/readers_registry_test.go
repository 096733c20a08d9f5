package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"departures/connector/kafka/kafkatest"
)

// realRegistry is the base URL of a registry, for tests that want a real one.
func realRegistry(t *testing.T) string {
	t.Helper()
	base := os.Getenv(registryEnv)
	if base == "" {
		t.Skipf("it wants a schema registry (%s)", registryEnv)
	}
	return base
}

// frontDoor stands before the real registry, on an address of its own.
type frontDoor struct {
	registry string
	user     string      // not empty: it demands basic authentication, the password being "right"
	status   int         // not 0: what it answers to everything
	away     atomic.Bool // whoever comes has the connection closed
	asked    atomic.Int64
}

func (d *frontDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.asked.Add(1)
	user, password, _ := r.BasicAuth()
	switch {
	case d.away.Load():
		panic(http.ErrAbortHandler)
	case d.status != 0:
		w.WriteHeader(d.status)
		_, _ = io.WriteString(w, "<html>no registry here</html>")
	case d.user != "" && (user != d.user || password != "right"):
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
	default:
		base, _ := url.Parse(d.registry)
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(base) }}).ServeHTTP(w, r)
	}
}

// open has the door on a port of this host, and gives its URL.
func (d *frontDoor) open(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return server.URL
}

// TestBadRegistries has what a person must mend about the registry, or the encoding: one clear message, and nothing is published.
func TestBadRegistries(t *testing.T) {
	t.Parallel()
	registry := realRegistry(t)
	for _, c := range []struct {
		name    string
		arrange func(t *testing.T, r *rig) (changes []string)
		code    int
		says    []string // all of it in one line, and the first in no other
	}{
		{
			"an incompatible schema, Avro",
			func(t *testing.T, r *rig) []string {
				registerBefore(t, r, "AVRO", `{"type": "record", "name": "EmployeeLeft", "namespace": "com.dingtalk.contact",
					"fields": [{"name": "userId", "type": "int"}]}`)
				return []string{"ENCODING=avro"}
			},
			exitFault,
			[]string{"not compatible", "EVENTS_TOPIC"},
		},
		{
			"an incompatible schema, Protobuf",
			func(t *testing.T, r *rig) []string {
				registerBefore(t, r, "PROTOBUF", `syntax = "proto3"; package departures.v1; message EmployeeLeft { int64 user_id = 1; }`)
				return []string{"ENCODING=protobuf"}
			},
			exitFault,
			[]string{"not compatible", "EVENTS_TOPIC"},
		},
		{
			"an incompatible schema, JSON Schema",
			func(t *testing.T, r *rig) []string {
				registerBefore(t, r, "JSON", `{"type": "object", "properties": {"userId": {"type": "integer"}}}`)
				return []string{"ENCODING=json"}
			},
			exitFault,
			[]string{"not compatible", "EVENTS_TOPIC"},
		},
		{
			"a wrong password",
			func(t *testing.T, _ *rig) []string {
				door := (&frontDoor{registry: registry, user: "departures"}).open(t)
				return []string{
					"ENCODING=avro", "SCHEMA_REGISTRY_URL=" + door, "SCHEMA_REGISTRY_USERNAME=departures", "SCHEMA_REGISTRY_PASSWORD=" + canaryPassword,
				}
			},
			exitFault,
			[]string{"refused with 401", "SCHEMA_REGISTRY_USERNAME", "SCHEMA_REGISTRY_PASSWORD"},
		},
		{
			"no right to the subject",
			func(t *testing.T, _ *rig) []string {
				door := (&frontDoor{status: http.StatusForbidden}).open(t)
				return []string{
					"ENCODING=avro", "SCHEMA_REGISTRY_URL=" + door, "SCHEMA_REGISTRY_USERNAME=departures", "SCHEMA_REGISTRY_PASSWORD=" + canaryPassword,
				}
			},
			exitFault,
			[]string{"refused with 403", "SCHEMA_REGISTRY_USERNAME"},
		},
		{
			"an address that is no registry",
			func(t *testing.T, _ *rig) []string {
				door := (&frontDoor{status: http.StatusNotFound}).open(t)
				return []string{"ENCODING=protobuf", "SCHEMA_REGISTRY_URL=" + door}
			},
			exitFault,
			[]string{"refused with 404", "SCHEMA_REGISTRY_URL"},
		},
		{
			"nothing registered, and nothing to be registered",
			func(*testing.T, *rig) []string {
				return []string{"ENCODING=avro", "SCHEMA_REGISTRY_REGISTER=false"}
			},
			exitFault,
			[]string{"SCHEMA_REGISTRY_REGISTER=true"},
		},
		{
			"an unknown encoding",
			func(*testing.T, *rig) []string { return []string{"ENCODING=xml"} },
			exitUsage,
			[]string{"ENCODING", "json", "avro", "protobuf"},
		},
		{
			"Avro without a registry",
			func(*testing.T, *rig) []string { return []string{"ENCODING=avro", "SCHEMA_REGISTRY_URL="} },
			exitUsage,
			[]string{"SCHEMA_REGISTRY_URL", "ENCODING"},
		},
		{
			"another encoding than the topic has",
			func(_ *testing.T, r *rig) []string {
				r.runOnce(2)
				return []string{"ENCODING=avro"}
			},
			exitFault,
			[]string{"ENCODING", "json", "avro"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kafkatest.Brokers(t))
			changes := c.arrange(t, r)
			r.leave(3, "left")
			calls, events := r.dataCalls.Load(), r.length(r.topics.Events)
			p := r.start("run", append([]string{"SCHEMA_REGISTRY_URL=" + registry}, changes...)...)
			p.ends(refuseBound, c.code)
			var said []string
			for line := range strings.Lines(p.stderr.String()) {
				if strings.Contains(line, c.says[0]) {
					said = append(said, line)
				}
			}
			if len(said) != 1 || !containsAll(said[0], c.says) {
				t.Errorf("want one line with each of %q\n%s", c.says, p.tail())
			}
			r.did(calls, events)
		})
	}
}

// registerBefore is somebody else who registered a schema for the topic, under the rule that later ones must be compatible.
func registerBefore(t *testing.T, r *rig, kind, text string) {
	t.Helper()
	subject := r.topics.Events + "-value"
	askRegistry(t, http.MethodPost, "/subjects/"+subject+"/versions", map[string]string{"schemaType": kind, "schema": text}, nil)
	askRegistry(t, http.MethodPut, "/config/"+subject, map[string]string{"compatibility": "BACKWARD_TRANSITIVE"}, nil)
}

// TestTheRegistrysPasswordIsUsed is the other half of the wrong password, and of SCHEMA_REGISTRY_REGISTER=false: what one run registered
// the next finds, and need not have the right to register.
func TestTheRegistrysPasswordIsUsed(t *testing.T) {
	t.Parallel()
	door := (&frontDoor{registry: realRegistry(t), user: "departures"}).open(t)
	r := newRig(t, kafkatest.Brokers(t))
	changes := []string{
		"ENCODING=protobuf", "SCHEMA_REGISTRY_URL=" + door, "SCHEMA_REGISTRY_USERNAME=departures", "SCHEMA_REGISTRY_PASSWORD=right",
	}
	r.leave(3, "first")
	p := r.start("run", changes...)
	r.settle(p)
	p.kill()
	p = r.start("run", append(changes, "SCHEMA_REGISTRY_REGISTER=false")...)
	r.leave(3, "second")
	r.settle(p)
	r.everyIDIs(registeredID(t, r))
}

// TestItWaitsForTheRegistry as long as it takes, and says so; once it knows the schema's id, it does not miss the registry.
func TestItWaitsForTheRegistry(t *testing.T) {
	t.Parallel()
	door := &frontDoor{registry: realRegistry(t)}
	door.away.Store(true)
	r := newRig(t, kafkatest.Brokers(t))
	r.leave(3, "before")
	p := r.start("run", "ENCODING=avro", "SCHEMA_REGISTRY_URL="+door.open(t))
	p.isNotReady("the schema registry cannot be used yet")
	p.says("the schema registry cannot be used yet; waiting for it")
	r.did(0, 0)
	door.away.Store(false)
	p.isReady()
	door.away.Store(true)
	asked := door.asked.Load()
	r.leave(3, "after")
	r.settle(p)
	p.isReady()
	if n := door.asked.Load(); n != asked {
		t.Errorf("the registry was asked %d times more once the schema's id was known", n-asked)
	}
	r.everyIDIs(registeredID(t, r))
}

// everyIDIs checks that every event stands behind the id of its schema.
func (r *rig) everyIDIs(id uint32) {
	r.t.Helper()
	records, err := kafkatest.ReadCommitted(r.t.Context(), r.brokers, r.topics.Events)
	if err != nil || len(records) == 0 {
		r.t.Fatalf("%d events: %v", len(records), err)
	}
	for _, record := range records {
		if got := idOf(record.Value); got != id {
			r.t.Errorf("an event with schema id %d, want %d", got, id)
		}
	}
}
