// Package schema is every byte that departures puts into Kafka: the keys, values and headers of its three topics.
// Everything here is a plain value and a pure function; nothing dials, nothing redacts.
//
//	topic                      key                                        value
//	employee-left              <corpId>/<userId>@<leaveTime>              EmployeeLeft
//	employee-left-quarantine   <corpId>/<digest of the raw record>        Quarantined
//	employee-left-state        meta                                       Meta
//	(compacted)                session                                    Session
//	                           checkpoint/<corpId>                        Checkpoint
//	                           published/<corpId>/<userId>@<leaveTime>    LedgerEntry
//	                           quarantined/<corpId>/<digest>              LedgerEntry
//
// Events and quarantined records are partitioned by [PartitionKey] of the key, with the murmur2 of Java's default
// partitioner. Golden files under testdata hold every one of these bytes: readers rely on them for years.
package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Departure is the identity of one employee's leaving: the same person may leave again later, and is then another
// departure. LeaveTime is in UTC, whole seconds.
type Departure struct {
	CorpID    string
	UserID    string
	LeaveTime time.Time
}

// Key is the key of the departure's event, and its CloudEvents id: <corpId>/<userId>@<leaveTime>, with the userId raw.
// The part before the last "@" names the person, the part after it the time, RFC 3339 in UTC.
func (d Departure) Key() string {
	return d.CorpID + "/" + d.UserID + "@" + d.LeaveTime.UTC().Format(time.RFC3339)
}

// PartitionKey is the part of an event key that picks the partition: what stands before the last "@", <corpId>/<userId>,
// so that one person's departures stay in order. A key without "@" is its own partition key.
func PartitionKey(key []byte) []byte {
	if i := bytes.LastIndexByte(key, '@'); i >= 0 {
		return key[:i]
	}
	return key
}

// Digest is the hexadecimal of the first 16 bytes of SHA-256, the only digest that stands in keys and values.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value string
}

// encode is the JSON of v on one line, without HTML escaping: a name with "&" stays readable for every consumer.
// Values of this package always encode; anything else is a mistake in the program.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("schema: encode %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// stamp is a moment on our own clock, RFC 3339 in UTC with milliseconds.
type stamp time.Time

func (s stamp) MarshalText() ([]byte, error) {
	return []byte(time.Time(s).UTC().Format("2006-01-02T15:04:05.000Z")), nil
}

func (s *stamp) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.RFC3339, string(b))
	if t = t.UTC(); err == nil && (t.Year() < 0 || t.Year() > 9999) { // by its offset: RFC 3339 could not write it again
		err = errors.New("a time outside the years 0 to 9999")
	}
	*s = stamp(t)
	return err
}
