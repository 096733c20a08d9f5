package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// FormatVersion is the version of the state records that this program writes.
	FormatVersion = 1
	// KeyFormat is how this version forms an event key. It is frozen with the first session: another format would
	// publish every departure again under a new key.
	KeyFormat = "corpId/userId@leaveTime"
)

// Keys of the state topic that are whole in themselves.
const (
	MetaKey    = "meta"
	SessionKey = "session"
)

// Prefixes of the state topic's other keys; each is followed by the corpId.
const (
	checkpointPrefix  = "checkpoint/"
	publishedPrefix   = "published/"
	quarantinedPrefix = "quarantined/"
)

// CheckpointKey is the state key of an organisation's checkpoint.
func CheckpointKey(corpID string) string { return checkpointPrefix + corpID }

// PublishedKey is the state key of the ledger entry for a published departure.
func PublishedKey(d Departure) string { return d.keyAfter(publishedPrefix) }

// Keys are the departure's two keys, of its event and of its ledger entry. They share memory.
func (d Departure) Keys() (event, published string) {
	published = PublishedKey(d)
	return published[len(publishedPrefix):], published
}

// QuarantinedKey is the state key of the ledger entry for a quarantined record.
func QuarantinedKey(corpID, digest string) string {
	return quarantinedPrefix + QuarantineKey(corpID, digest)
}

// Kind says what a state record is: the first part of its key.
type Kind string

// The kinds of state record; Unknown is a key that this version does not know.
const (
	Unknown         Kind = ""
	KindMeta        Kind = "meta"
	KindSession     Kind = "session"
	KindCheckpoint  Kind = "checkpoint"
	KindPublished   Kind = "published"
	KindQuarantined Kind = "quarantined"
)

// StateKey splits a key of the state topic into its kind and, where the kind has one, the corpId. A corpId holds no "/".
func StateKey(key string) (kind Kind, corpID string) {
	if key == MetaKey || key == SessionKey {
		return Kind(key), ""
	}
	first, rest, more := strings.Cut(key, "/")
	switch kind = Kind(first); kind {
	case KindCheckpoint, KindPublished, KindQuarantined:
		if corpID, _, _ = strings.Cut(rest, "/"); more {
			return kind, corpID
		}
	}
	return Unknown, ""
}

// Meta says what the state was written for. It stands in every partition of the state topic that ever had a session; one
// that does not match what is configured refuses the start.
type Meta struct {
	FormatVersion    int    `json:"formatVersion"`    // of the program that wrote it
	MinReaderVersion int    `json:"minReaderVersion"` // the least version that can read this state
	Partitions       int    `json:"partitions"`       // an organisation lives in murmur2(corpId) modulo this
	EventsTopic      string `json:"eventsTopic"`
	EventsTopicID    string `json:"eventsTopicId,omitempty"` // Kafka's id of the topic: a recreated topic has another; absent below Kafka 2.8
	Encoding         string `json:"encoding"`
	KeyFormat        string `json:"keyFormat"`
}

// JSON is the record's value.
func (m Meta) JSON() []byte { return encode(m) }

// ParseMeta reads a meta record. A state that only a newer program can read is an error which says so.
func ParseMeta(b []byte) (Meta, error) {
	var m Meta
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("meta record: %w", err)
	}
	if m.MinReaderVersion > FormatVersion {
		return m, fmt.Errorf("meta record: the state has format %d and needs a program that reads format %d; this one reads up to %d: use the newer version of departures that wrote it",
			m.FormatVersion, m.MinReaderVersion, FormatVersion)
	}
	if m.FormatVersion < 1 || m.MinReaderVersion < 1 || m.Partitions < 1 || m.EventsTopic == "" || m.Encoding == "" || m.KeyFormat == "" {
		return m, errors.New("meta record: a field is missing")
	}
	return m, nil
}

// Session is the barrier that a new owner of a state partition writes: whoever finds a newer one than its own was fenced.
type Session struct {
	Instance   string    // host name and process id, or KAFKA_INSTANCE_ID: for people
	ProducerID int64     // Kafka's
	Epoch      int16     // Kafka's
	Since      time.Time // on the owner's own clock; milliseconds
}

type sessionJSON struct {
	Instance   string `json:"instance"`
	ProducerID int64  `json:"producerId"`
	Epoch      int16  `json:"epoch"`
	Since      stamp  `json:"since"`
}

// JSON is the record's value.
func (s Session) JSON() []byte {
	return encode(sessionJSON{s.Instance, s.ProducerID, s.Epoch, stamp(s.Since)})
}

// ParseSession reads a session record.
func ParseSession(b []byte) (Session, error) {
	var s sessionJSON
	if err := json.Unmarshal(b, &s); err != nil {
		return Session{}, fmt.Errorf("session record: %w", err)
	}
	return Session{s.Instance, s.ProducerID, s.Epoch, time.Time(s.Since)}, nil
}

// Checkpoint is where an organisation's walk stands. All times are UTC, whole seconds, on DingTalk's clock, but for
// ObservedAt. It is at once the consumers' completeness watermark: complete through HighWaterMark, observed at ObservedAt.
type Checkpoint struct {
	// HighWaterMark: everything that DingTalk showed with a leaveTime up to here is published. It is the end of the last
	// window that was walked completely, not the latest leaveTime seen. Never later than now, never back.
	HighWaterMark time.Time `json:"highWaterMark"`
	// ReconciledThrough is the same for the reconcile walk. During a first catch-up it may be later than HighWaterMark: there
	// is nothing to reconcile yet, and it says nothing of completeness.
	ReconciledThrough time.Time `json:"reconciledThrough"`
	// Floor is START: what left before it is not published. It moves by an operator's word only.
	Floor time.Time `json:"floor"`
	// Gaps are spans that DingTalk refused to show, kept until an operator acknowledges them.
	Gaps []Gap `json:"gaps,omitempty"`

	LastLeaveTime *time.Time `json:"lastLeaveTime,omitempty"` // the latest leaveTime published; for people, it steers nothing
	Published     int64      `json:"published"`               // departures published since the first start; for people
	Quarantined   int64      `json:"quarantined"`             // records quarantined since the first start; for people

	ObservedAt   time.Time `json:"observedAt"`   // our clock when the last completed window's last page arrived; milliseconds
	AppKeyDigest string    `json:"appKeyDigest"` // Digest of the app key, so that a mistyped corpId is found
}

// Gap is a span of leaveTime that DingTalk refused to show: whoever left in it may be missing from the events.
type Gap struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// checkpointJSON gives ObservedAt its milliseconds; the other fields are encoded as they stand.
type checkpointJSON struct {
	plainCheckpoint
	ObservedAt stamp `json:"observedAt"`
}

type plainCheckpoint Checkpoint

// JSON is the record's value.
func (c Checkpoint) JSON() []byte {
	return encode(checkpointJSON{plainCheckpoint(c), stamp(c.ObservedAt)})
}

// ParseCheckpoint reads a checkpoint record. One without its marks is an error: a state that cannot be read never becomes
// a default.
func ParseCheckpoint(b []byte) (Checkpoint, error) {
	var c checkpointJSON
	if err := json.Unmarshal(b, &c); err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint record: %w", err)
	}
	if c.HighWaterMark.IsZero() || c.ReconciledThrough.IsZero() || c.Floor.IsZero() {
		return Checkpoint{}, errors.New("checkpoint record: highWaterMark, reconciledThrough or floor is missing")
	}
	cp := Checkpoint(c.plainCheckpoint)
	cp.ObservedAt = time.Time(c.ObservedAt)
	return cp, nil
}

// LedgerEntry says that a departure was published, or a record quarantined: it will not be again.
type LedgerEntry struct {
	Digest      string    // of the published fields, so that a later change of the record is seen; of the raw record in quarantine
	PublishedAt time.Time // on our clock; milliseconds
}

// What stands before, between and behind the two values of a ledger entry as this program writes it.
const (
	entryBegin  = `{"digest":`
	entryMiddle = `,"publishedAt":"`
	entryEnd    = `"}`
)

// JSON is the record's value.
func (l LedgerEntry) JSON() []byte {
	b := make([]byte, 0, 96) // an entry of ours takes 86 bytes
	b = appendString(append(b, entryBegin...), l.Digest)
	b = stamp(l.PublishedAt).append(append(b, entryMiddle...))
	return append(b, entryEnd...)
}

// ParseLedgerEntry reads a ledger entry. A restore reads one for every departure: one that is written as JSON writes it is
// taken apart by hand, any other by encoding/json.
func ParseLedgerEntry(b []byte) (LedgerEntry, error) {
	if l, ok := cutLedgerEntry(b); ok {
		return l, nil
	}
	var l struct {
		Digest      string `json:"digest"`
		PublishedAt stamp  `json:"publishedAt"`
	}
	if err := json.Unmarshal(b, &l); err != nil {
		return LedgerEntry{}, fmt.Errorf("ledger entry: %w", err)
	}
	if l.Digest == "" {
		return LedgerEntry{}, errors.New("ledger entry: digest is missing")
	}
	return LedgerEntry{l.Digest, time.Time(l.PublishedAt)}, nil
}

// cutLedgerEntry reads an entry without looking at what JSON allows beside the one form that LedgerEntry.JSON gives it.
func cutLedgerEntry(b []byte) (l LedgerEntry, ok bool) {
	b, begins := bytes.CutPrefix(b, []byte(entryBegin+`"`))
	b, ends := bytes.CutSuffix(b, []byte(entryEnd))
	digest, at, both := bytes.Cut(b, []byte(`"`+entryMiddle))
	if !begins || !ends || !both || len(digest) == 0 {
		return l, false
	}
	var published stamp
	if published.UnmarshalText(at) != nil {
		return l, false
	}
	l = LedgerEntry{string(digest), time.Time(published)}
	return l, plain(l.Digest) // neither an escape nor the end of another string stands in it
}
