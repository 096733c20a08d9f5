package registry_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"departures/schema"
	"departures/schema/avro"
	"departures/schema/protobuf"
	"departures/schema/registry"
)

// kind is an encoding's schema, and what makes it another that cannot read what the first wrote.
type kind struct {
	schema   registry.Schema
	old, new string
}

var kinds = []kind{
	{registry.Schema{Type: sr.TypeAvro, Text: avro.Schema}, `"string"`, `"int"`},
	{registry.Schema{Type: sr.TypeProtobuf, Text: protobuf.Schema}, `string user_id = 1`, `int32 user_id = 1`},
	{registry.Schema{Type: sr.TypeJSON, Text: schema.JSONSchema}, `"type": "string"`, `"type": "integer"`},
}

// realRegistry is the registry of SCHEMA_REGISTRY_TEST_URL.
func realRegistry(t *testing.T) registry.Config {
	t.Helper()
	address := os.Getenv("SCHEMA_REGISTRY_TEST_URL")
	if address == "" {
		t.Skip("SCHEMA_REGISTRY_TEST_URL is not set: the root of a Confluent-compatible API, such as .ci/registry/start prints")
	}
	return registry.Config{URL: parsed(t, address), Register: true}
}

// fresh is a subject that nobody has used.
func fresh(k kind) string {
	return fmt.Sprintf("real-%s-%d-value", strings.ToLower(k.schema.Type.String()), time.Now().UnixNano())
}

// TestARealRegistry settles every encoding's schema where SCHEMA_REGISTRY_TEST_URL says: the scripted answers of the tests beside this
// one are its answers, if it is an Apicurio.
func TestARealRegistry(t *testing.T) {
	t.Parallel()
	may := realRegistry(t)
	mayNot := registry.Config{URL: may.URL}
	for n, k := range kinds {
		t.Run(k.schema.Type.String(), func(t *testing.T) {
			t.Parallel()
			subject := fresh(k)
			settles := func(c registry.Config, s registry.Schema, want, says string) (id int) {
				t.Helper()
				id, _, err := c.Settle(t.Context(), subject, s)
				if got, text := verdict(t, id, err); got != want || !strings.Contains(text, says) {
					t.Errorf("%s: %s, %q; want it %s, with %q", subject, got, text, want, says)
				}
				return id
			}
			finds := func(c registry.Config, s registry.Schema, says string) {
				t.Helper()
				if got := written(t, c.Inspect(t.Context(), subject, s)); !strings.Contains(got, says) {
					t.Errorf("%s: found\n%swant %q", subject, got, says)
				}
			}
			other := kinds[(n+1)%len(kinds)].schema
			breaking := registry.Schema{Type: k.schema.Type, Text: strings.Replace(k.schema.Text, k.old, k.new, 1)}

			finds(mayNot, k.schema, "fault schema: subject "+subject+": this version's schema is not registered")
			settles(mayNot, k.schema, refused, "is not registered")
			finds(may, k.schema, "fine schema: subject "+subject+": the next run registers it as the first")
			id := settles(may, k.schema, settled, "")
			if again := settles(mayNot, k.schema, settled, ""); again != id {
				t.Errorf("%s: the id %d, and %d when registered", subject, again, id)
			}
			registered(t, may, id, k.schema.Type)
			finds(mayNot, k.schema, fmt.Sprintf("fine schema: subject %s: registered, with the id %d\n", subject, id))
			finds(mayNot, k.schema, "fine compatibility: of subject "+subject+": BACKWARD_TRANSITIVE\n")
			settles(may, other, refused, "holds schemas of type "+k.schema.Type.String()+", and ENCODING wants "+other.Type.String())
			finds(may, other, "fault schema: subject "+subject+" holds schemas of type "+k.schema.Type.String())
			settles(may, breaking, refused, "refused with 409 (")
			finds(may, breaking, "fault schema: subject "+subject+": "+"this version's schema is not compatible")
		})
	}
}

// TestInstancesThatStartAtOnce come to one id, however they cross each other.
func TestInstancesThatStartAtOnce(t *testing.T) {
	t.Parallel()
	c := realRegistry(t)
	for _, k := range kinds {
		t.Run(k.schema.Type.String(), func(t *testing.T) {
			t.Parallel()
			ids := make(chan int)
			subject := fresh(k)
			for range 8 {
				go func() {
					id, _, err := c.Settle(t.Context(), subject, k.schema)
					for n := 0; err != nil && n < 100; n++ {
						if got, text := verdict(t, id, err); got != waiting {
							t.Errorf("%s: %s", got, text)
						}
						id, _, err = c.Settle(t.Context(), subject, k.schema)
					}
					ids <- id
				}()
			}
			first := <-ids
			for range 7 {
				if id := <-ids; id != first || id == 0 {
					t.Errorf("%s: the ids %d and %d", subject, first, id)
				}
			}
		})
	}
}

// registered wants the schema under its id, where readers look for it.
func registered(t *testing.T, c registry.Config, id int, want sr.SchemaType) {
	t.Helper()
	once := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	cl, err := sr.NewClient(sr.URLs(c.URL.String()), sr.HTTPClient(once))
	if err != nil {
		t.Fatal(err)
	}
	if found, err := cl.SchemaByID(t.Context(), id); err != nil || found.Type != want || !strings.Contains(found.Schema, "EmployeeLeft") {
		t.Errorf("under the id %d: %s, %v", id, found.Type, err)
	}
}
