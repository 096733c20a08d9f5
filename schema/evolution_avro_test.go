package schema_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	twmb "github.com/twmb/avro"

	"departures/schema/avro"
)

// avroBreaks is what a newer Avro schema breaks of an older one, for those who read new values with the old schema or old values with the
// new one. Within a version fields are added behind the others, with a default. What Avro's own resolution allows beside that is not
// allowed here: it drops fields with a default and renames by aliases without a word to the reader, takes a moment in microseconds for
// one in milliseconds, and does not look at the namespace, which names the classes that are made from the schema.
func avroBreaks(t *testing.T, older, newer string) (broken []string) {
	t.Helper()
	broken = append(broken, unresolved(t, older, newer)...)
	was, is := recordOf(t, older), recordOf(t, newer)
	if was.Name != is.Name || was.Namespace != is.Namespace || was.Type != is.Type {
		broken = append(broken, fmt.Sprintf("%s.%s, a %s, is now %s.%s, a %s", was.Namespace, was.Name, was.Type, is.Namespace, is.Name, is.Type))
	}
	for i, f := range is.Fields {
		switch {
		case i < len(was.Fields) && !reflect.DeepEqual(f, was.Fields[i]):
			broken = append(broken, fmt.Sprintf("field %d was %v and is %v", i, was.Fields[i], f))
		case i >= len(was.Fields) && f["default"] == nil && !slices.Contains(fieldNames(f), "default"):
			broken = append(broken, fmt.Sprintf("%v was added without a default", f["name"]))
		}
	}
	if missing := len(was.Fields) - len(is.Fields); missing > 0 {
		broken = append(broken, fmt.Sprintf("%d fields less", missing))
	}
	return broken
}

// unresolved is what Avro's resolution itself finds, both ways.
func unresolved(t *testing.T, older, newer string) (found []string) {
	t.Helper()
	was, is := parseAvro(t, older), parseAvro(t, newer)
	if err := twmb.CheckCompatibility(is, was); err != nil {
		found = append(found, fmt.Sprint("an older reader: ", err))
	}
	if err := twmb.CheckCompatibility(was, is); err != nil {
		found = append(found, fmt.Sprint("a newer reader: ", err))
	}
	return found
}

func parseAvro(t *testing.T, text string) *twmb.Schema {
	t.Helper()
	s, err := twmb.Parse(text)
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return s
}

// avroRecord is an Avro record, with its fields as they are written but for the texts.
type avroRecord struct {
	Type, Name, Namespace string
	Fields                []map[string]any
}

func recordOf(t *testing.T, text string) (r avroRecord) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	for i := range r.Fields {
		r.Fields[i] = silent(r.Fields[i]).(map[string]any)
	}
	return r
}

func fieldNames(f map[string]any) (names []string) {
	for name := range f {
		names = append(names, name)
	}
	return names
}

func TestABrokenAvroSchemaIsFound(t *testing.T) {
	field := func(s map[string]any, name string) map[string]any {
		for _, f := range s["fields"].([]any) {
			if f := f.(map[string]any); f["name"] == name {
				return f
			}
		}
		t.Fatalf("there is no field %s", name)
		return nil
	}
	add := func(s, f map[string]any) { s["fields"] = append(s["fields"].([]any), f) }
	remove := func(s map[string]any, name string) {
		s["fields"] = slices.DeleteFunc(s["fields"].([]any), func(f any) bool { return f.(map[string]any)["name"] == name })
	}
	maybe := []any{"null", "string"}
	for _, c := range []struct {
		name   string
		change func(s map[string]any)
		want   string // in what is said; empty: nothing is
		lax    bool   // Avro's resolution, as twmb/avro checks it, has nothing against it
	}{
		{"as it is", func(map[string]any) {}, "", true},
		{"other texts", func(s map[string]any) { s["doc"], field(s, "name")["doc"] = "Left.", "His or her name." }, "", true},
		{"an added field with a default", func(s map[string]any) { add(s, map[string]any{"name": "later", "type": maybe, "default": nil}) }, "", true},
		{"an added field without a default", func(s map[string]any) { add(s, map[string]any{"name": "later", "type": "string"}) }, "later was added without a default", false},
		{"a field removed", func(s map[string]any) { remove(s, "userId") }, "fields less", false},
		{"a field with a default removed", func(s map[string]any) { remove(s, "mobile") }, "fields less", true},
		{"a field renamed", func(s map[string]any) { field(s, "corpId")["name"] = "corp" }, "field 6 was", false},
		{"a field renamed that has a default", func(s map[string]any) { field(s, "leaveReason")["name"] = "reason" }, "field 5 was", true},
		{"a field renamed with an alias", func(s map[string]any) {
			field(s, "name")["aliases"] = []any{"name"}
			field(s, "name")["name"] = "fullName"
		}, "field 1 was", true},
		{"another type", func(s map[string]any) { field(s, "userId")["type"] = "long" }, "incompatible types", false},
		{"text as bytes, which Avro takes for each other", func(s map[string]any) { field(s, "userId")["type"] = "bytes" }, "field 0 was", true},
		{"an optional field that is always there", func(s map[string]any) {
			field(s, "name")["type"], field(s, "name")["default"] = "string", ""
		}, "field 1 was", false},
		{"a field that may be null", func(s map[string]any) { field(s, "corpId")["type"] = []any{"string", "null"} }, "an older reader", false},
		{"a further type in a union", func(s map[string]any) { field(s, "leaveReason")["type"] = []any{"null", "string", "int"} }, "an older reader", false},
		{"an open set closed", func(s map[string]any) {
			field(s, "leaveReason")["type"] = []any{"null", map[string]any{"type": "enum", "name": "Reason", "symbols": []any{"leave", "oapi"}}}
		}, "an older reader", false},
		{"microseconds in the place of milliseconds", func(s map[string]any) {
			field(s, "leaveTime")["type"] = map[string]any{"type": "long", "logicalType": "timestamp-micros"}
		}, "field 4 was", true},
		{"a moment that is a number", func(s map[string]any) { field(s, "observedAt")["type"] = "long" }, "field 7 was", true},
		{"another default", func(s map[string]any) {
			field(s, "name")["type"], field(s, "name")["default"] = []any{"string", "null"}, "nobody"
		}, "field 1 was", true},
		{"a default dropped", func(s map[string]any) { delete(field(s, "name"), "default") }, "field 1 was", true},
		{"fields in another order", func(s map[string]any) { slices.Reverse(s["fields"].([]any)) }, "field 0 was", true},
		{"another name", func(s map[string]any) { s["name"] = "EmployeeGone" }, "record names do not match", false},
		{"another namespace", func(s map[string]any) { s["namespace"] = "departures" }, "is now departures.EmployeeLeft", true},
	} {
		changed := object(t, []byte(avro.Schema))
		c.change(changed)
		b, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		wantBreaks(t, c.name, avroBreaks(t, avro.Schema, string(b)), c.want)
		if found := unresolved(t, avro.Schema, string(b)); (len(found) == 0) != c.lax {
			t.Errorf("%s: Avro's resolution has against it %q", c.name, found)
		}
	}
}
