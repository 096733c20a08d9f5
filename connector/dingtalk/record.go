package dingtalk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// LeaveRecord is one element of a page: somebody left, or, if Unreadable is set, something that cannot be published. Then
// only Raw, Unreadable and Repairs are set.
type LeaveRecord struct {
	UserID      string          // never empty; DOC: at most 64 characters, which is not demanded here
	Name        *Private        // this and the next three: nil if missing or null
	StateCode   *Private        // country calling code; DOC: without "+"
	Mobile      *Private        // may be masked by DingTalk
	LeaveReason *string         // open set; DOC: leave, delete, oapi, cancel, unknown
	LeaveTime   time.Time       // UTC, cut to whole seconds; a time without a zone is taken for UTC
	Raw         json.RawMessage // the beginning of it, if the record is larger than 64 KiB
	Unreadable  string          // why the record cannot be published, in words, without any of its values; empty if it can
	Repairs     Repairs         // what was put up with
}

// Repairs counts what was wrong with a record and could be read all the same.
type Repairs struct {
	RepeatedKeys int // known keys that stood more than once; the last one counts
	Numbers      int // numbers in the place of text, taken as they are written
	InvalidText  int // optional fields with something that is no Unicode, now U+FFFD
}

// Total is how many things were put up with.
func (r Repairs) Total() int { return r.RepeatedKeys + r.Numbers + r.InvalidText }

// String tells the record by its time alone: a userId names a person.
func (r LeaveRecord) String() string {
	if r.Unreadable != "" {
		return "unreadable leave record: " + r.Unreadable
	}
	return "leave record at " + r.LeaveTime.Format(time.RFC3339)
}

// Format prints what String gives under every verb: Raw holds all that Private hides.
func (r LeaveRecord) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue is what String gives.
func (r LeaveRecord) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText is what String gives.
func (r LeaveRecord) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// maxRecord bounds one record, in bytes: a window holds thousands of them in memory. One of the documented fields has a few hundred.
const maxRecord = 64 << 10

// parseRecord reads one element of records. It fails for nobody but itself.
func parseRecord(raw json.RawMessage) LeaveRecord {
	if len(raw) > maxRecord {
		return LeaveRecord{Raw: bytes.Clone(raw[:maxRecord]), Unreadable: "the record is larger than 64 KiB"}
	}
	o, ok := parseObject(raw)
	if !ok {
		return LeaveRecord{Raw: compact(raw), Unreadable: "the record is not an object"}
	}
	f := fields{object: o}
	r := LeaveRecord{
		UserID:      f.userID(),
		LeaveTime:   f.leaveTime(),
		Name:        (*Private)(f.optional("name")),
		StateCode:   (*Private)(f.optional("stateCode")),
		Mobile:      (*Private)(f.optional("mobile")),
		LeaveReason: f.optional("leaveReason"),
	}
	if len(f.faults) > 0 {
		r = LeaveRecord{Unreadable: strings.Join(f.faults, ", ")}
	}
	r.Raw, r.Repairs = compact(raw), f.repairs
	return r
}

// fields reads the fields of one record and notes what is wrong with them.
type fields struct {
	object  object
	repairs Repairs
	faults  []string
}

// get is the value of a key, the last one if there are several.
func (f *fields) get(key string) json.RawMessage {
	v, n := f.object.get(key)
	if n > 1 {
		f.repairs.RepeatedKeys++
	}
	return v
}

// fault notes why the record cannot be published. No value of it may stand in the reason.
func (f *fields) fault(reason string) { f.faults = append(f.faults, reason) }

// userID is half of a departure's identity: what cannot be read exactly is not read.
func (f *fields) userID() string {
	v := f.get("userId")
	s, isText := unquote(v)
	switch {
	case isMissing(v):
		f.fault("userId is missing")
	case isDigits(v):
		f.repairs.Numbers++
		return string(v)
	case isNumber(v):
		f.fault("userId is a number with more than digits")
	case !isText:
		f.fault("userId is not text")
	case !wellFormed(v):
		f.fault("userId is not valid Unicode")
	case s == "":
		f.fault("userId is empty")
	}
	return s
}

// leaveTime is the other half. A number is not guessed: it may count seconds, milliseconds or days.
func (f *fields) leaveTime() time.Time {
	v := f.get("leaveTime")
	s, isText := unquote(v)
	switch {
	case isMissing(v):
		f.fault("leaveTime is missing")
		return time.Time{}
	case isNumber(v):
		f.fault("leaveTime is a number")
		return time.Time{}
	case !isText:
		f.fault("leaveTime is not text")
		return time.Time{}
	}
	t, ok := parseLeaveTime(s)
	if !ok {
		f.fault("leaveTime cannot be read")
	}
	return t
}

// optional is the text of a field that a departure can do without; nil if it is missing or null.
func (f *fields) optional(key string) *string {
	v := f.get(key)
	if isMissing(v) {
		return nil
	}
	if isNumber(v) {
		f.repairs.Numbers++
		s := string(v)
		return &s
	}
	s, isText := unquote(v)
	if !isText {
		f.fault(key + " is not text")
		return nil
	}
	if !wellFormed(v) {
		f.repairs.InvalidText++
	}
	return &s
}

// compact is the JSON without white space between its tokens, or the bytes themselves if they are no JSON.
func compact(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return bytes.Clone(raw)
	}
	return b.Bytes()
}
