package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
	"departures/schema"
	"departures/schema/avro"
	"departures/schema/protobuf"
)

const (
	// abortedUser begins the userId of whoever stands in an aborted transaction alone.
	abortedUser = "aborted-"
	// hardDepartures is how many there are: as many as it takes to have every text of every field, each beside many of the others.
	hardDepartures = 60
)

// publication is what the real program published, with the truth about it.
type publication struct {
	rig        *rig
	want       map[string]seen // by key
	partitions int
	aborted    int // records in each partition that were aborted
}

// publish has the program publish departures that are hard to write and to read, by turns with another producer whose transactions are
// aborted: they stand before the first event, between events, and behind the last one.
func publish(t *testing.T, encoding string, env []string) *publication {
	t.Helper()
	r := newRig(t, kafkatest.Brokers(t))
	began := time.Now()
	program := r.start("run", env...)
	program.isReady()
	p := &publication{rig: r}
	content := schema.JSONContent
	var id uint32
	if encoding != "json" {
		id = registeredID(t, r)
		content = schema.Content{
			Type:   "application/vnd.confluent." + strings.TrimSuffix(encoding, "-registry"),
			Schema: os.Getenv(registryEnv) + "/schemas/ids/" + fmt.Sprint(id),
		}
	}
	p.abort(t, content, id)
	for i, l := range hardLeavers(began) {
		r.sim.Leave(l)
		if i == hardDepartures/2 {
			r.settle(program)
			p.abort(t, content, id)
		}
	}
	r.settle(program)
	p.abort(t, content, id)
	p.want = p.truth(t, content, began)
	return p
}

// registeredID asks the registry itself for the id of the schema.
func registeredID(t *testing.T, r *rig) uint32 {
	t.Helper()
	var version struct {
		ID uint32
	}
	askRegistry(t, http.MethodGet, "/subjects/"+r.topics.Events+"-value/versions/latest", nil, &version)
	if version.ID == 0 {
		t.Fatal("the registry has no id for the schema")
	}
	return version.ID
}

// hardLeavers are departures with everything that may stand in a field. No userId has a tab or a line feed: readers that print a line a
// record could not be understood. None ends with a space: Go's CloudEvents SDK trims subjects.
func hardLeavers(now time.Time) []dingtalktest.Leaver {
	ids := []string{
		"plain", "with@sign", "with/stroke", "with  two spaces", `"quoted" 'twice' \`, "工号", "ünï-e\u0301", "🙂👩‍👩‍👧", "a,b=c:d", "%2F%00+?#",
		strings.Repeat("x", 64), strings.Repeat("字", 64),
	}
	names := []*string{
		nil, new(""), new("张三"), new("Zoë \u202emirror\u202c"), new(`O"Neill \ 'Jr.' </script>`),
		new("😀 👨‍👩‍👧‍👦 \U0002070E"), new("tab\tfeed\nnul\x00del\x7f"),
		new("مريم"), new("  "), new("null"), new("\u2028\u2029\ufeff\ufffd"), new(strings.Repeat("长", 1000)),
	}
	codes := []*string{new("86"), nil, new(""), new("+1-684")}
	mobiles := []*string{new("185xxxx7676"), new(""), nil, new("00 (49) 30/12"), new("１８５")}
	reasons := []string{"leave", "delete", "oapi", "cancel", "unknown", "", "retired 退休"}
	all := make([]dingtalktest.Leaver, hardDepartures)
	for i := range all {
		userID := canaryUser + fmt.Sprint(i) + ids[i%len(ids)]
		for utf8.RuneCountInString(userID) > 64 {
			_, size := utf8.DecodeLastRuneInString(userID)
			userID = userID[:len(userID)-size]
		}
		all[i] = dingtalktest.Leaver{
			UserID: userID, Name: names[i/2%len(names)], StateCode: codes[i/3%len(codes)], Mobile: mobiles[i%len(mobiles)],
			LeaveReason: reasons[i%len(reasons)], LeaveTime: now.Add(-time.Duration(i) * time.Second),
		}
	}
	again := all[0] // who came back and left again
	again.LeaveTime = again.LeaveTime.Add(-time.Minute)
	return append(all, again)
}

// abort writes three events into each partition, as like the others as can be, and aborts them once they are in the log.
func (p *publication) abort(t *testing.T, content schema.Content, id uint32) {
	t.Helper()
	topic := p.rig.topics.Events
	cl := p.rig.client(
		kgo.TransactionalID(kafkatest.Name(t, "aborting")+fmt.Sprint(p.aborted)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.GzipCompression()), // kafkajs reads no other
	)
	details, err := kadm.NewClient(cl).ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	p.partitions = len(details[topic].Partitions)
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * p.partitions {
		e := schema.EmployeeLeft{
			UserID: abortedUser + fmt.Sprint(i), Name: new(canaryName), LeaveTime: p.rig.floor, CorpID: "dingtest",
			ObservedAt: time.Now().Truncate(time.Millisecond),
		}
		record := &kgo.Record{Topic: topic, Partition: int32(i % p.partitions), Key: []byte(e.Departure().Key()), Value: framed(content, id, e)}
		for _, h := range e.Headers(content) {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: []byte(h.Value)})
		}
		cl.Produce(t.Context(), record, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("a record to be aborted cannot be written: %v", err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil { // or they would never be in the log
		t.Fatal(err)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	p.aborted += 3
}

// framed is the value of an event in a content, made without the program.
func framed(content schema.Content, id uint32, e schema.EmployeeLeft) []byte {
	frame := binary.BigEndian.AppendUint32([]byte{0}, id)
	switch content.Type {
	case "application/vnd.confluent.avro":
		return avro.Append(frame, e)
	case "application/vnd.confluent.protobuf":
		return protobuf.Append(append(frame, 0), e)
	case "application/vnd.confluent.json":
		return append(frame, e.JSON()...)
	}
	return e.JSON()
}

// truth is what the simulated DingTalk shows. Only where a record stands, and when its departure was seen, has to be read from the topic.
func (p *publication) truth(t *testing.T, content schema.Content, began time.Time) map[string]seen {
	t.Helper()
	records, err := kafkatest.ReadCommitted(t.Context(), p.rig.brokers, p.rig.topics.Events)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*kgo.Record{}
	for _, record := range records {
		found[string(record.Key)] = record
	}
	want := map[string]seen{}
	for _, d := range p.rig.sim.Truth() {
		at := d.LeaveTime.UTC().Format(time.RFC3339)
		key := "dingtest/" + d.UserID + "@" + at
		record := found[key]
		if record == nil {
			t.Fatalf("%q was not published", key)
		}
		event, err := decode(content.Type, record.Value)
		if err != nil {
			t.Fatal(err)
		}
		if late := event.ObservedAt; late.Before(began.Truncate(time.Second)) || late.After(time.Now()) || late.Nanosecond()%1e6 != 0 {
			t.Errorf("%q was observed at %v, want milliseconds between %v and now", key, late, began)
		}
		want[key] = seen{
			Partition: record.Partition, Offset: record.Offset, Key: key,
			Headers: map[string]string{
				"ce_specversion": "1.0", "ce_id": key, "ce_source": "/dingtalk/dingtest", "ce_type": "com.dingtalk.contact.EmployeeLeft.v1",
				"ce_time": at, "ce_subject": d.UserID, "ce_dataschema": content.Schema, "content-type": content.Type,
			},
			Value: fields{
				UserID: d.UserID, Name: d.Name, StateCode: d.StateCode, Mobile: d.Mobile, LeaveTime: d.LeaveTime.Truncate(time.Second),
				LeaveReason: given(d.LeaveReason), CorpID: "dingtest", ObservedAt: event.ObservedAt,
			},
			CloudEvent: map[string]string{
				"id": key, "source": "/dingtalk/dingtest", "type": "com.dingtalk.contact.EmployeeLeft.v1", "time": at,
				"subject": d.UserID, "dataschema": content.Schema, "datacontenttype": content.Type,
			},
		}
	}
	if len(want) != hardDepartures+1 {
		t.Fatalf("%d departures, want %d", len(want), hardDepartures+1)
	}
	return want
}

func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// askRegistry is a request to the real registry, without the program's client.
func askRegistry(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, os.Getenv(registryEnv)+path, strings.NewReader(string(sent)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
	if answer == nil {
		return
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		t.Fatal(err)
	}
}
