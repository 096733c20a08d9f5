package connector

import (
	"encoding/base64"
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
	cluster kafka.Config // for the names of its topics
	topics  kafka.Topics // for their limits
}

// sighting is a leave record as a page showed it, on its way to become an event or a quarantined record.
type sighting struct {
	record     dingtalk.LeaveRecord
	observedAt time.Time
	unreadable string // why it cannot be published; empty when it can
	digest     string // of the published fields, or of the raw record where there is nothing to publish
}

// see judges a leave record: the sighting, and what the walk has to know of it. A departure that does not fit into its topic cannot be
// published either; but one that was published before it grew so large stays what it is.
func (e encoder) see(lr dingtalk.LeaveRecord, observedAt time.Time, led *walk.Ledger) (sighting, walk.Record) {
	s := sighting{record: lr, observedAt: observedAt, unreadable: lr.Unreadable}
	if s.unreadable == "" {
		ev := e.event(s)
		id := walk.IDOf(schema.PublishedKey(ev.Departure()))
		s.unreadable = e.tooLarge(ev)
		if _, published := led.Content(id); published || s.unreadable == "" {
			ev.ObservedAt = time.Time{}
			s.digest = schema.Digest(ev.JSON())
			return s, walk.Record{ID: id, Content: contentOf(s.digest), UserID: ev.UserID, LeaveTime: ev.LeaveTime}
		}
	}
	s.digest = schema.Digest(lr.Raw)
	return s, walk.Record{ID: walk.IDOf(schema.QuarantinedKey(e.corpID, s.digest)), Content: contentOf(s.digest)}
}

// tooLarge says that the event or its ledger entry is larger than its topic allows; empty when both fit.
func (e encoder) tooLarge(ev schema.EmployeeLeft) string {
	event := e.eventRecord(ev).Size()
	entry := e.entry(schema.PublishedKey(ev.Departure()), schema.Digest(nil), time.Time{}).Size()
	switch {
	case event > e.topics.MaxEventBytes:
		return fmt.Sprintf("the event needs %d bytes and its topic takes %d (max.message.bytes)", event, e.topics.MaxEventBytes)
	case entry > e.topics.MaxStateBytes:
		return fmt.Sprintf("the ledger entry needs %d bytes and the state topic takes %d (max.message.bytes)", entry, e.topics.MaxStateBytes)
	}
	return ""
}

// event is the EmployeeLeft that a readable sighting becomes, personal fields treated as configured.
func (e encoder) event(s sighting) schema.EmployeeLeft {
	return schema.EmployeeLeft{
		UserID:      s.record.UserID,
		Name:        e.privacy.name(s.record.Name),
		StateCode:   plain(s.record.StateCode),
		Mobile:      e.privacy.mobile(s.record.Mobile),
		LeaveTime:   s.record.LeaveTime,
		LeaveReason: s.record.LeaveReason,
		CorpID:      e.corpID,
		ObservedAt:  s.observedAt,
	}
}

func (e encoder) eventRecord(ev schema.EmployeeLeft) kafka.Record {
	return kafka.Record{Topic: e.cluster.EventsTopic, Key: ev.Departure().Key(), Value: ev.JSON(), Headers: ev.Headers()}
}

// eventAndEntry is what a published departure adds to a transaction.
func (e encoder) eventAndEntry(s sighting, now time.Time) (event, entry kafka.Record) {
	ev := e.event(s)
	return e.eventRecord(ev), e.entry(schema.PublishedKey(ev.Departure()), s.digest, now)
}

// quarantinedAndEntry is what a record that cannot be published adds to a transaction: without the ledger entry it would come back with
// every poll.
func (e encoder) quarantinedAndEntry(s sighting, w walk.Window, now time.Time) (quarantined, entry kafka.Record) {
	q := schema.Quarantined{
		CorpID:      e.corpID,
		Reason:      s.unreadable,
		WindowStart: w.AskStart,
		WindowEnd:   w.AskEnd,
		ObservedAt:  s.observedAt,
	}
	// JSON writes at most six bytes for one; of a record that is too large for the topic the beginning is kept.
	text := e.privacy.redactRecord(s.record.Raw, max(0, e.topics.MaxQuarantineBytes-quarantineFrame)/6)
	if utf8.ValidString(text) {
		q.Record = text
	} else {
		q.RecordBase64 = base64.StdEncoding.EncodeToString([]byte(text))
	}
	key := schema.QuarantineKey(e.corpID, s.digest)
	quarantined = kafka.Record{Topic: e.cluster.QuarantineTopic, Key: key, Value: q.JSON()}
	return quarantined, e.entry(schema.QuarantinedKey(e.corpID, s.digest), s.digest, now)
}

// checkpoint is the checkpoint as a state record.
func (e encoder) checkpoint(cp schema.Checkpoint) kafka.Record {
	return kafka.Record{Topic: e.cluster.StateTopic, Key: schema.CheckpointKey(e.corpID), Value: cp.JSON()}
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
