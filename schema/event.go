package schema

import (
	_ "embed"
	"strings"
	"time"
)

// EventType is the CloudEvents type of an EmployeeLeft event; the version rises when a reader has to change.
const EventType = "com.dingtalk.contact.EmployeeLeft.v1"

// EmployeeLeft says that somebody left the organisation: one event a departure. The six fields of DingTalk's leave
// record keep DingTalk's names. A field that DingTalk left out, or sent as null, is nil here and absent from the JSON; an
// empty string stays an empty string.
//
// Source of the fields: DingTalk, "query the details of employees who have left office".
type EmployeeLeft struct {
	UserID      string    // unique in the organisation, 1 to 64 characters; a rehired person may bear it again
	Name        *string   // may be omitted, masked or digested, as FIELD_NAME says
	StateCode   *string   // country calling code of the mobile number, as a rule without "+"
	Mobile      *string   // may be omitted, masked or digested, as FIELD_MOBILE says
	LeaveTime   time.Time // when the employee left; UTC, whole seconds
	LeaveReason *string   // open set; known: leave, delete, oapi, cancel, unknown
	CorpID      string    // the organisation
	ObservedAt  time.Time // when the connector saw the record, on its own clock; milliseconds. LeaveTime to ObservedAt is how late the event is
}

// Departure is the identity of the departure that the event tells of.
func (e EmployeeLeft) Departure() Departure {
	return Departure{CorpID: e.CorpID, UserID: e.UserID, LeaveTime: e.LeaveTime}
}

const (
	// eventFrame is what an event takes beside its strings: names, punctuation, the two times.
	eventFrame = 155
	// eventEnd is what stands behind its last value, ObservedAt.
	eventEnd = `"}`
)

// JSON is the event's value: one flat object on one line.
func (e EmployeeLeft) JSON() []byte {
	size := eventFrame + len(e.UserID) + len(e.CorpID) // or somewhat more, where characters are escaped
	for _, s := range []*string{e.Name, e.StateCode, e.Mobile, e.LeaveReason} {
		if s != nil {
			size += len(*s)
		}
	}
	b := make([]byte, 0, size)
	b = appendString(append(b, `{"userId":`...), e.UserID)
	b = appendMember(b, `,"name":`, e.Name)
	b = appendMember(b, `,"stateCode":`, e.StateCode)
	b = appendMember(b, `,"mobile":`, e.Mobile)
	b = appendTime(append(b, `,"leaveTime":"`...), e.LeaveTime)
	b = appendMember(append(b, '"'), `,"leaveReason":`, e.LeaveReason)
	b = appendString(append(b, `,"corpId":`...), e.CorpID)
	b = stamp(e.ObservedAt).append(append(b, `,"observedAt":"`...))
	return append(b, eventEnd...)
}

// JSONAndDigest is JSON, and the digest of the published fields: that of the same JSON with a zero ObservedAt, since the next
// attempt at the same departure observes it at another time.
func (e EmployeeLeft) JSONAndDigest() (value []byte, digest string) {
	observedAt := e.ObservedAt
	e.ObservedAt = time.Time{}
	value = e.JSON()
	digest = Digest(value)
	value = value[:len(value)-len(eventEnd)-stampWidth] // one width for every stamp: the event need not be encoded twice
	return append(stamp(observedAt).append(value), eventEnd...), digest
}

// JSONSchema is the JSON Schema of [EmployeeLeft.JSON], as a registry takes it.
//
//go:embed employee-left.schema.json
var JSONSchema string

// Content says what the values on a topic are.
type Content struct {
	Type   string // media type
	Schema string // URI of the schema
}

// JSONContent is what [EmployeeLeft.JSON] is; its Schema is the $id of JSONSchema.
var JSONContent = Content{Type: "application/json", Schema: "urn:departures:employee-left:v1"}

// Headers are the CloudEvents 1.0 attributes of the event in Kafka's binary mode. Nothing in them changes from one attempt
// at the same departure to the next.
//
// Source: CloudEvents 1.0.2, Kafka protocol binding, section 3.2. No partitionkey: SDKs overwrite it with the record key.
func (e EmployeeLeft) Headers(c Content) []Header {
	return e.AppendHeaders(make([]Header, 0, 8), e.Departure().Key(), c)
}

// AppendHeaders appends the Headers of an event whose key is known already.
func (e EmployeeLeft) AppendHeaders(headers []Header, key string, c Content) []Header {
	return append(headers,
		Header{"ce_specversion", "1.0"},
		Header{"ce_id", key},
		Header{"ce_source", "/dingtalk/" + e.CorpID},
		Header{"ce_type", EventType},
		Header{"ce_time", key[strings.LastIndexByte(key, '@')+1:]},
		Header{"ce_subject", e.UserID},
		Header{"ce_dataschema", c.Schema},
		Header{"content-type", c.Type},
	)
}

// KeyIDHeader names the header of events and quarantined records that says which key made the digests in them, where personal fields are
// digested: so that keys can be changed, and readers know by which of theirs to compare.
const KeyIDHeader = "hmac_key_id"

// Quarantined is a leave record that could not be published honestly, on the quarantine topic for a person to look at.
type Quarantined struct {
	CorpID       string
	Reason       string    // what is wrong with the record, in words, without its values
	Record       string    // the record's text, personal fields treated as FIELD_* says; empty when RecordBase64 is set
	RecordBase64 string    // instead of Record where the text is not UTF-8
	WindowStart  time.Time // the window that showed the record, as asked; UTC, whole seconds
	WindowEnd    time.Time
	ObservedAt   time.Time // on the connector's own clock; milliseconds
}

// QuarantineKey is the key of a quarantined record: <corpId>/<digest>, digest being that of the record's compacted JSON.
func QuarantineKey(corpID, digest string) string { return corpID + "/" + digest }

// JSON is the value on the quarantine topic: one flat object on one line.
func (q Quarantined) JSON() []byte {
	return encode(struct {
		CorpID       string    `json:"corpId"`
		Reason       string    `json:"reason"`
		Record       string    `json:"record,omitempty"`
		RecordBase64 string    `json:"recordBase64,omitempty"`
		WindowStart  time.Time `json:"windowStart"`
		WindowEnd    time.Time `json:"windowEnd"`
		ObservedAt   stamp     `json:"observedAt"`
	}{q.CorpID, q.Reason, q.Record, q.RecordBase64, q.WindowStart.UTC(), q.WindowEnd.UTC(), stamp(q.ObservedAt)})
}
