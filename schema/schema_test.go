package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"departures/schema"
)

var update = flag.Bool("update", false, "write the golden files anew: a change in them is a change for every reader")

func text(s string) *string { return &s }

var (
	left     = time.Date(2022, 6, 7, 10, 11, 12, 0, time.UTC)
	observed = time.Date(2022, 6, 7, 10, 11, 15, 42_900_000, time.UTC)
)

// event is the EmployeeLeft of the golden files, every field set.
func event() schema.EmployeeLeft {
	return schema.EmployeeLeft{
		UserID: "manager42", Name: text("Ada & <Söhne> 李雷 🌊"), StateCode: text("86"), Mobile: text("185xxxx7676"),
		LeaveTime: left, LeaveReason: text("leave"), CorpID: "ding8f2", ObservedAt: observed,
	}
}

// bareEvent has only what every event has, one field empty, and a userId that looks like a key.
func bareEvent() schema.EmployeeLeft {
	return schema.EmployeeLeft{
		UserID: "a/b @2020-01-01T00:00:00Z", Mobile: text(""), LeaveTime: left.In(time.FixedZone("", 8*3600)).Add(900 * time.Millisecond),
		CorpID: "ding8f2", ObservedAt: observed,
	}
}

// record is one Kafka record as a golden file holds it.
func record(key string, value []byte, headers ...schema.Header) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "key: %s\n", key)
	for _, h := range headers {
		fmt.Fprintf(&b, "header: %s: %s\n", h.Key, h.Value)
	}
	fmt.Fprintf(&b, "value: %s\n", value)
	return b.Bytes()
}

// goldens are the golden files, every kind of record that reaches Kafka, as today's program makes it.
func goldens() map[string][]byte {
	cp := schema.Checkpoint{
		HighWaterMark: left.Add(time.Minute), ReconciledThrough: left.Add(-time.Hour), Floor: left.AddDate(-1, 0, 0),
		ObservedAt: observed, AppKeyDigest: schema.Digest([]byte("app-key")),
	}
	full := cp
	full.Gaps = []schema.Gap{{Start: left.AddDate(-1, 0, 0), End: left.AddDate(-1, 0, 7)}}
	full.LastLeaveTime, full.Published, full.Quarantined = &left, 214, 3
	entry := schema.LedgerEntry{Digest: schema.Digest([]byte("fields")), PublishedAt: observed}
	raw := `{"name":"<&>","leaveTime":"soon"}`
	quarantined := schema.Quarantined{
		CorpID: "ding8f2", Reason: "leaveTime cannot be read", Record: raw,
		WindowStart: left, WindowEnd: left.Add(time.Hour), ObservedAt: observed,
	}
	binary := quarantined
	binary.Record, binary.RecordBase64 = "", "/w=="

	return map[string][]byte{
		"employee-left.txt":      record(event().Departure().Key(), event().JSON(), event().Headers(schema.JSONContent)...),
		"employee-left-bare.txt": record(bareEvent().Departure().Key(), bareEvent().JSON(), bareEvent().Headers(schema.JSONContent)...),
		"quarantined.txt":        record(schema.QuarantineKey("ding8f2", schema.Digest([]byte(raw))), quarantined.JSON()),
		"quarantined-binary.txt": record(schema.QuarantineKey("ding8f2", schema.Digest([]byte("\xff"))), binary.JSON()),
		"meta.txt": record(schema.MetaKey, schema.Meta{
			FormatVersion: schema.FormatVersion, MinReaderVersion: 1, Partitions: 12, EventsTopic: "employee-left",
			EventsTopicID: "AAAAAAAAQACAAAAAAAAAAQ", Encoding: "json", KeyFormat: schema.KeyFormat,
		}.JSON()),
		"session.txt":           record(schema.SessionKey, schema.Session{Instance: "host-1/4711", ProducerID: 9000, Epoch: 3, Since: observed}.JSON()),
		"checkpoint.txt":        record(schema.CheckpointKey("ding8f2"), cp.JSON()),
		"checkpoint-full.txt":   record(schema.CheckpointKey("ding8f2"), full.JSON()),
		"published.txt":         record(schema.PublishedKey(event().Departure()), entry.JSON()),
		"quarantined-entry.txt": record(schema.QuarantinedKey("ding8f2", schema.Digest([]byte(raw))), entry.JSON()),
	}
}

// TestGoldenBytes holds every byte that reaches Kafka. Readers in other languages rely on these for years: when this test
// fails, either the change is a mistake, or it needs a new version of the record.
func TestGoldenBytes(t *testing.T) {
	golden := goldens()
	for name, got := range golden {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the bytes changed\n got %s\nwant %s", got, want)
			}
		})
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(golden) {
		t.Errorf("testdata holds %d golden files, the test makes %d", len(files), len(golden))
	}
}

// TestGoldensMatchTheJSONSchemas validates every golden value against the schema that readers are given.
func TestGoldensMatchTheJSONSchemas(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for name, schemaFile := range map[string]string{
		"employee-left.txt": "employee-left.schema.json", "employee-left-bare.txt": "employee-left.schema.json",
		"quarantined.txt": "employee-left-quarantine.schema.json", "quarantined-binary.txt": "employee-left-quarantine.schema.json",
		"checkpoint.txt": "checkpoint.schema.json", "checkpoint-full.txt": "checkpoint.schema.json",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := compiler.Compile(schemaFile)
			if err != nil {
				t.Fatal(err)
			}
			value := parseGolden(t, read(t, "testdata", name)).value
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(doc); err != nil {
				t.Error(err)
			}
			object := doc.(map[string]any)
			for _, key := range s.Required {
				without := map[string]any{}
				for k, v := range object {
					without[k] = v
				}
				delete(without, key)
				if s.Validate(without) == nil {
					t.Errorf("the schema accepts a value without %s", key)
				}
			}
			for key := range object {
				if _, ok := s.Properties[key]; !ok {
					t.Errorf("the schema does not describe %s", key)
				}
			}
			for key, property := range s.Properties {
				if property.Description == "" {
					t.Errorf("the schema does not explain %s", key)
				}
			}
		})
	}
}

func TestStateRecordsComeBackAsTheyWere(t *testing.T) {
	ms := observed.Truncate(time.Millisecond)
	cp := schema.Checkpoint{
		HighWaterMark: left, ReconciledThrough: left, Floor: left, Gaps: []schema.Gap{{Start: left, End: left}},
		LastLeaveTime: &left, Published: 1, Quarantined: 2, ObservedAt: ms, AppKeyDigest: "d",
	}
	if got, err := schema.ParseCheckpoint(cp.JSON()); err != nil || !reflect.DeepEqual(got, cp) {
		t.Errorf("checkpoint came back as %+v, %v", got, err)
	}
	s := schema.Session{Instance: "h", ProducerID: 1, Epoch: 2, Since: ms}
	if got, err := schema.ParseSession(s.JSON()); err != nil || got != s {
		t.Errorf("session came back as %+v, %v", got, err)
	}
	m := schema.Meta{FormatVersion: 1, MinReaderVersion: 1, Partitions: 12, EventsTopic: "e", Encoding: "json", KeyFormat: schema.KeyFormat}
	if got, err := schema.ParseMeta(m.JSON()); err != nil || got != m {
		t.Errorf("meta came back as %+v, %v", got, err)
	}
	e := schema.LedgerEntry{Digest: "d", PublishedAt: ms}
	if got, err := schema.ParseLedgerEntry(e.JSON()); err != nil || got != e {
		t.Errorf("ledger entry came back as %+v, %v", got, err)
	}
}

func TestAStateThatCannotBeReadIsAnError(t *testing.T) {
	meta := func(change func(map[string]any)) []byte {
		m := map[string]any{"formatVersion": 1, "minReaderVersion": 1, "partitions": 12, "eventsTopic": "e", "encoding": "json", "keyFormat": "k"}
		change(m)
		b, _ := json.Marshal(m)
		return b
	}
	parse := map[string]func([]byte) error{
		"checkpoint": func(b []byte) error { _, err := schema.ParseCheckpoint(b); return err },
		"session":    func(b []byte) error { _, err := schema.ParseSession(b); return err },
		"meta":       func(b []byte) error { _, err := schema.ParseMeta(b); return err },
		"entry":      func(b []byte) error { _, err := schema.ParseLedgerEntry(b); return err },
	}
	for _, c := range []struct {
		name, kind, want string
		value            []byte
	}{
		{"a checkpoint that is no JSON", "checkpoint", "checkpoint record", []byte("?")},
		{"a checkpoint without its marks", "checkpoint", "missing", []byte(`{}`)},
		{"a checkpoint whose mark is no time", "checkpoint", "checkpoint record", []byte(`{"highWaterMark":"soon"}`)},
		{"a session that is no JSON", "session", "session record", nil},
		{"a ledger entry without a digest", "entry", "missing", []byte(`{"publishedAt":"2022-06-07T10:11:12.000Z"}`)},
		{"a meta without a partition count", "meta", "missing", meta(func(m map[string]any) { delete(m, "partitions") })},
		{"a meta that only a newer program can read", "meta", "newer version", meta(func(m map[string]any) { m["minReaderVersion"] = 2 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := parse[c.kind](c.value); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that says %q", err, c.want)
			}
		})
	}
	newer := meta(func(m map[string]any) { m["formatVersion"], m["later"] = 2, true })
	if err := parse["meta"](newer); err != nil {
		t.Errorf("a newer state that this version can still read: %v", err)
	}
}

func TestStateKeysSayWhatTheyAre(t *testing.T) {
	d := schema.Departure{CorpID: "c", UserID: "u/v@w", LeaveTime: left}
	for key, want := range map[string]struct {
		kind   schema.Kind
		corpID string
	}{
		schema.MetaKey:                   {schema.KindMeta, ""},
		schema.SessionKey:                {schema.KindSession, ""},
		schema.CheckpointKey("c"):        {schema.KindCheckpoint, "c"},
		schema.PublishedKey(d):           {schema.KindPublished, "c"},
		schema.QuarantinedKey("c", "00"): {schema.KindQuarantined, "c"},
		"later/c":                        {schema.Unknown, ""},
	} {
		if kind, corpID := schema.StateKey(key); kind != want.kind || corpID != want.corpID {
			t.Errorf("%q is %v of %q, want %v of %q", key, kind, corpID, want.kind, want.corpID)
		}
	}
}

func TestPartitionKeyIsThePerson(t *testing.T) {
	for key, want := range map[string]string{
		"c/u@2022-06-07T10:11:12Z":      "c/u",
		"c/u@mail.cn@2022-06-07T10:11Z": "c/u@mail.cn",
		"c/0011":                        "c/0011",
	} {
		if got := schema.PartitionKey([]byte(key)); string(got) != want {
			t.Errorf("%q is partitioned by %q, want %q", key, got, want)
		}
	}
}
