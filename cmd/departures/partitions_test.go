package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
)

// hardUserIDs are allowed by DingTalk, or not forbidden.
func hardUserIDs() []string {
	ids := []string{
		"manager42", "0", "@", "@@", "a@b", "a@2024-01-01T00:00:00Z", "/", "a/b", "%2F", " ", " a b ", "\u00a0", "é", "e\u0301", "张三", "عمر",
		"\U0001f44b", "\U0001f468\u200d\U0001f4bb", "a\U0001f44b@/ ", "\ufffd", `"`, `\`, "\n",
		strings.Repeat("a", 64), strings.Repeat("@", 64), strings.Repeat("/", 64), strings.Repeat("张", 64), strings.Repeat("\U0001f44b", 64),
	}
	for n := range 40 {
		ids = append(ids, fmt.Sprint("everybody else/", n))
	}
	return ids
}

// TestAPersonsDeparturesLieBesideWhatOthersKeyByThePerson: with as many partitions a topic keyed <corpId>/<userId>, written by any client
// with Kafka's ordinary partitioner, can be joined partition by partition. Each person left three times, and the departures are in order.
func TestAPersonsDeparturesLieBesideWhatOthersKeyByThePerson(t *testing.T) {
	t.Parallel()
	const partitions = 12
	r := newRig(t, kafkatest.Brokers(t))
	ids, now := hardUserIDs(), time.Now()
	leave := func(at time.Time) {
		for _, id := range ids {
			r.sim.Leave(dingtalktest.Leaver{UserID: id, LeaveTime: at})
		}
	}
	leave(now.Add(-10 * time.Minute))
	leave(now.Add(-20 * time.Minute))
	p := r.start("run")
	r.settle(p)
	leave(now)
	r.settle(p)
	p.signal(syscall.SIGTERM)
	p.ends(stopBound, exitClean)

	people := r.keyedByPerson(partitions, ids)
	times, taken := map[string][]string{}, map[int32]bool{}
	for _, e := range r.check().Events {
		person, at := string(e.Key[:strings.LastIndexByte(string(e.Key), '@')]), string(e.Key[strings.LastIndexByte(string(e.Key), '@')+1:])
		if beside, known := people[person]; !known || beside != e.Partition {
			t.Errorf("the departure %q lies in partition %d, the person's record in %d (%t)", e.Key, e.Partition, beside, known)
		}
		if before := times[person]; len(before) > 0 && before[len(before)-1] >= at {
			t.Errorf("%q comes after %s", e.Key, before)
		}
		times[person], taken[e.Partition] = append(times[person], at), true
	}
	for person := range people {
		if len(times[person]) != 3 {
			t.Errorf("%q left 3 times, and %d departures are there", person, len(times[person]))
		}
	}
	if len(taken) < partitions/2 {
		t.Errorf("all lie in %d partitions: that proves little", len(taken))
	}
}

// keyedByPerson writes a record for each of these people to a topic with so many partitions, as any other program would, and gives the
// partition that each is found in.
func (r *rig) keyedByPerson(partitions int32, userIDs []string) map[string]int32 {
	r.t.Helper()
	topic := kafkatest.Name(r.t, "people")
	r.createTopic(topic, partitions, nil)
	var records []*kgo.Record
	for _, id := range userIDs {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte("dingtest/" + id)})
	}
	if err := r.client().ProduceSync(r.t.Context(), records...).FirstErr(); err != nil { // kgo's partitioner is Kafka's, for what has a key
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	found, err := kafkatest.ReadCommitted(ctx, r.brokers, topic)
	if err != nil {
		r.t.Fatal(err)
	}
	people := map[string]int32{}
	for _, record := range found {
		people[string(record.Key)] = record.Partition
	}
	return people
}
