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
// only Unreadable and Repairs are set, and Compact says what it was.
type LeaveRecord struct {
	UserID      string    // never empty; DOC: at most 64 characters, which is not demanded here
	Name        *Private  // this and the next three: nil if missing or null
	StateCode   *Private  // country calling code; DOC: without "+"
	Mobile      *Private  // may be masked by DingTalk
	LeaveReason *string   // open set; DOC: leave, delete, oapi, cancel, unknown
	LeaveTime   time.Time // UTC, cut to whole seconds; a time without a zone is taken for UTC
	Unreadable  string    // why the record cannot be published, in words, without any of its values; empty if it can
	Repairs     Repairs   // what was put up with

	raw string // the record as it came, or the beginning of one larger than 64 KiB. Like the texts but userId it is a part of its page
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

// Format prints what String gives under every verb: the record as it came holds all that Private hides.
func (r LeaveRecord) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue is what String gives.
func (r LeaveRecord) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText is what String gives.
func (r LeaveRecord) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// maxRecord bounds one record, in bytes: a window holds thousands of them in memory. One of the documented fields has a few hundred.
const maxRecord = 64 << 10

// Compact is the record as it came, without white space between its tokens; of one larger than 64 KiB, its beginning.
func (r LeaveRecord) Compact() json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, []byte(r.raw)) != nil {
		return json.RawMessage(r.raw)
	}
	return b.Bytes()
}

// parseRecord reads one element of records. It fails for nobody but itself.
func parseRecord(raw string) LeaveRecord {
	if len(raw) > maxRecord {
		return LeaveRecord{raw: strings.Clone(raw[:maxRecord]), Unreadable: "the record is larger than 64 KiB"}
	}
	f, ok := splitFields(raw)
	if !ok {
		return LeaveRecord{raw: raw, Unreadable: "the record is not an object"}
	}
	texts := new([4]string) // one allocation for all that is pointed to
	r := LeaveRecord{
		UserID:      strings.Clone(f.readUserID()), // its own, since a walk keeps it for longer than the record
		LeaveTime:   f.readLeaveTime(),
		Name:        (*Private)(f.readOptional("name", f.name.value, &texts[0])),
		StateCode:   (*Private)(f.readOptional("stateCode", f.stateCode.value, &texts[1])),
		Mobile:      (*Private)(f.readOptional("mobile", f.mobile.value, &texts[2])),
		LeaveReason: f.readOptional("leaveReason", f.leaveReason.value, &texts[3]),
	}
	if len(f.faults) > 0 {
		r = LeaveRecord{Unreadable: strings.Join(f.faults, ", ")}
	}
	r.raw, r.Repairs = raw, f.repairs
	return r
}

// fields are those of one record, and what is wrong with them.
type fields struct {
	userID, name, stateCode, mobile, leaveTime, leaveReason field

	repairs Repairs
	faults  []string
}

// field is what stands in a record under one key.
type field struct {
	value string // the last one; empty if there is none
	times int
}

// splitFields takes apart a JSON value, if it is an object of at most maxElements members.
func splitFields(record string) (f fields, ok bool) {
	if record[0] != '{' {
		return f, false
	}
	n := 0
	for key, value := range members(record) {
		if n++; n > maxElements {
			return f, false
		}
		known := f.under(key)
		if known == nil {
			continue
		}
		known.value = value
		if known.times++; known.times == 2 {
			f.repairs.RepeatedKeys++
		}
	}
	return f, true
}

// under is the field with a key; nil if the key is unknown.
func (f *fields) under(key string) *field {
	switch key {
	case "userId":
		return &f.userID
	case "name":
		return &f.name
	case "stateCode":
		return &f.stateCode
	case "mobile":
		return &f.mobile
	case "leaveTime":
		return &f.leaveTime
	case "leaveReason":
		return &f.leaveReason
	}
	return nil
}

// fault notes why the record cannot be published. No value of it may stand in the reason.
func (f *fields) fault(reason string) { f.faults = append(f.faults, reason) }

// readUserID reads half of a departure's identity: what cannot be read exactly is not read.
func (f *fields) readUserID() string {
	v := f.userID.value
	s, isText := unquote(v)
	switch {
	case isMissing(v):
		f.fault("userId is missing")
	case isDigits(v):
		f.repairs.Numbers++
		return v
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

// readLeaveTime reads the other half. A number is not guessed: it may count seconds, milliseconds or days.
func (f *fields) readLeaveTime() time.Time {
	v := f.leaveTime.value
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

// readOptional puts the text of a field that a departure can do without into s and returns s; nil if it is missing or null.
func (f *fields) readOptional(key, v string, s *string) *string {
	if isMissing(v) {
		return nil
	}
	if isNumber(v) {
		f.repairs.Numbers++
		*s = v
		return s
	}
	text, isText := unquote(v)
	if !isText {
		f.fault(key + " is not text")
		return nil
	}
	if !wellFormed(v) {
		f.repairs.InvalidText++
	}
	*s = text
	return s
}
