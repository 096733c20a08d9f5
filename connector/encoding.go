package connector

import (
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/sr"

	"departures/schema"
	"departures/schema/avro"
	"departures/schema/protobuf"
	"departures/schema/registry"
)

// Encoding is how the values of events are written.
type Encoding string

// The encodings. JSON is the only one that a reader understands without a registry.
const (
	JSON     Encoding = "json"
	Avro     Encoding = "avro"
	Protobuf Encoding = "protobuf"
)

// frozen is the encoding's name in meta. JSON in the registry's frame is not what a reader of plain JSON can read.
func (e Encoding) frozen(framed bool) string {
	if e == JSON && framed {
		return "json-registry"
	}
	return string(e)
}

// Schema is the schema of the encoding, as a registry takes it.
func (e Encoding) Schema() registry.Schema {
	switch e {
	case Avro:
		return registry.Schema{Type: sr.TypeAvro, Text: avro.Schema}
	case Protobuf:
		return registry.Schema{Type: sr.TypeProtobuf, Text: protobuf.Schema}
	}
	return registry.Schema{Type: sr.TypeJSON, Text: schema.JSONSchema}
}

// Subject is the registry's subject of the values of a topic, by the naming that readers look for first (TopicNameStrategy).
func Subject(topic string) string { return topic + "-value" }

// codec writes the values of events.
type codec struct {
	encoding Encoding
	frame    []byte // stands before every value; empty without a registry
	content  schema.Content
}

// plainJSON is the codec where there is no registry.
var plainJSON = codec{encoding: JSON, content: schema.JSONContent}

// framed is the codec where the registry knows the schema as id. The content type is none that a reader would take for the encoding
// itself: it has to look behind the frame.
func framed(c *registry.Config, e Encoding, id int) codec {
	return codec{
		encoding: e,
		frame:    registry.Header(e.Schema().Type, id),
		content: schema.Content{
			Type:   "application/vnd.confluent." + string(e),
			Schema: c.URL.JoinPath("schemas", "ids", strconv.Itoa(id)).String(),
		},
	}
}

// encode gives the event's value, and the digest of what it publishes, which is the same in every encoding.
func (c codec) encode(e schema.EmployeeLeft) (value []byte, digest string) {
	value, digest = e.JSONAndDigest()
	if len(c.frame) == 0 {
		return value, digest
	}
	b := append(make([]byte, 0, len(c.frame)+len(value)), c.frame...) // JSON is the longest of them
	switch c.encoding {
	case Avro:
		return avro.Append(b, e), digest
	case Protobuf:
		return protobuf.Append(b, e), digest
	}
	return append(b, value...), digest
}

// settleCodec asks the registry for the schema's id, where there is one; that is all that is ever asked of it.
func (r *Runner) settleCodec(ctx context.Context) error {
	c := r.cfg.Registry
	if c == nil {
		r.codec = plainJSON
		return nil
	}
	return r.await(ctx, "the schema registry", func(ctx context.Context) error {
		subject := Subject(r.cfg.Kafka.EventsTopic)
		id, first, err := c.Settle(ctx, subject, r.cfg.Encoding.Schema())
		if refusal, ok := errors.AsType[*registry.Refusal](err); ok {
			return &Refusal{Faults: []string{refusal.Error()}}
		}
		if err != nil {
			return err
		}
		r.codec = framed(c, r.cfg.Encoding, id)
		r.log.Info("the schema registry knows the schema", "subject", subject, "encoding", r.cfg.Encoding, "id", id, "first", first)
		if first && len(r.topics.MetaPartitions) > 0 {
			r.log.Warn("the schema registry knew no schema of the events before, although the state has been used: if there are events, readers find "+
				"no schema for them, or a wrong one; if SCHEMA_REGISTRY_URL is another registry, or it was emptied, restore what it held", "subject", subject)
		}
		return nil
	})
}
