package schema_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	twmb "github.com/twmb/avro"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"departures/schema"
	"departures/schema/avro"
	"departures/schema/protobuf"
	"departures/schema/registry"
)

// jsonEvent is an event as somebody reads it who knows the names of the JSON Schema and nothing else.
type jsonEvent struct {
	UserID      string    `json:"userId"`
	Name        *string   `json:"name"`
	StateCode   *string   `json:"stateCode"`
	Mobile      *string   `json:"mobile"`
	LeaveTime   time.Time `json:"leaveTime"`
	LeaveReason *string   `json:"leaveReason"`
	CorpID      string    `json:"corpId"`
	ObservedAt  time.Time `json:"observedAt"`
}

func parseJSON(b []byte) (schema.EmployeeLeft, error) {
	var e jsonEvent
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(&e)
	return schema.EmployeeLeft(e), err
}

// parsers are today's readers, by the names of the encodings in ENCODING.
var parsers = map[string]func([]byte) (schema.EmployeeLeft, error){"json": parseJSON, "avro": avro.Parse, "protobuf": protobuf.Parse}

// TestTodaysReadersReadTheEventsOfEveryVersion: each encoding of a version's event is read as what its JSON says.
func TestTodaysReadersReadTheEventsOfEveryVersion(t *testing.T) {
	for _, v := range versions {
		for _, name := range []string{"employee-left", "employee-left-bare"} {
			want := object(t, parseGolden(t, read(t, "testdata", v, name+".txt")).value)
			for encoding, file := range map[string]string{"json": ".txt", "avro": ".avro.txt", "protobuf": ".protobuf.txt"} {
				value := parseGolden(t, read(t, "testdata", v, name+file)).value
				wantRead(t, v+"/"+name+file, readOf(t, v, encoding, value), want)
			}
		}
		for encoding, f := range frames() {
			file := "employee-left." + encoding + "-registry.txt"
			value, framed := bytes.CutPrefix(parseGolden(t, read(t, "testdata", v, file)).value, registry.Header(f.schema, registryID))
			if !framed {
				t.Errorf("%s/%s has not today's frame", v, file)
			}
			want := object(t, parseGolden(t, read(t, "testdata", v, "employee-left.txt")).value)
			wantRead(t, v+"/"+file, readOf(t, v, encoding, value), want)
		}
	}
}

// readOf is an event of a version's as today's reader of the encoding reads it. That of Avro is given the schema of the version, as every
// reader of Avro has that of the writer.
func readOf(t *testing.T, v, encoding string, value []byte) map[string]any {
	t.Helper()
	if encoding == "avro" && v != current() {
		return readByAvro(t, string(read(t, "testdata", v, "employee-left.avsc")), avro.Schema, value)
	}
	e, err := parsers[encoding](value)
	if err != nil {
		t.Errorf("%s of %s: %v", encoding, v, err)
	}
	return object(t, e.JSON())
}

func wantRead(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is read as\n%v, want\n%v", what, got, want)
	}
}

// TestTodaysReadersReadTheStateOfEveryVersion: a restore after an upgrade reads what older versions wrote, and loses nothing of it when it
// writes it again.
func TestTodaysReadersReadTheStateOfEveryVersion(t *testing.T) {
	for _, v := range versions {
		for _, file := range []string{"meta.txt", "session.txt", "checkpoint.txt", "checkpoint-full.txt", "published.txt", "quarantined-entry.txt"} {
			g := parseGolden(t, read(t, "testdata", v, file))
			kind, _ := schema.StateKey(g.key)
			again, ok := rewritten(kind, g.value)
			if !ok {
				t.Errorf("%s/%s cannot be read", v, file)
				continue
			}
			was, is := object(t, g.value), object(t, again)
			for name := range was {
				if !reflect.DeepEqual(was[name], is[name]) {
					t.Errorf("%s/%s: %s was %v and is written again as %v", v, file, name, was[name], is[name])
				}
			}
		}
	}
}

func object(t *testing.T, b []byte) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return m
}

// jsonSchemas are the JSON Schemas, each with the golden records that it is of.
var jsonSchemas = map[string][]string{
	"employee-left.schema.json":            {"employee-left.txt", "employee-left-bare.txt"},
	"employee-left-quarantine.schema.json": {"quarantined.txt", "quarantined-binary.txt"},
	"checkpoint.schema.json":               {"checkpoint.txt", "checkpoint-full.txt"},
}

// TestJSONOfEveryVersionFitsTheSchemasOfEveryVersion: whoever validates may have an older schema or a newer one than the writer.
func TestJSONOfEveryVersionFitsTheSchemasOfEveryVersion(t *testing.T) {
	for _, reader := range versions {
		for name, records := range jsonSchemas {
			compiled := compile(t, object(t, read(t, "testdata", reader, name)))
			for _, writer := range versions {
				for _, record := range records {
					value := object(t, parseGolden(t, read(t, "testdata", writer, record)).value)
					if err := compiled.Validate(value); err != nil {
						t.Errorf("%s of %s and the schema of %s: %v", record, writer, reader, err)
					}
				}
			}
		}
	}
}

// compile makes a schema ready to validate with, formats included.
func compile(t *testing.T, doc map[string]any) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	if err := c.AddResource("mem:///schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:///schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTheSchemasOfEveryVersionReadTodaysEvents decodes what today's program writes by the schemas that readers may have been built with.
func TestTheSchemasOfEveryVersionReadTodaysEvents(t *testing.T) {
	for _, v := range versions {
		names := slices.Sorted(maps.Keys(object(t, read(t, "testdata", v, "employee-left.schema.json"))["properties"].(map[string]any)))
		for _, e := range []schema.EmployeeLeft{event(), bareEvent()} {
			want := object(t, e.JSON())
			maps.DeleteFunc(want, func(name string, _ any) bool { return !slices.Contains(names, name) })
			for encoding, got := range map[string]map[string]any{
				"avro":     readByAvro(t, avro.Schema, string(read(t, "testdata", v, "employee-left.avsc")), avro.Append(nil, e)),
				"protobuf": readByProtobuf(t, read(t, "testdata", v, "employee_left.binpb"), protobuf.Append(nil, e)),
			} {
				wantRead(t, "by the "+encoding+" schema of "+v+" today's event", got, want)
			}
		}
	}
}

// readByAvro reads an event with the schemas of its writer and of its reader, as a map with the names and forms of its JSON.
func readByAvro(t *testing.T, writer, reader string, value []byte) map[string]any {
	t.Helper()
	resolved, err := twmb.Resolve(twmb.MustParse(writer), twmb.MustParse(reader))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if rest, err := resolved.Decode(value, &got); err != nil || len(rest) > 0 {
		t.Fatalf("%d bytes too many, %v", len(rest), err)
	}
	maps.DeleteFunc(got, func(_ string, value any) bool { return value == nil })
	for name, layout := range map[string]string{"leaveTime": time.RFC3339, "observedAt": "2006-01-02T15:04:05.000Z"} {
		if at, ok := got[name].(time.Time); ok {
			got[name] = at.Format(layout)
		}
	}
	return got
}

// readByProtobuf reads an event with the schema in a reader's FileDescriptorSet, as a map with the names and forms of its JSON.
func readByProtobuf(t *testing.T, reader, value []byte) map[string]any {
	t.Helper()
	m := dynamicpb.NewMessage(eventDescriptor(t, fileOf(t, reader)))
	if err := proto.Unmarshal(value, m); err != nil {
		t.Fatal(err)
	}
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return object(t, b)
}

// fileOf is the last file of a FileDescriptorSet, which is ours.
func fileOf(t *testing.T, set []byte) protoreflect.FileDescriptor {
	t.Helper()
	var s descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(set, &s); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&s)
	if err != nil {
		t.Fatal(err)
	}
	file, err := files.FindFileByPath(s.GetFile()[len(s.GetFile())-1].GetName())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func eventDescriptor(t *testing.T, file protoreflect.FileDescriptor) protoreflect.MessageDescriptor {
	t.Helper()
	m := file.Messages().ByName("EmployeeLeft")
	if m == nil {
		t.Fatal("there is no message EmployeeLeft")
	}
	return m
}

// TestNothingBreaksWhatAnOlderVersionPromised holds today's schemas against those of every version, by the rules of each encoding.
func TestNothingBreaksWhatAnOlderVersionPromised(t *testing.T) {
	for _, v := range versions {
		for name := range jsonSchemas {
			for _, broken := range jsonBreaks("", object(t, read(t, "testdata", v, name)), object(t, read(t, name))) {
				t.Errorf("%s, since %s: %s", name, v, broken)
			}
		}
		for _, broken := range avroBreaks(t, string(read(t, "testdata", v, "employee-left.avsc")), avro.Schema) {
			t.Errorf("Avro, since %s: %s", v, broken)
		}
		for _, broken := range protobufBreaks(fileOf(t, read(t, "testdata", v, "employee_left.binpb")), protobuf.File_employee_left_proto) {
			t.Errorf("Protobuf, since %s: %s", v, broken)
		}
	}
}

// wantBreaks wants the words in what is said to break; no words, that nothing is said to.
func wantBreaks(t *testing.T, name string, got []string, words string) {
	t.Helper()
	if said := strings.Join(got, "; "); (words == "") != (said == "") || !strings.Contains(said, words) {
		t.Errorf("%s: said to break %q, want %q", name, said, words)
	}
}
