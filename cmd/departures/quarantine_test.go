package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
)

// TestARecordThatCannotBeReadIsQuarantinedOnce: poison records stand on the quarantine topic by the transaction that also published
// the good ones, each once however often they are shown and the program is started; and the personal fields of both are treated alike.
func TestARecordThatCannotBeReadIsQuarantinedOnce(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("a key of more than 16 bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, treatment := range []string{"keep", "omit", "mask", "hmac"} {
		t.Run("fields: "+treatment, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kafkatest.Brokers(t))
			r.env["FIELD_NAME"], r.env["FIELD_MOBILE"] = treatment, treatment
			if treatment == "hmac" {
				r.env["FIELD_HMAC_KEY_FILE"] = key
			}
			r.leave(2, "good")
			poison := r.poison()
			p := r.start("run")
			r.settle(p)
			p.await("every poison record in quarantine", func() bool { return len(r.account().Quarantined) >= poison })
			p.isReady()
			p.signal(syscall.SIGTERM)
			p.ends(stopBound, exitClean)

			p = r.start("run")
			r.leave(2, "after")
			r.settle(p)
			a := r.check()
			if len(a.Quarantined) != poison {
				t.Errorf("%d records in quarantine, want %d", len(a.Quarantined), poison)
			}
			committedTogether(t, a, "good-0")
			treatedAlike(t, a, treatment)
		})
	}
}

// poison lets people leave whose records nobody can publish, and gives their number.
func (r *rig) poison() (n int) {
	at := time.Now().UTC().Truncate(time.Second)
	fields := fmt.Sprintf(`"name":%q,"mobile":%q,"stateCode":"86"`, canaryName, canaryMobile)
	for i, raw := range []string{
		fmt.Sprintf(`{%s,"leaveTime":%q}`, fields, at.Format(time.RFC3339)),
		fmt.Sprintf(`{"userId":"","leaveTime":%q,%s}`, at.Format(time.RFC3339), fields),
		fmt.Sprintf(`{"userId":"poison","leaveTime":"yesterday",%s}`, fields),
		fmt.Sprintf(`{"userId":"poison",%s}`, fields),
		fmt.Sprintf(`"%s %s"`, canaryName, canaryMobile),
	} {
		r.sim.Leave(dingtalktest.Leaver{UserID: fmt.Sprintf("poison-%d", i), LeaveTime: at, Raw: json.RawMessage(raw)})
		n++
	}
	return n
}

// committedTogether checks that all that is in quarantine was written in the transaction of a good departure beside it: from Kafka
// 4.0 on each transaction has an epoch of its own.
func committedTogether(t *testing.T, a *promisetest.Account, userID string) {
	t.Helper()
	type transaction struct {
		producerID int64
		epoch      int16
	}
	found := map[transaction]bool{}
	for _, record := range slices.Concat(a.Events, a.Quarantined) {
		if record.Topic == a.Quarantined[0].Topic || bytes.HasPrefix(record.Key, []byte("dingtest/"+userID+"@")) {
			found[transaction{record.ProducerID, record.ProducerEpoch}] = true
		}
	}
	if len(found) != 1 {
		t.Errorf("a good departure and the poison records beside it were committed in %d transactions, want one", len(found))
	}
}

// treatedAlike checks name and mobile, in events and in quarantine.
func treatedAlike(t *testing.T, a *promisetest.Account, treatment string) {
	t.Helper()
	event := object(t, a.Events[0].Value)
	for _, record := range slices.Concat(a.Events, a.Quarantined) {
		for _, canary := range []string{canaryName, canaryMobile} {
			if treatment != "keep" && bytes.Contains(record.Value, []byte(canary)) {
				t.Errorf("%s stands in %s: %s", canary, record.Topic, record.Value)
			}
		}
	}
	for _, record := range a.Quarantined {
		value := object(t, record.Value)
		if value["reason"] == nil || value["reason"] == "" {
			t.Errorf("no reason in %s", record.Value)
		}
		text := value["record"].(string)
		if text[0] != '{' {
			continue // no object: there are no fields to compare
		}
		quarantined := object(t, []byte(text))
		for _, field := range []string{"name", "mobile"} {
			if !reflect.DeepEqual(quarantined[field], event[field]) {
				t.Errorf("%s is %v in quarantine and %v in an event", field, quarantined[field], event[field])
			}
		}
	}
	want := map[string]bool{"keep": true, "omit": false, "mask": true, "hmac": true}[treatment]
	if got := event["name"] != nil && event["mobile"] != nil; got != want {
		t.Errorf("name and mobile are in an event: %t, want %t: %v", got, want, event)
	}
}

func object(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return fields
}
