package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
)

// TestWhatStandsInTheStateTopicIsReadAsTheContractSays: by a consumer, whoever wrote it.
func TestWhatStandsInTheStateTopicIsReadAsTheContractSays(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	through := func(mark, more string) string {
		return fmt.Sprintf(`{"highWaterMark":%q,"reconciledThrough":"2024-05-01T00:00:00Z","floor":"2024-05-01T00:00:00Z","observedAt":"2024-05-08T00:00:00.5Z"%s}`, mark, more)
	}
	const noon, lastSecond, beyond = "2024-05-06T12:00:00Z", "2024-05-06T15:59:59Z", "2024-05-06T16:00:00Z"
	for _, c := range []struct {
		name   string
		state  [][2]string // keys and values; a value "-" is a tombstone
		flags  []string
		code   int
		stdout []string
		stderr []string
	}{
		{
			"the day of Shanghai ends at 16:00 of UTC",
			[][2]string{{"checkpoint/a", through(beyond, "")}},
			[]string{"-zone", "Asia/Shanghai"},
			0,
			[]string{"a: complete through 2024-05-06T16:00:00Z, observed at 2024-05-08T00:00:00.5Z ("},
			nil,
		},
		{
			"its last second may not be over",
			[][2]string{{"checkpoint/a", through(lastSecond, "")}},
			[]string{"-zone", "Asia/Shanghai"},
			1, nil,
			[]string{"2024-05-06 in Asia/Shanghai is not closed: a is complete through 2024-05-06T15:59:59Z"},
		},
		{
			"the later of two checkpoints counts",
			[][2]string{{"checkpoint/a", through(noon, "")}, {"checkpoint/a", through(beyond, "")}},
			[]string{"-zone", "Asia/Shanghai"},
			0,
			[]string{"through 2024-05-06T16:00:00Z"},
			nil,
		},
		{
			"a gap that ends as the day begins does not touch it",
			[][2]string{{"checkpoint/a", through(beyond, `,"gaps":[{"start":"2024-05-01T00:00:00Z","end":"2024-05-05T16:00:00Z"}]`)}},
			[]string{"-zone", "Asia/Shanghai"},
			0,
			[]string{"; gap 2024-05-01T00:00:00Z to 2024-05-05T16:00:00Z"},
			nil,
		},
		{
			"a gap that ends a second later does",
			[][2]string{{"checkpoint/a", through(beyond, `,"gaps":[{"start":"2024-05-01T00:00:00Z","end":"2024-05-05T16:00:01Z"}]`)}},
			[]string{"-zone", "Asia/Shanghai"},
			1, nil,
			[]string{"a: 2024-05-06 in Asia/Shanghai is touched by a gap"},
		},
		{
			"an organisation that was taken out holds nobody up",
			[][2]string{{"checkpoint/a", through(noon, "")}, {"checkpoint/b", through(beyond, "")}, {"checkpoint/a", "-"}},
			[]string{"-zone", "Asia/Shanghai"},
			0,
			[]string{"b: complete"},
			nil,
		},
		{
			"keys that are no checkpoints, and fields that nobody knows, are passed over",
			[][2]string{{"meta", "{}"}, {"session", "?"}, {"published/a/u@2024-05-06T12:00:00Z", "-"}, {"later", "x"}, {"checkpoint/a", through(beyond, `,"later":[1]`)}},
			[]string{"-zone", "Asia/Shanghai"},
			0,
			[]string{"a: complete"},
			nil,
		},
		{
			"a checkpoint that cannot be read says nothing",
			[][2]string{{"checkpoint/a", `{"highWaterMark":"2024-05-08T00:00:00Z"}`}},
			nil, 1, nil,
			[]string{"the checkpoint of a at ", "offset 0 cannot be read: highWaterMark, floor or observedAt is missing"},
		},
		{"no organisation closes no day", [][2]string{{"meta", "{}"}}, nil, 1, nil, []string{"is not closed: no organisation has a checkpoint"}},
		{"a flag that is none", nil, []string{"-days", "1"}, 2, nil, []string{"not defined: -days"}},
		{"a zone that is none", nil, []string{"-zone", "Here"}, 2, nil, []string{"-zone: "}},
		{"a day that is none", nil, []string{"-day", "yesterday"}, 2, nil, []string{"-day: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &rig{t: t, brokers: r.brokers, topics: promisetest.Topics{Events: kafkatest.Name(t, "events"), State: kafkatest.Name(t, "state")}}
			r.createTopic(r.topics.Events, 1, nil)
			r.createTopic(r.topics.State, 1, nil)
			for _, kv := range c.state {
				record := &kgo.Record{Topic: r.topics.State, Key: []byte(kv[0]), Value: []byte(kv[1])}
				if kv[1] == "-" {
					record.Value = nil
				}
				r.produce(record)
			}
			wait := "-wait=" + patience.String()
			if c.code != exitClean {
				wait = "-wait=8s"
			}
			w := r.watch(append([]string{"-day=2024-05-06", wait}, c.flags...)...)
			w.endsSaying(c.code, c.stderr...)
			if !containsAll(w.stdout.String(), c.stdout) || len(c.stdout) == 0 && c.code == 0 {
				t.Errorf("it does not print %q\n%s", c.stdout, w.tail())
			}
		})
	}
}

// TestADayIsClosedWhenTheEventsShow: Kafka makes a transaction visible partition by partition, so a checkpoint may show before the events
// that were committed with it.
func TestADayIsClosedWhenTheEventsShow(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	writer := r.contractWriter()
	r.produce(r.through("2024-05-08T00:00:00Z"))
	r.write(writer, &kgo.Record{Topic: r.topics.Events, Partition: 1, Value: []byte("left")})
	w := r.watch("-day=2024-05-06", "-wait="+patience.String())
	r.watch("-day=2024-05-06", "-wait=8s").endsSaying(1, "wait until topic "+r.topics.Events+" shows what is committed")
	if !w.alive() {
		t.Fatalf("the day is closed before its events can be read\n%s", w.tail())
	}
	r.end(writer, kgo.TryCommit)
	w.ends(patience, exitClean)
	if n := r.readable(); n != 1 {
		t.Errorf("the day is closed, and %d of 1 events can be read", n)
	}
}

// TestACheckpointThatWasTakenBackClosesNoDay: its events never were.
func TestACheckpointThatWasTakenBackClosesNoDay(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	writer := r.contractWriter()
	r.produce(r.through("2024-05-06T12:00:00Z"))
	r.write(writer, r.through("2024-05-08T00:00:00Z"))
	r.end(writer, kgo.TryAbort)
	w := r.watch("-day=2024-05-06", "-wait=8s")
	w.endsSaying(1, "is not closed: a is complete through 2024-05-06T12:00:00Z")
}

// contractWriter is a transactional producer, beside topics of events, with two partitions, and of state.
func (r *rig) contractWriter() *kgo.Client {
	r.t.Helper()
	r.createTopic(r.topics.Events, 2, nil)
	r.createTopic(r.topics.State, 1, nil)
	return r.client(kgo.TransactionalID(kafkatest.Name(r.t, "writer")), kgo.RecordPartitioner(kgo.ManualPartitioner()))
}

// through is a checkpoint of the organisation a.
func (r *rig) through(mark string) *kgo.Record {
	const value = `{"highWaterMark":%q,"reconciledThrough":"2024-05-01T00:00:00Z","floor":"2024-05-01T00:00:00Z","observedAt":"2024-05-08T00:00:00Z"}`
	return &kgo.Record{Topic: r.topics.State, Key: []byte("checkpoint/a"), Value: fmt.Appendf(nil, value, mark)}
}

// write begins a transaction with a record.
func (r *rig) write(writer *kgo.Client, record *kgo.Record) {
	r.t.Helper()
	if err := errors.Join(writer.BeginTransaction(), writer.ProduceSync(r.t.Context(), record).FirstErr()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) end(writer *kgo.Client, how kgo.TransactionEndTry) {
	r.t.Helper()
	if err := writer.EndTransaction(r.t.Context(), how); err != nil {
		r.t.Fatal(err)
	}
}
