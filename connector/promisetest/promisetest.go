// Package promisetest reads what stands in Kafka and says whether the promise was kept. It knows nothing of the connector: it
// reads the topics with a plain client from their beginning and holds them against what the simulated DingTalk showed.
//
//	I1  every departure that was shown is on the events topic
//	I2  none is there twice
//	I3  highWaterMark, reconciledThrough and floor never go back
//	I4  no event without its ledger entry, no ledger entry without its event; the same for quarantined records
//	I5  nothing of an older session behind a newer session's barrier
//	I6  the same departure has the same key, id and value on every attempt, observedAt apart, aborted attempts included
//	I7  one person's departures of one window in the order of their leaveTime
//
// What cannot be read from Kafka is checked where the program runs: I8, no secret, name or mobile number is ever logged or shown; I9, no
// goroutine is left behind.
//
// Tests and the demo use it; the connector does not.
package promisetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Topics are the names of the connector's topics.
type Topics struct{ Events, Quarantine, State string }

// Account is everything that the topics held at one moment.
type Account struct {
	Events      []*kgo.Record // committed, each partition in order
	Attempts    []*kgo.Record // of the events topic, aborted ones included
	Quarantined []*kgo.Record
	State       []*kgo.Record // committed, each partition in order
}

// Read reads all that is committed in the topics at this moment, and the aborted attempts at events.
func Read(ctx context.Context, brokers []string, topics Topics, opts ...kgo.Opt) (*Account, error) {
	var a Account
	for _, r := range []struct {
		topic string
		read  func(context.Context, []string, string, ...kgo.Opt) ([]*kgo.Record, error)
		into  *[]*kgo.Record
	}{
		{topics.Events, kafkatest.ReadCommitted, &a.Events},
		{topics.Events, kafkatest.ReadAttempts, &a.Attempts},
		{topics.Quarantine, kafkatest.ReadCommitted, &a.Quarantined},
		{topics.State, kafkatest.ReadCommitted, &a.State},
	} {
		records, err := r.read(ctx, brokers, r.topic, opts...)
		if err != nil {
			return nil, err
		}
		*r.into = records
	}
	return &a, nil
}

// Departure is what identifies a departure: the value of an event, as far as the promise speaks of it.
type Departure struct {
	UserID    string
	LeaveTime time.Time // UTC, whole seconds
}

// Owed is what has to be on the events topic: whatever the simulated DingTalk shows, or has shown, from floor on and that can be read.
func Owed(sim *dingtalktest.Server, floor time.Time) []Departure {
	var all []Departure
	for _, d := range sim.Truth() {
		if d.Raw == nil && !d.LeaveTime.Before(floor) && (!d.Removed || d.Shown) {
			all = append(all, Departure{UserID: d.UserID, LeaveTime: d.LeaveTime})
		}
	}
	return all
}

func (d Departure) key(corpID string) string {
	return corpID + "/" + d.UserID + "@" + d.LeaveTime.UTC().Format(time.RFC3339)
}

// Count holds the events of an organisation against what was shown.
func (a *Account) Count(corpID string, shown []Departure) (lost, twice, extra []string) {
	times := map[string]int{}
	for _, r := range a.Events {
		if key := string(r.Key); strings.HasPrefix(key, corpID+"/") {
			times[key]++
		}
	}
	for _, d := range shown {
		key := d.key(corpID)
		switch n := times[key]; {
		case n == 0:
			lost = append(lost, key)
		case n > 1:
			twice = append(twice, key)
		}
		delete(times, key)
	}
	return lost, twice, slices.Sorted(maps.Keys(times))
}

// Check holds the account against I2 to I7, and gives a line for each breach.
func (a *Account) Check() []string {
	var breaches []string
	for _, check := range []func() []string{a.onceEach, a.neverBack, a.eventsAndLedger, a.barriers, a.sameOnEveryAttempt, a.inOrder} {
		found := check()
		if len(found) > 5 {
			found = append(found[:5], fmt.Sprintf("… and %d more", len(found)-5))
		}
		breaches = append(breaches, found...)
	}
	return breaches
}

// onceEach is I2, for events and quarantined records.
func (a *Account) onceEach() (breaches []string) {
	for _, topic := range [][]*kgo.Record{a.Events, a.Quarantined} {
		seen := map[string]bool{}
		for _, r := range topic {
			if seen[string(r.Key)] {
				breaches = append(breaches, fmt.Sprintf("I2: %s stands twice in %s", r.Key, r.Topic))
			}
			seen[string(r.Key)] = true
		}
	}
	return breaches
}

type marks struct {
	HighWaterMark, ReconciledThrough, Floor time.Time
}

// neverBack is I3.
func (a *Account) neverBack() (breaches []string) {
	last := map[string]marks{}
	for _, r := range a.State {
		corpID, ok := strings.CutPrefix(string(r.Key), "checkpoint/")
		if !ok {
			continue
		}
		var m marks
		if err := json.Unmarshal(r.Value, &m); err != nil {
			breaches = append(breaches, fmt.Sprintf("I3: checkpoint at offset %d cannot be read: %v", r.Offset, err))
			continue
		}
		before, known := last[corpID]
		if known && (m.HighWaterMark.Before(before.HighWaterMark) || m.ReconciledThrough.Before(before.ReconciledThrough) || m.Floor.Before(before.Floor)) {
			breaches = append(breaches, fmt.Sprintf("I3: a mark of %s went back at offset %d: %+v after %+v", corpID, r.Offset, m, before))
		}
		if known && !m.Floor.Equal(before.Floor) {
			breaches = append(breaches, fmt.Sprintf("I3: the floor of %s moved at offset %d without an operator", corpID, r.Offset))
		}
		last[corpID] = m
	}
	return breaches
}

// entries gives the time of publishing by key, for the ledger entries under a prefix.
func (a *Account) entries(prefix string) map[string]string {
	published := map[string]string{}
	for _, r := range a.State {
		key, ok := strings.CutPrefix(string(r.Key), prefix)
		if !ok {
			continue
		}
		var entry struct{ PublishedAt string }
		if json.Unmarshal(r.Value, &entry) == nil {
			published[key] = entry.PublishedAt
		}
	}
	return published
}

// eventsAndLedger is I4.
func (a *Account) eventsAndLedger() (breaches []string) {
	for _, pair := range []struct {
		prefix string
		topic  []*kgo.Record
	}{{"published/", a.Events}, {"quarantined/", a.Quarantined}} {
		entries := a.entries(pair.prefix)
		for _, r := range pair.topic {
			if _, ok := entries[string(r.Key)]; !ok {
				breaches = append(breaches, fmt.Sprintf("I4: %s stands in %s and not in the ledger", r.Key, r.Topic))
			}
			delete(entries, string(r.Key))
		}
		for key := range entries {
			breaches = append(breaches, fmt.Sprintf("I4: the ledger names %s%s, which was not published", pair.prefix, key))
		}
	}
	return breaches
}

// barriers is I5: in a state partition nothing is written by a producer whose epoch has been left behind, or whose id has. Kafka raises
// the epoch with every session, and from 4.0 on with every transaction; when the epochs of an id are used up, a new id follows.
func (a *Account) barriers() (breaches []string) {
	type producer struct {
		id    int64
		epoch int16
	}
	last, retired := map[int32]producer{}, map[int64]bool{}
	for _, r := range a.State {
		now, before := producer{r.ProducerID, r.ProducerEpoch}, last[r.Partition]
		switch {
		case retired[now.id], now.id == before.id && now.epoch < before.epoch:
			breaches = append(breaches, fmt.Sprintf("I5: partition %d offset %d (%s) was written by %+v, behind %+v", r.Partition, r.Offset, r.Key, now, before))
		case now.id != before.id:
			retired[before.id] = before != producer{}
		}
		last[r.Partition] = now
		if string(r.Key) == "session" {
			breaches = append(breaches, barrierOf(r)...)
		}
	}
	return breaches
}

// barrierOf checks that a session record names the producer that wrote it.
func barrierOf(r *kgo.Record) []string {
	var named struct {
		ProducerID int64
		Epoch      int16
	}
	err := json.Unmarshal(r.Value, &named)
	if err == nil && named.ProducerID == r.ProducerID && named.Epoch <= r.ProducerEpoch {
		return nil
	}
	return []string{fmt.Sprintf("I5: the session record at partition %d offset %d names producer %+v and was written by %d epoch %d (%v)", r.Partition, r.Offset, named, r.ProducerID, r.ProducerEpoch, err)}
}

// sameOnEveryAttempt is I6.
func (a *Account) sameOnEveryAttempt() (breaches []string) {
	first := map[string]string{}
	for _, r := range a.Attempts {
		was, known := first[string(r.Key)]
		now := withoutObservedAt(r)
		if !slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "ce_id" && string(h.Value) == string(r.Key) }) {
			breaches = append(breaches, fmt.Sprintf("I6: the ce_id of %s is not its key", r.Key))
		}
		if known && was != now {
			breaches = append(breaches, fmt.Sprintf("I6: %s was another event on another attempt:\n%s\n%s", r.Key, was, now))
		}
		first[string(r.Key)] = now
	}
	return breaches
}

// withoutObservedAt is a record as text: headers and value, but for the one field that tells of the attempt.
func withoutObservedAt(r *kgo.Record) string {
	var value map[string]json.RawMessage
	if err := json.Unmarshal(r.Value, &value); err != nil {
		return "no JSON object: " + err.Error()
	}
	delete(value, "observedAt")
	text, _ := json.Marshal(value)
	var b strings.Builder
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Key, h.Value)
	}
	return b.String() + string(text)
}

// inOrder is I7: what was committed together bears one time of publishing in its ledger entries.
func (a *Account) inOrder() (breaches []string) {
	published := a.entries("published/")
	type walked struct{ person, window string }
	last := map[walked]string{}
	for _, r := range a.Events {
		i := strings.LastIndex(string(r.Key), "@")
		if i < 0 {
			breaches = append(breaches, fmt.Sprintf("I7: key %s names no leaveTime", r.Key))
			continue
		}
		who, leaveTime := walked{string(r.Key[:i]), published[string(r.Key)]}, string(r.Key[i+1:])
		if leaveTime < last[who] {
			breaches = append(breaches, fmt.Sprintf("I7: %s comes after %s", r.Key, last[who]))
		}
		last[who] = leaveTime
	}
	return breaches
}
