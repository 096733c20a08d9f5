package promisetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var left = time.Date(2022, 6, 7, 10, 11, 12, 0, time.UTC)

// record is one record of a state that was kept well.
func record(key, value string, epoch int16) *kgo.Record {
	return &kgo.Record{Key: []byte(key), Value: []byte(value), ProducerID: 1, ProducerEpoch: epoch}
}

func event(userID string, at time.Time) *kgo.Record {
	key := Departure{userID, at}.key("c")
	r := record(key, fmt.Sprintf(`{"userId":%q,"observedAt":"now"}`, userID), 1)
	r.Headers = []kgo.RecordHeader{{Key: "ce_id", Value: []byte(key)}}
	return r
}

func entry(userID string, at time.Time, publishedAt string) *kgo.Record {
	return record("published/"+Departure{userID, at}.key("c"), fmt.Sprintf(`{"publishedAt":%q}`, publishedAt), 2)
}

func checkpoint(mark string) *kgo.Record {
	return record("checkpoint/c", fmt.Sprintf(`{"highWaterMark":%q,"reconciledThrough":"2022-06-07T00:00:00Z","floor":"2022-06-07T00:00:00Z"}`, mark), 2)
}

// kept is an account in which every promise was kept: two departures of one person in one window.
func kept() *Account {
	a := &Account{
		Events: []*kgo.Record{event("u", left), event("u", left.Add(time.Hour))},
		State: []*kgo.Record{
			record("session", `{"producerId":1,"epoch":1}`, 1),
			checkpoint("2022-06-07T00:00:00Z"), checkpoint("2022-06-08T00:00:00Z"),
			entry("u", left, "t"), entry("u", left.Add(time.Hour), "t"),
		},
	}
	a.Attempts = append(slices.Clone(a.Events), event("u", left))
	return a
}

// TestEveryBreachIsFound breaks one promise at a time: the reader that checks the others must be able to fail.
func TestEveryBreachIsFound(t *testing.T) {
	if breaches := kept().Check(); len(breaches) > 0 {
		t.Fatalf("breaches where there are none: %v", breaches)
	}
	for _, c := range []struct {
		name, want string
		harm       func(a *Account)
	}{
		{"an event twice", "I2", func(a *Account) { a.Events = append(a.Events, a.Events[1]) }},
		{"a quarantined record twice", "I2", func(a *Account) {
			a.Quarantined = []*kgo.Record{record("c/00", "{}", 1), record("c/00", "{}", 1)}
			a.State = append(a.State, record("quarantined/c/00", "{}", 2))
		}},
		{"a mark that goes back", "I3", func(a *Account) { a.State[1], a.State[2] = a.State[2], a.State[1] }},
		{"a floor that moves", "I3", func(a *Account) {
			a.State[2].Value = []byte(strings.Replace(string(a.State[2].Value), `"floor":"2022-06-07`, `"floor":"2022-06-08`, 1))
		}},
		{"a checkpoint that cannot be read", "I3", func(a *Account) { a.State[2].Value = []byte("?") }},
		{"an event without its ledger entry", "I4", func(a *Account) { a.State = a.State[:4] }},
		{"a ledger entry without its event", "I4", func(a *Account) { a.Events = a.Events[:1] }},
		{"a quarantined record without its entry", "I4", func(a *Account) { a.Quarantined = []*kgo.Record{record("c/00", "{}", 1)} }},
		{"an older session behind the barrier", "I5", func(a *Account) { a.State[4].ProducerEpoch = 0 }},
		{"a producer that came back after another", "I5", func(a *Account) {
			a.State[2].ProducerID, a.State[3].ProducerID = 2, 2
		}},
		{"a session record of somebody else", "I5", func(a *Account) { a.State[0].Value = []byte(`{"producerId":7,"epoch":1}`) }},
		{"another value on another attempt", "I6", func(a *Account) { a.Attempts[2].Value = []byte(`{"userId":"v"}`) }},
		{"another header on another attempt", "I6", func(a *Account) {
			a.Attempts[2].Headers = append(a.Attempts[2].Headers, kgo.RecordHeader{Key: "attempt", Value: []byte("2")})
		}},
		{"an id that is not the key", "I6", func(a *Account) { a.Attempts[0].Headers = nil }},
		{"a person's departures out of order", "I7", func(a *Account) { slices.Reverse(a.Events) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := kept()
			c.harm(a)
			if breaches := a.Check(); !slices.ContainsFunc(breaches, func(b string) bool { return strings.HasPrefix(b, c.want) }) {
				t.Errorf("not found; breaches are %v", breaches)
			}
		})
	}
}

func TestCount(t *testing.T) {
	a := kept()
	a.Events = append(a.Events, event("twice", left), event("twice", left), event("nobody", left))
	lost, twice, extra := a.Count("c", []Departure{{"u", left}, {"u", left.Add(time.Hour)}, {"twice", left}, {"lost", left}})
	if !slices.Equal(lost, []string{"c/lost@2022-06-07T10:11:12Z"}) || !slices.Equal(twice, []string{"c/twice@2022-06-07T10:11:12Z"}) ||
		!slices.Equal(extra, []string{"c/nobody@2022-06-07T10:11:12Z"}) {
		t.Errorf("lost %v, twice %v, extra %v", lost, twice, extra)
	}
}
