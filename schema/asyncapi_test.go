package schema_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"go.yaml.in/yaml/v3"

	"departures/schema"
	"departures/schema/registry"
)

// asyncAPI is the AsyncAPI document. Its own parser validates it, but for the examples (.ci/asyncapi).
type asyncAPI map[string]any

func readAsyncAPI(t *testing.T) asyncAPI {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(read(t, "asyncapi.yaml"), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at is the object at a path such as "components/messages", references within the document followed.
func (d asyncAPI) at(t *testing.T, path string) map[string]any {
	t.Helper()
	return d.in(t, d, path)
}

// in is the object at a path that begins in another object.
func (d asyncAPI) in(t *testing.T, m map[string]any, path string) map[string]any {
	t.Helper()
	for name := range strings.SplitSeq(path, "/") {
		if m = d.followed(t, m[name]); m == nil {
			t.Fatalf("asyncapi.yaml has nothing at %s of %s", name, path)
		}
	}
	return m
}

func (d asyncAPI) followed(t *testing.T, v any) map[string]any {
	t.Helper()
	m, _ := v.(map[string]any)
	if ref, ok := m["$ref"].(string); ok && strings.HasPrefix(ref, "#/") {
		return d.at(t, strings.TrimPrefix(ref, "#/"))
	}
	return m
}

// asyncMessages are the messages of the document, each with the golden records that are its examples, the extension of the files' names
// left out.
var asyncMessages = map[string][]string{
	"employeeLeft":               {"employee-left", "employee-left-bare"},
	"employeeLeftJSONOfRegistry": {"employee-left.json-registry"},
	"employeeLeftAvro":           {"employee-left.avro-registry"},
	"employeeLeftProtobuf":       {"employee-left.protobuf-registry"},
	"quarantined":                {"quarantined", "quarantined-binary"},
	"checkpoint":                 {"checkpoint", "checkpoint-full"},
}

// TestTheExamplesInAsyncAPIAreTheGoldens: payloads, headers and keys are those of records that were really written.
func TestTheExamplesInAsyncAPIAreTheGoldens(t *testing.T) {
	doc, records := readAsyncAPI(t), contract(t)
	messages := doc.at(t, "components/messages")
	if got, want := slices.Sorted(maps.Keys(messages)), slices.Sorted(maps.Keys(asyncMessages)); !reflect.DeepEqual(got, want) {
		t.Fatalf("the messages are %q, want %q", got, want)
	}
	for name, names := range asyncMessages {
		m := messages[name].(map[string]any)
		examples, _ := m["examples"].([]any)
		if len(examples) != len(names) {
			t.Errorf("%s has %d examples, want %d", name, len(examples), len(names))
			continue
		}
		for i, record := range names {
			example := examples[i].(map[string]any)
			if example["name"] != record {
				t.Errorf("example %d of %s is %v, want %s", i, name, example["name"], record)
			}
			wantExample(t, doc, m, example, parseGolden(t, records[record+".txt"]))
		}
	}
}

// wantExample wants an example of a message to be a golden record, and the record to be as the message says that its records are.
func wantExample(t *testing.T, doc asyncAPI, message, example map[string]any, g golden) {
	t.Helper()
	name := example["name"]
	headers := map[string]any{}
	for _, h := range g.headers {
		headers[h.Key] = h.Value
	}
	if got, _ := example["headers"].(map[string]any); !maps.Equal(got, headers) {
		t.Errorf("%s: the example's headers are\n%v, want\n%v", name, got, headers)
	}
	if said, ok := headers["content-type"]; ok && said != message["contentType"] {
		t.Errorf("%s: contentType is %v, want %v", name, message["contentType"], said)
	}
	if message["headers"] != nil {
		wantDescribed(t, doc.whole(t, message["headers"]), headers)
	}
	key := doc.in(t, message, "bindings/kafka/key")
	if examples, _ := key["examples"].([]any); !slices.Contains(examples, any(g.key)) {
		t.Errorf("%s: the key %q is not among the examples %q", name, g.key, examples)
	}
	if err := compile(t, key).Validate(g.key); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if payload, ok := example["payload"]; ok {
		value := bytes.TrimPrefix(g.value, registry.Header(sr.TypeJSON, registryID))
		if want := object(t, value); !reflect.DeepEqual(asJSON(t, payload), want) {
			t.Errorf("%s: the example's payload is\n%v, want\n%v", name, payload, want)
		}
	}
}

// wantDescribed wants headers to be valid by their schema, and each to be explained there.
func wantDescribed(t *testing.T, s map[string]any, headers map[string]any) {
	t.Helper()
	if err := compile(t, s).Validate(headers); err != nil {
		t.Error(err)
	}
	for name := range headers {
		if p, _ := properties(s)[name].(map[string]any); p["description"] == nil {
			t.Errorf("header %s is not explained", name)
		}
	}
	if p, _ := properties(s)[schema.KeyIDHeader].(map[string]any); p["description"] == nil {
		t.Errorf("header %s is not explained", schema.KeyIDHeader)
	}
}

// whole is v with all references within the document followed.
func (d asyncAPI) whole(t *testing.T, v any) map[string]any {
	t.Helper()
	m := maps.Clone(d.followed(t, v))
	for name, value := range m {
		if _, ok := value.(map[string]any); ok {
			m[name] = d.whole(t, value)
		}
	}
	return m
}

// asJSON is what was read from YAML as it is read from JSON.
func asJSON(t *testing.T, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return object(t, b)
}

// TestAsyncAPINamesTheSchemas: each message its own, which is there.
func TestAsyncAPINamesTheSchemas(t *testing.T) {
	doc := readAsyncAPI(t)
	messages := doc.at(t, "components/messages")
	for name, want := range map[string]string{
		"employeeLeft": "employee-left.schema.json", "employeeLeftJSONOfRegistry": "employee-left.schema.json",
		"employeeLeftAvro": "avro/employee-left.avsc", "employeeLeftProtobuf": "protobuf/employee_left.proto",
		"quarantined": "employee-left-quarantine.schema.json", "checkpoint": "checkpoint.schema.json",
	} {
		m := messages[name].(map[string]any)
		payload, _ := m["payload"].(map[string]any)
		binary, _ := m["x-payload-schema"].(map[string]any)
		if payload["$ref"] != any(want) && binary["file"] != any(want) {
			t.Errorf("%s has the payload %v, %v, want %s", name, payload, binary, want)
		}
		read(t, want)
	}
	if got := doc.at(t, "components/schemas/eventHeaders/properties/ce_type")["const"]; got != schema.EventType {
		t.Errorf("ce_type is %v, want %s", got, schema.EventType)
	}
}
