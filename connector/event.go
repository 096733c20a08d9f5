package connector

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"departures/connector/dingtalk"
	"departures/connector/kafka"
	"departures/connector/walk"
	"departures/schema"
)

// quarantineFrame is what a quarantined record takes beside the text it quotes: key, reason, times, names.
const quarantineFrame = 2048

// encoder turns the leave records of one organisation into what is published. Everything it makes is a function of the
// leave record and the configuration, observedAt apart.
type encoder struct {
	corpID  string
	privacy Privacy
	keyID   string // of the privacy's key, empty where nothing is digested
	codec   codec
	cluster kafka.Config // for the names of its topics
	topics  kafka.Topics // for their limits
}

// sighting is a leave record as a page showed it, on its way to become an event or a quarantined record, and what the walk has to know of
// it. Thousands are held of each window, so it keeps no more than is needed.
type sighting struct {
	record  walk.Record
	event   []byte // its value; nil if there is none
	digest  string // of the published fields, or of the raw record where there is nothing to publish
	repairs int
	unfit   *unfit // nil if it can be published
}

// unfit is what else there is of a leave record that cannot be published.
type unfit struct {
	reason     string
	raw        json.RawMessage
	observedAt time.Time
	window     walk.Window  // that showed it
	outgrown   *walk.Record // the departure, if it is too large for its topic: one that was published before it grew stays what it is
}

// see judges the leave records of a page.
func (e encoder) see(page dingtalk.Page, w walk.Window) []sighting {
	seen := make([]sighting, len(page.Records))
	for i, lr := range page.Records {
		seen[i] = e.judge(lr, w, page.ArrivedAt)
	}
	return seen
}

// judge tells what becomes of a leave record. A departure that does not fit into its topic cannot be published either.
func (e encoder) judge(lr dingtalk.LeaveRecord, w walk.Window, observedAt time.Time) sighting {
	if lr.Unreadable != "" {
		return e.quarantine(lr, unfit{reason: lr.Unreadable, window: w, observedAt: observedAt})
	}
	ev := e.event(lr)
	ev.ObservedAt = observedAt
	s := sighting{repairs: lr.Repairs.Total()}
	s.event, s.digest = e.codec.encode(ev)
	s.record = walk.Record{ID: walk.IDOf(schema.PublishedKey(ev.Departure())), Content: contentOf(s.digest), UserID: ev.UserID, LeaveTime: ev.LeaveTime}
	if reason := e.tooLarge(&s); reason != "" {
		departure := s.record
		return e.quarantine(lr, unfit{reason: reason, window: w, observedAt: observedAt, outgrown: &departure})
	}
	return s
}

func (e encoder) quarantine(lr dingtalk.LeaveRecord, u unfit) sighting {
	u.raw = lr.Compact()
	s := sighting{digest: schema.Digest(u.raw), repairs: lr.Repairs.Total(), unfit: &u}
	s.record = walk.Record{ID: walk.IDOf(schema.QuarantinedKey(e.corpID, s.digest)), Content: contentOf(s.digest)}
	return s
}

// tooLarge says that the event or its ledger entry is larger than its topic allows; empty when both fit.
func (e encoder) tooLarge(s *sighting) string {
	// Both keys, the headers and the entry's value are shorter than that.
	if n := len(s.event) + 4*(len(s.record.UserID)+len(e.corpID)) + mostURL + 1024; n <= min(e.topics.MaxEventBytes, e.topics.MaxStateBytes) {
		return ""
	}
	event, entry := e.eventAndEntry(s, time.Time{}, nil)
	switch {
	case event.Size() > e.topics.MaxEventBytes:
		return fmt.Sprintf("the event needs %d bytes and its topic takes %d (max.message.bytes)", event.Size(), e.topics.MaxEventBytes)
	case entry.Size() > e.topics.MaxStateBytes:
		return fmt.Sprintf("the ledger entry needs %d bytes and the state topic takes %d (max.message.bytes)", entry.Size(), e.topics.MaxStateBytes)
	}
	return ""
}

// event is the EmployeeLeft that a readable leave record becomes, personal fields treated as configured.
func (e encoder) event(lr dingtalk.LeaveRecord) schema.EmployeeLeft {
	return schema.EmployeeLeft{
		UserID:      lr.UserID,
		Name:        e.privacy.name(lr.Name),
		StateCode:   plain(lr.StateCode),
		Mobile:      e.privacy.mobile(lr.Mobile),
		LeaveTime:   lr.LeaveTime,
		LeaveReason: lr.LeaveReason,
		CorpID:      e.corpID,
	}
}

// eventAndEntry is what a published departure adds to a transaction; the event's headers take the place of those given, which are none.
func (e encoder) eventAndEntry(s *sighting, now time.Time, headers []schema.Header) (event, entry kafka.Record) {
	// All that keys and headers need.
	ev := schema.EmployeeLeft{CorpID: e.corpID, UserID: s.record.UserID, LeaveTime: s.record.LeaveTime}
	key, published := ev.Departure().Keys()
	headers = e.appendKeyID(ev.AppendHeaders(headers, key, e.codec.content))
	event = kafka.Record{Topic: e.cluster.EventsTopic, Key: key, Value: s.event, Headers: headers}
	return event, e.entry(published, s.digest, now)
}

// appendKeyID says by which key a record's digests were made, where there may be any.
func (e encoder) appendKeyID(headers []schema.Header) []schema.Header {
	if e.keyID == "" {
		return headers
	}
	return append(headers, schema.Header{Key: schema.KeyIDHeader, Value: e.keyID})
}

// quarantinedAndEntry is what a record that cannot be published adds to a transaction: without the ledger entry it would come back with
// every poll.
func (e encoder) quarantinedAndEntry(s *sighting, now time.Time) (quarantined, entry kafka.Record) {
	q := schema.Quarantined{
		CorpID:      e.corpID,
		Reason:      s.unfit.reason,
		WindowStart: s.unfit.window.AskStart,
		WindowEnd:   s.unfit.window.AskEnd,
		ObservedAt:  s.unfit.observedAt,
	}
	// JSON writes at most six bytes for one; of a record that is too large for the topic the beginning is kept.
	text := e.privacy.redactRecord(s.unfit.raw, max(0, e.topics.MaxQuarantineBytes-quarantineFrame)/6)
	if utf8.ValidString(text) {
		q.Record = text
	} else {
		q.RecordBase64 = base64.StdEncoding.EncodeToString([]byte(text))
	}
	key := schema.QuarantineKey(e.corpID, s.digest)
	quarantined = kafka.Record{Topic: e.cluster.QuarantineTopic, Key: key, Value: q.JSON(), Headers: e.appendKeyID(nil)}
	return quarantined, e.entry(schema.QuarantinedKey(e.corpID, s.digest), s.digest, now)
}

// checkpointRecord is a checkpoint as a state record.
func checkpointRecord(stateTopic, corpID string, cp schema.Checkpoint) kafka.Record {
	return kafka.Record{Topic: stateTopic, Key: schema.CheckpointKey(corpID), Value: cp.JSON()}
}

func (e encoder) entry(stateKey, digest string, now time.Time) kafka.Record {
	return kafka.Record{
		Topic: e.cluster.StateTopic,
		Key:   stateKey,
		Value: schema.LedgerEntry{Digest: digest, PublishedAt: now}.JSON(),
	}
}

// contentOf is the part of a digest that the ledger keeps in memory: enough to see that a record changed. A digest that is
// not hexadecimal, which this program never wrote, is 0.
func contentOf(digest string) uint32 {
	if len(digest) < 8 {
		return 0
	}
	n, err := strconv.ParseUint(digest[:8], 16, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func plain(p *dingtalk.Private) *string {
	if p == nil {
		return nil
	}
	s := p.Plain()
	return &s
}
