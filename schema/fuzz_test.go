package schema_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// FuzzEventJSON: an event and its ledger entry, which are put together by hand, are what encoding/json would write, whatever their
// strings hold, and the digest leaves out when the departure was observed.
func FuzzEventJSON(f *testing.F) {
	f.Add("manager42", "Ada & <Söhne> 李雷 🌊", "185xxxx7676", byte(0), int64(1654596672), int64(1654596675042), int64(900_000_000))
	f.Add("", "", "", byte(5), int64(-62135596800), int64(0), int64(0))
	f.Add("", "", "", byte(15), int64(253402300799), int64(-1), int64(1))
	for _, odd := range []string{"\u2028", "\u2029", "\ufffd", "\xff", "\xe2\x80", "\xed\xa0\x80", `"`, `\`, "\x00", "\t", "\x1f", "\x7f"} {
		f.Add(odd, "a"+odd, odd+"z", byte(0), int64(1654596672), int64(1654596675042), int64(0))
	}
	f.Fuzz(func(t *testing.T, userID, name, mobile string, absent byte, left, observed, nanoseconds int64) {
		e := schema.EmployeeLeft{
			UserID: userID, Name: &name, StateCode: &mobile, Mobile: &mobile, LeaveReason: &name, CorpID: name + userID,
			LeaveTime: time.Unix(left, nanoseconds), ObservedAt: time.UnixMilli(observed).Add(time.Duration(nanoseconds)),
		}
		for i, field := range []**string{&e.Name, &e.StateCode, &e.Mobile, &e.LeaveReason} {
			if absent&(1<<i) != 0 {
				*field = nil
			}
		}
		for _, at := range []time.Time{e.LeaveTime, e.ObservedAt} {
			if year := at.UTC().Year(); year < 0 || year > 9999 { // no time of DingTalk's or ours, and encoding/json writes none
				t.Skip()
			}
		}
		value, digest := e.JSONAndDigest()
		if want := reference(t, e); !bytes.Equal(value, want) || !bytes.Equal(e.JSON(), want) {
			t.Errorf("%+v is written as\n%s\n%s, want\n%s", e, e.JSON(), value, want)
		}
		l := schema.LedgerEntry{Digest: mobile, PublishedAt: e.ObservedAt}
		if got, want := l.JSON(), referenceEntry(t, l); !bytes.Equal(got, want) {
			t.Errorf("%+v is written as\n%s, want\n%s", l, got, want)
		}
		e.ObservedAt = time.Time{}
		if want := schema.Digest(reference(t, e)); digest != want {
			t.Errorf("digest %s, want %s", digest, want)
		}
	})
}

// reference is the event's JSON by encoding/json.
func reference(t *testing.T, e schema.EmployeeLeft) []byte {
	return encoded(t, struct {
		UserID      string    `json:"userId"`
		Name        *string   `json:"name,omitempty"`
		StateCode   *string   `json:"stateCode,omitempty"`
		Mobile      *string   `json:"mobile,omitempty"`
		LeaveTime   time.Time `json:"leaveTime"`
		LeaveReason *string   `json:"leaveReason,omitempty"`
		CorpID      string    `json:"corpId"`
		ObservedAt  string    `json:"observedAt"`
	}{
		e.UserID, e.Name, e.StateCode, e.Mobile, e.LeaveTime.UTC().Truncate(time.Second), e.LeaveReason, e.CorpID, milliseconds(e.ObservedAt),
	})
}

func referenceEntry(t *testing.T, l schema.LedgerEntry) []byte {
	return encoded(t, struct {
		Digest      string `json:"digest"`
		PublishedAt string `json:"publishedAt"`
	}{l.Digest, milliseconds(l.PublishedAt)})
}

func milliseconds(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func encoded(t *testing.T, v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// FuzzParseLedgerEntry: what is read by hand is read as encoding/json reads it.
func FuzzParseLedgerEntry(f *testing.F) {
	for _, value := range []string{
		`{"digest":"bfe5d697162d90298c67c1933908741b","publishedAt":"2022-06-07T10:11:15.042Z"}`,
		`{"digest":"a","publishedAt":"2022-06-07T18:11:15+08:00"}`,
		`{"digest":"a","publishedAt":"0000-01-01T00:00:00+00:01"}`,
		`{"digest":"","publishedAt":"2022-06-07T10:11:15.042Z"}`,
		`{"digest":"a","publishedAt":"2022-06-07T10:11:15.042Z","later":"}"}`,
		`{"digest":"a","digest":"b","publishedAt":"2022-06-07T10:11:15.042Z"}`,
		`{"digest":"a","publishedAt":"2022-06-07T10:11:15.042Z","publishedAt":"2023-06-07T10:11:15.042Z"}`,
		`{"digest":"\u0061\"","publishedAt":"2022-06-07T10:11:15.042Z"}`,
		"{\"digest\":\"\xff\n\",\"publishedAt\":\"2022-06-07T10:11:15.042Z\"}",
		`{"digest":"\\","publishedAt":"2022-06-07T10:11:15.042Z"}`,
		`{"digest":"\","publishedAt":"2022-06-07T10:11:15.042Z"}`,
		` {"publishedAt": "2022-06-07T10:11:15.042Z", "Digest": "a"} `,
		`{"digest":"a"}`, `{"digest":"a","publishedAt":"soon"}`, `null`,
	} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var want struct {
			Digest      string
			PublishedAt moment
		}
		err := json.Unmarshal(value, &want)
		year := want.PublishedAt.UTC().Year()
		readable := err == nil && want.Digest != "" && 0 <= year && year <= 9999
		got, err := schema.ParseLedgerEntry(value)
		if (err == nil) != readable || readable && (got.Digest != want.Digest || !got.PublishedAt.Equal(want.PublishedAt.Time)) {
			t.Errorf("%q is read as %+v, %v, want %+v", value, got, err, want)
		}
	})
}

// moment is read as leniently as time.Parse reads it; by itself, a time.Time is read more strictly.
type moment struct{ time.Time }

// UnmarshalText reads RFC 3339.
func (m *moment) UnmarshalText(b []byte) (err error) {
	m.Time, err = time.Parse(time.RFC3339, string(b))
	return err
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
