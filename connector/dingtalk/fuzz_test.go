package dingtalk

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzPage: whatever comes as a page, each element of records is readable or says why not, and none is dropped.
func FuzzPage(f *testing.F) {
	for _, s := range []string{
		`{"records":[` + record("u1") + `,null,7,{"userId":"\ud83d","leaveTime":1}],"nextToken":"a"}`,
		`{"records":null,"nextToken":0}`, `{"records":[{"userId":1,"userId":2,` + leaves + `}]}`, `{"records":[],"records":[]}`,
		`{"records":[{"userId":"a","name":"b\tc","stateCode":86,"mobile":"\\","leaveReason":"x","leaveReason":null,` + leaves + `}]}`,
		`{"records":[{}],"Records":[]}`, `{"code":"x","message":"m"}`, `{"status":1111}`, `<html>`, `{"records":[` + "{\"userId\":\"\xff\"}]}", ` {"records" : [ ] } x`,
	} {
		f.Add(200, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := answer{status: status, body: body}
		o, err := a.object(op)
		if err != nil {
			return
		}
		records, token, reason := parsePage(o)
		if reason != "" {
			return
		}
		if token == firstToken {
			t.Error("the walk would start again")
		}
		var page struct{ Elements []json.RawMessage }
		var all map[string]json.RawMessage // exact case, unlike a struct
		if json.Unmarshal(body, &all) != nil || all["records"] == nil {
			t.Fatal("a page without records")
		}
		if err := json.Unmarshal(all["records"], &page.Elements); err != nil || len(page.Elements) != len(records) {
			t.Fatalf("%d elements, %d records: %v", len(page.Elements), len(records), err)
		}
		for i, r := range records {
			checkRecord(t, page.Elements[i], r)
		}
	})
}

func checkRecord(t *testing.T, element json.RawMessage, r LeaveRecord) {
	t.Helper()
	if len(element) > maxRecord {
		if r.Unreadable == "" || !bytes.Equal(r.Compact(), element[:maxRecord]) {
			t.Errorf("%d bytes: %q", len(element), r.Unreadable)
		}
		return
	}
	var compacted bytes.Buffer
	if json.Compact(&compacted, element) != nil || !bytes.Equal(compacted.Bytes(), r.Compact()) {
		t.Errorf("raw: %q of %q", r.Compact(), element)
	}
	switch readable := r.UserID != "" && !r.LeaveTime.IsZero(); {
	case readable == (r.Unreadable != ""):
		t.Errorf("neither readable nor unreadable, or both: %q", element)
	case !readable:
		return
	}
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(element))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		t.Fatalf("%q: %v", element, err)
	}
	if !utf8.ValidString(r.UserID) {
		t.Errorf("userId %q of %q", r.UserID, element)
	}
	for key, got := range map[string]*string{
		"userId": &r.UserID, "name": (*string)(r.Name), "stateCode": (*string)(r.StateCode), "mobile": (*string)(r.Mobile), "leaveReason": r.LeaveReason,
	} {
		var want *string
		switch v := fields[key].(type) {
		case string:
			want = &v
		case json.Number:
			want = new(v.String())
		}
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s of %q: got %v, want %v", key, element, got, want)
		}
	}
}

// FuzzLeaveTime: what is read is UTC in whole seconds within the years, and agrees with the standard library.
func FuzzLeaveTime(f *testing.F) {
	for _, s := range []string{"2024-06-02T10:00:00Z", "2024-06-02T10:00Z", "2024-06-02 10:00:00.999+08:00", "2024-06-02T10:00", "9999-12-31T23:59:59-00:01", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseLeaveTime(s)
		if ok && (got.Location() != time.UTC || got.Nanosecond() != 0 || got.Year() < 1970 || 9999 < got.Year()) {
			t.Errorf("%q: %v", s, got)
		}
		if again, twice := parseLeaveTime(got.Format(time.RFC3339)); ok && (!twice || !again.Equal(got)) {
			t.Errorf("%q: %v, and read again %v", s, got, again)
		}
		if isDocumented(s) && rfc3339(s) != s {
			t.Errorf("%q has the documented shape and no shape at all", s)
		}
		want, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || want.Format(time.RFC3339Nano) != s { // the standard library takes hours of one digit, commas and more
			return
		}
		_, offset := want.Zone()
		if want.UTC().Year() < 1970 || 9999 < want.UTC().Year() || offset <= -24*3600 || 24*3600 <= offset {
			return
		}
		if !ok || !want.Truncate(time.Second).Equal(got) {
			t.Errorf("%q: got %v, %v, want %v", s, got, ok, want)
		}
	})
}
