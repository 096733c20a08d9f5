package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"departures/schema"
	"departures/schema/avro"
	"departures/schema/protobuf"
	"departures/schema/registry"
)

// versions are the versions of the contract, oldest first; the last is the current one. The number before the dot is that of the event
// type, the one behind it counts what was added since: v1, v1.1, v1.2. Each version has a folder under testdata, with the records that the
// program wrote and the schemas that it gave to readers, and a heading in CHANGELOG.md.
//
// A file in such a folder is never written again: -update adds what the current version lacks, and nothing else. Whoever changes a record
// or a schema, texts apart, adds a version here, runs the tests with -update, and says in CHANGELOG.md what a reader must do.
var versions = []string{"v1"}

// current is the version that today's program writes.
func current() string { return versions[len(versions)-1] }

// contract is the files of the current version: every golden record, the events in all encodings, and the schemas.
func contract(t *testing.T) map[string][]byte {
	t.Helper()
	files := goldens()
	for name, e := range map[string]schema.EmployeeLeft{"employee-left": event(), "employee-left-bare": bareEvent()} {
		files[name+".avro.txt"] = binaryRecord("", avro.Append(nil, e))
		files[name+".protobuf.txt"] = binaryRecord("", protobuf.Append(nil, e))
	}
	for name, f := range frames() {
		e := event()
		files["employee-left."+name+"-registry.txt"] = binaryRecord(e.Departure().Key(), f.append(registry.Header(f.schema, registryID), e), e.Headers(f.content(name))...)
	}
	for _, name := range []string{"employee-left.schema.json", "employee-left-quarantine.schema.json", "checkpoint.schema.json"} {
		files[name] = read(t, name)
	}
	files["employee-left.avsc"] = []byte(avro.Schema)
	files["employee_left.proto"] = []byte(protobuf.Schema)
	files["employee_left.binpb"] = descriptorSet(t)
	return files
}

// registryID is the schema's id in the golden records that have the registry's wire format.
const registryID = 7

// frame is an encoding as it is written with a registry.
type frame struct {
	schema sr.SchemaType
	append func(b []byte, e schema.EmployeeLeft) []byte
}

func (frame) content(name string) schema.Content {
	return schema.Content{Type: "application/vnd.confluent." + name, Schema: fmt.Sprintf("https://registry.example/schemas/ids/%d", registryID)}
}

// frames are the encodings, by their names in ENCODING.
func frames() map[string]frame {
	return map[string]frame{
		"json":     {sr.TypeJSON, func(b []byte, e schema.EmployeeLeft) []byte { return append(b, e.JSON()...) }},
		"avro":     {sr.TypeAvro, avro.Append},
		"protobuf": {sr.TypeProtobuf, protobuf.Append},
	}
}

// descriptorSet is the Protobuf schema as a FileDescriptorSet, which is what `buf breaking --against` takes.
func descriptorSet(t *testing.T) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto),
		protodesc.ToFileDescriptorProto(protobuf.File_employee_left_proto),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// freeze writes a file that is not there yet, and is an error where one is there that says something else.
func freeze(path string, made []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		if found, err := os.ReadFile(path); err != nil || says(path, found) == says(path, made) {
			return err
		}
		return fmt.Errorf("%s is what readers were promised and is never written again: add a version to versions, and say in CHANGELOG.md what a reader must do", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(made)
	return errors.Join(err, f.Close())
}

// says is what a file of the contract means to a reader's program: of a schema everything but the texts for people.
func says(path string, b []byte) string {
	switch filepath.Ext(path) {
	case ".json", ".avsc":
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			return err.Error()
		}
		b, err := json.Marshal(silent(v))
		return fmt.Sprint(string(b), err)
	case ".proto":
		fields := protoFields(string(b))
		for i := range fields {
			fields[i].comment = ""
		}
		return fmt.Sprint(fields)
	case ".binpb":
		var set descriptorpb.FileDescriptorSet
		if proto.Unmarshal(b, &set) == nil {
			return fmt.Sprint(set.GetFile()[len(set.GetFile())-1]) // what it imports is not ours
		}
	}
	return string(b)
}

// silent is a JSON Schema or an Avro schema without its texts.
func silent(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for key, value := range v {
			_, isText := value.(string)
			_, isList := value.([]any)
			if text := key == "description" || key == "title" || key == "doc" || key == "$comment"; text && isText || key == "examples" && isList {
				continue
			}
			m[key] = silent(value)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = silent(v[i])
		}
		return list
	}
	return v
}

// TestTheCurrentVersionIsWhatTheProgramWrites holds the records and schemas of today against those of the current version.
func TestTheCurrentVersionIsWhatTheProgramWrites(t *testing.T) {
	folder := filepath.Join("testdata", current())
	made := contract(t)
	for name, b := range made {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err != nil && !*update {
			t.Errorf("%v: -update adds it", err)
			continue
		}
		if err := errors.Join(os.MkdirAll(folder, 0o755), freeze(path, b)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range list(t, folder) {
		if _, ok := made[name]; !ok {
			t.Errorf("%s is no file of the contract any more: a later version may do without it, this one may not", filepath.Join(folder, name))
		}
	}
}

func TestAFileOfAVersionIsNeverWrittenAgain(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		refused             bool
	}{
		{"a.txt", "a", "a", false},
		{"a.txt", "a", "b", true},
		{"a.schema.json", `{"type":"string","description":"a"}`, `{"type":"string","description":"b","examples":["b"]}`, false},
		{"a.schema.json", `{"properties":{"description":{"type":"string"}}}`, `{"properties":{"description":{"type":"integer"}}}`, true},
		{"a.avsc", `{"type":"string","doc":"a"}`, `{"type":"long","doc":"a"}`, true},
		{"a.proto", "// A.\n  string a = 1;", "// B.\n  string a = 1;", false},
		{"a.proto", "  string a = 1;", "  string a = 2;", true},
		{"a.binpb", "\n\x03\n\x01a\n\x03\n\x01a", "\n\x03\n\x01b\n\x03\n\x01a", false},
		{"a.binpb", "\n\x03\n\x01a\n\x03\n\x01a", "\n\x03\n\x01a\n\x03\n\x01b", true},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := freeze(path, []byte(c.first)); err != nil {
			t.Fatal(err)
		}
		if err := freeze(path, []byte(c.second)); (err != nil) != c.refused {
			t.Errorf("%s with %s in the place of %s: %v, want refused %v", c.name, c.second, c.first, err, c.refused)
		}
		if got := read(t, path); string(got) != c.first {
			t.Errorf("%s became %s", c.first, got)
		}
	}
}

func TestEveryVersionHasItsFolderAndItsHeading(t *testing.T) {
	var folders []string
	for _, name := range list(t, "testdata") {
		if strings.HasPrefix(name, "v") {
			folders = append(folders, name)
		}
	}
	if want := slices.Sorted(slices.Values(versions)); !reflect.DeepEqual(folders, want) {
		t.Errorf("testdata holds the versions %q, want %q", folders, want)
	}
	changelog := string(read(t, "CHANGELOG.md"))
	for _, v := range versions {
		if !strings.Contains(changelog, "\n## "+v+"\n") {
			t.Errorf("CHANGELOG.md has no heading %q", "## "+v)
		}
	}
	if got := readAsyncAPI(t).at(t, "info")["version"]; got != current() {
		t.Errorf("asyncapi.yaml is of version %v, want %s", got, current())
	}
	if major, _, _ := strings.Cut(current(), "."); !strings.HasSuffix(schema.EventType, "."+major) {
		t.Errorf("events of version %s have the type %s", current(), schema.EventType)
	}
}

// list is the names in a folder that do not begin with a dot, in order, but for fuzz, which is the fuzzer's.
func list(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "fuzz" && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}
