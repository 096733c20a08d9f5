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
func (d Departure) Key() string { return d.keyAfter("") }

// keyAfter is prefix and the departure's key.
func (d Departure) keyAfter(prefix string) string {
	b := make([]byte, 0, 128) // with most keys the string is the only allocation
	b = append(append(b, prefix...), d.CorpID...)
	b = append(append(b, '/'), d.UserID...)
	return string(appendTime(append(b, '@'), d.LeaveTime))
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
