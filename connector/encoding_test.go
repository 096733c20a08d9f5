package connector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"departures/connector"
	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
	"departures/schema"
	"departures/schema/avro"
	"departures/schema/protobuf"
	"departures/schema/registry"
)

// desk is a schema registry that can be closed, and counts who comes.
type desk struct {
	*srfake.Registry
	closed atomic.Bool
	asked  atomic.Int64
}

// withRegistry lets the rig's connector write in an encoding, with a registry of its own, in which the schema will be the first.
func (r *rig) withRegistry(e connector.Encoding) *desk {
	d := &desk{Registry: srfake.New()}
	r.t.Cleanup(d.Close)
	d.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		d.asked.Add(1)
		if d.closed.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return d.closed.Load()
	})
	u, _ := url.Parse(d.URL())
	r.cfg.Encoding, r.cfg.Registry = e, &registry.Config{URL: u, Register: true}
	r.cfg.Kafka.Encoding = string(e)
	return d
}

// parsers read a value without its frame.
var parsers = map[connector.Encoding]func([]byte) (schema.EmployeeLeft, error){
	connector.Avro:     avro.Parse,
	connector.Protobuf: protobuf.Parse,
	connector.JSON: func(b []byte) (e schema.EmployeeLeft, err error) {
		var v struct {
			UserID, CorpID                       string
			Name, StateCode, Mobile, LeaveReason *string
			LeaveTime, ObservedAt                time.Time
		}
		err = json.Unmarshal(b, &v)
		return schema.EmployeeLeft{
			UserID: v.UserID, Name: v.Name, StateCode: v.StateCode, Mobile: v.Mobile, LeaveTime: v.LeaveTime, LeaveReason: v.LeaveReason,
			CorpID: v.CorpID, ObservedAt: v.ObservedAt,
		}, err
	},
}

// TestEveryEncodingTellsTheSame publishes in each of them, in the registry's frame, and reads the event back.
func TestEveryEncodingTellsTheSame(t *testing.T) {
	t.Parallel()
	frames := map[connector.Encoding]string{connector.JSON: "\x00\x00\x00\x00\x01", connector.Avro: "\x00\x00\x00\x00\x01", connector.Protobuf: "\x00\x00\x00\x00\x01\x00"}
	for encoding, parse := range parsers {
		t.Run(string(encoding), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kafkatest.Brokers(t))
			r.withRegistry(encoding)
			i := r.start(nil)
			defer r.stop(i)
			left := person("1", time.Now().Add(-time.Minute))
			r.sim.Leave(left)
			r.settle()
			event := r.read().Events[0]
			value, framed := bytes.CutPrefix(event.Value, []byte(frames[encoding]))
			got, err := parse(value)
			if !framed || err != nil {
				t.Fatalf("value %x: %v", event.Value, err)
			}
			want := schema.EmployeeLeft{
				UserID: left.UserID, Name: left.Name, StateCode: left.StateCode, Mobile: left.Mobile, LeaveTime: left.LeaveTime.UTC().Truncate(time.Second),
				LeaveReason: &left.LeaveReason, CorpID: "dingtest", ObservedAt: got.ObservedAt,
			}
			if !reflect.DeepEqual(got, want) || time.Since(got.ObservedAt) > time.Minute {
				t.Errorf("read\n%+v, want\n%+v", got, want)
			}
			content := schema.Content{Type: "application/vnd.confluent." + string(encoding), Schema: r.cfg.Registry.URL.String() + "/schemas/ids/1"}
			if headers := headersOf(event); !slices.Equal(headers, want.Headers(content)) {
				t.Errorf("headers %v, want %v", headers, want.Headers(content))
			}
			r.check()
		})
	}
}

// TestTheStartWaitsForTheRegistryAndThenForgetsIt: without the schema's id nothing can be written, with it nothing more is needed.
func TestTheStartWaitsForTheRegistryAndThenForgetsIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	desk := r.withRegistry(connector.Avro)
	desk.closed.Store(true)
	r.leave(1, "early")
	i := r.start(nil)
	defer r.stop(i)
	r.wait("the registry to be missed", func() bool {
		ready := i.runner.Status().Ready(time.Now())
		return len(ready) == 1 && strings.HasPrefix(ready[0], "the schema registry cannot be used yet: ") && r.log.contains("the schema registry cannot be used yet; waiting for it")
	})
	if len(r.read().Attempts) > 0 {
		t.Error("published without a schema")
	}
	desk.closed.Store(false)
	r.settle()
	desk.closed.Store(true)
	asked := desk.asked.Load()
	r.leave(1, "late")
	r.settle()
	const forgotten = "knew no schema of the events before"
	if r.log.contains(forgotten) {
		t.Error("the first start takes the registry for emptied")
	}
	if ready := i.runner.Status().Ready(time.Now()); len(ready) > 0 || desk.asked.Load() != asked {
		t.Errorf("not ready: %q; the registry was asked %d times more", ready, desk.asked.Load()-asked)
	}
	r.stop(i)
	desk.closed.Store(false)
	desk.Reset()
	again := r.start(nil)
	defer r.stop(again)
	r.wait("the registry to be found forgetful", func() bool { return r.log.contains(forgotten) })
	r.check()
}

// TestNoEventIsTooLargeByItsHeaders: what stands in every header is judged with the value, at the longest address of a registry.
func TestNoEventIsTooLargeByItsHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	r.create(r.topics.Events, map[string]string{"max.message.bytes": "4096"})
	desk := r.withRegistry(connector.Protobuf)
	path := "/" + strings.Repeat("a", 480)
	server := httptest.NewServer(http.StripPrefix(path, desk.Handler()))
	defer server.Close()
	r.cfg.Registry.URL, _ = url.Parse(server.URL + path)
	r.cfg.Privacy = connector.Privacy{Mobile: connector.HMAC, Key: []byte("key")}
	const people = 200
	for n := range people {
		p := person(fmt.Sprint(n), time.Now())
		p.Name = new(strings.Repeat("n", 2000+8*n))
		r.sim.Leave(p)
	}
	i := r.start(nil)
	r.wait("all of them in one of the topics", func() bool {
		a, err := r.account() // the topics may not be there yet
		return err == nil && len(a.Events)+len(a.Quarantined) == people
	})
	r.stop(i)
	a := r.read()
	if n := r.log.count("session open"); n != 1 || len(a.Events) < people/4 || len(a.Quarantined) < people/4 {
		t.Errorf("%d events and %d quarantined in %d sessions", len(a.Events), len(a.Quarantined), n)
	}
}

// TestDigestsSayByWhichKeyTheyWereMade, in events and in quarantine, and a new key has a new name.
func TestDigestsSayByWhichKeyTheyWereMade(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Brokers(t)
	var ids []string
	for _, key := range []string{"a key of many bytes", "another key of bytes", ""} {
		r := newRig(t, brokers)
		r.cfg.Privacy = connector.Privacy{Mobile: connector.HMAC, Key: []byte(key)}
		if key == "" {
			r.cfg.Privacy = connector.Privacy{Mobile: connector.Mask, Key: []byte(key)}
		}
		r.leave(1, "fit")
		unfit := person("unfit", time.Now())
		unfit.Raw = []byte(`{"name":"` + canaryName + `","mobile":"` + canaryMobile + `"}`) // no userId
		r.sim.Leave(unfit)
		i := r.start(nil)
		r.settle()
		r.wait("the unfit record in quarantine", func() bool { return len(r.read().Quarantined) == 1 })
		id := keyID(r.read().Events[0])
		if other := keyID(r.read().Quarantined[0]); other != id {
			t.Errorf("event %q, quarantine %q", id, other)
		}
		ids = append(ids, id)
		r.stop(i)
	}
	// printf 'key id' | openssl dgst -sha256 -hmac 'a key of many bytes'
	if want := []string{"071fa733", "b829a579", ""}; !slices.Equal(ids, want) {
		t.Errorf("ids %q, want %q", ids, want)
	}
}

// read is what stands on the topics.
func (r *rig) read() *promisetest.Account {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func keyID(r *kgo.Record) string {
	for _, h := range headersOf(r) {
		if h.Key == schema.KeyIDHeader {
			return h.Value
		}
	}
	return ""
}

func headersOf(r *kgo.Record) (headers []schema.Header) {
	for _, h := range r.Headers {
		headers = append(headers, schema.Header{Key: h.Key, Value: string(h.Value)})
	}
	return headers
}
