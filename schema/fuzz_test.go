package schema_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"departures/schema"
)

// FuzzState: whatever stands in the state topic, reading it does not panic, and what can be read is written as it was read: a restore
// that changed a record on the way would change the state with the next commit.
func FuzzState(f *testing.F) {
	goldens, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(goldens) == 0 {
		f.Fatalf("golden files %q: %v", goldens, err)
	}
	for _, name := range goldens {
		golden, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		key, rest, _ := strings.Cut(strings.TrimPrefix(string(golden), "key: "), "\n")
		_, value, _ := strings.Cut(rest, "value: ")
		f.Add(key, []byte(strings.TrimSpace(value)))
	}
	f.Add("checkpoint", []byte(`{}`))
	f.Add("session", []byte(`{"Instance":"a","instance":"b","since":"2000-01-01T00:00:00.0009+08:00"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		kind, corpID := schema.StateKey(key)
		if corpID != "" && !strings.HasPrefix(key, string(kind)+"/"+corpID) || strings.Contains(corpID, "/") {
			t.Errorf("%q is %q of organisation %q", key, kind, corpID)
		}
		once, ok := rewritten(kind, value)
		if !ok {
			return
		}
		twice, ok := rewritten(kind, once)
		if !ok || !bytes.Equal(once, twice) {
			t.Errorf("%s: %q is written as %q, and that as %q", kind, value, once, twice)
		}
	})
}

// rewritten is a state record read and written again; false if it cannot be read.
func rewritten(kind schema.Kind, value []byte) (again []byte, ok bool) {
	switch kind {
	case schema.KindMeta:
		m, err := schema.ParseMeta(value)
		return m.JSON(), err == nil
	case schema.KindSession:
		s, err := schema.ParseSession(value)
		return s.JSON(), err == nil
	case schema.KindCheckpoint:
		if cp, err := schema.ParseCheckpoint(value); err == nil {
			return cp.JSON(), true
		}
	case schema.KindPublished, schema.KindQuarantined:
		l, err := schema.ParseLedgerEntry(value)
		return l.JSON(), err == nil
	}
	return nil, false
}
