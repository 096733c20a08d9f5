package main

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/twmb/franz-go/pkg/kgo"
)

// version is CloudEvents 1.0, its attributes named as in the headers of Kafka.
var version = spec.WithPrefix("ce_").Version("1.0")

// cloudEvent reads a record with the CloudEvents SDK.
func cloudEvent(ctx context.Context, r *kgo.Record) (map[string]string, error) {
	e, err := binding.ToEvent(ctx, message{r})
	if err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return map[string]string{
		"id": e.ID(), "source": e.Source(), "type": e.Type(), "time": e.Time().Format(time.RFC3339Nano),
		"subject": e.Subject(), "dataschema": e.DataSchema(), "datacontenttype": e.DataContentType(),
	}, nil
}

// message is a record as the SDK reads messages. The SDK's own binding to Kafka is one to another client.
type message struct{ record *kgo.Record }

func (m message) ReadEncoding() binding.Encoding { return binding.EncodingBinary }

func (m message) ReadStructured(context.Context, binding.StructuredWriter) error {
	return binding.ErrNotStructured
}

func (m message) ReadBinary(_ context.Context, w binding.BinaryWriter) error {
	for _, h := range m.record.Headers {
		var err error
		if attribute := attribute(h.Key); attribute != nil {
			err = w.SetAttribute(attribute, string(h.Value))
		} else if name, ok := strings.CutPrefix(h.Key, version.Prefix()); ok {
			err = w.SetExtension(name, string(h.Value))
		}
		if err != nil {
			return err
		}
	}
	return w.SetData(bytes.NewReader(m.record.Value))
}

// attribute is what a header tells; nil if it is no attribute of CloudEvents itself.
func attribute(header string) spec.Attribute {
	if header == "content-type" {
		return version.AttributeFromKind(spec.DataContentType)
	}
	return version.Attribute(header)
}

func (m message) GetAttribute(kind spec.Kind) (spec.Attribute, any) {
	for _, h := range m.record.Headers {
		if a := attribute(h.Key); a != nil && a.Kind() == kind {
			return a, string(h.Value)
		}
	}
	return version.AttributeFromKind(kind), nil
}

func (m message) GetExtension(name string) any {
	for _, h := range m.record.Headers {
		if h.Key == version.Prefix()+name {
			return string(h.Value)
		}
	}
	return nil
}

func (m message) Finish(error) error { return nil }
