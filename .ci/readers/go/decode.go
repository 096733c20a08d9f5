package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// decoder makes events of values.
type decoder struct {
	registry *sr.Client // nil: there is none
	avro     map[int]*avro.Schema
	messages map[int]protoreflect.MessageDescriptor
}

func newDecoder(registry string) (*decoder, error) {
	d := &decoder{avro: map[int]*avro.Schema{}, messages: map[int]protoreflect.MessageDescriptor{}}
	if registry == "" {
		return d, nil
	}
	client, err := sr.NewClient(sr.URLs(registry))
	d.registry = client
	return d, err
}

// decode gives the fields of an event; the content type says what the value is.
func (d *decoder) decode(ctx context.Context, contentType string, value []byte) (map[string]any, error) {
	if contentType == "application/json" {
		return fromJSON(value)
	}
	if d.registry == nil {
		return nil, fmt.Errorf("%s needs a registry", contentType)
	}
	id, value, err := (&sr.ConfluentHeader{}).DecodeID(value)
	if err != nil {
		return nil, err
	}
	switch contentType {
	case "application/vnd.confluent.json":
		return fromJSON(value)
	case "application/vnd.confluent.avro":
		return d.fromAvro(ctx, id, value)
	case "application/vnd.confluent.protobuf":
		return d.fromProtobuf(ctx, id, value)
	}
	return nil, fmt.Errorf("content type %q", contentType)
}

func fromJSON(value []byte) (fields map[string]any, err error) {
	err = json.Unmarshal(value, &fields)
	return fields, err
}

func (d *decoder) fromAvro(ctx context.Context, id int, value []byte) (map[string]any, error) {
	if d.avro[id] == nil {
		text, err := d.registry.SchemaByID(ctx, id)
		if err != nil {
			return nil, err
		}
		if d.avro[id], err = avro.Parse(text.Schema); err != nil {
			return nil, err
		}
	}
	var fields map[string]any
	if _, err := d.avro[id].Decode(value, &fields); err != nil {
		return nil, err
	}
	for name, field := range fields {
		if t, ok := field.(time.Time); ok {
			fields[name] = t.UTC()
		}
	}
	return fields, nil
}

// fromProtobuf compiles the registry's schema; a program that has the generated code needs no more than that code.
func (d *decoder) fromProtobuf(ctx context.Context, id int, value []byte) (map[string]any, error) {
	index, value, err := (&sr.ConfluentHeader{}).DecodeIndex(value, 1)
	if err != nil {
		return nil, err
	}
	if d.messages[id] == nil {
		if d.messages[id], err = d.message(ctx, id, index[0]); err != nil {
			return nil, err
		}
	}
	message := dynamicpb.NewMessage(d.messages[id])
	if err := proto.Unmarshal(value, message); err != nil {
		return nil, err
	}
	text, err := protojson.Marshal(message)
	if err != nil {
		return nil, err
	}
	return fromJSON(text)
}

func (d *decoder) message(ctx context.Context, id, index int) (protoreflect.MessageDescriptor, error) {
	text, err := d.registry.SchemaByID(ctx, id)
	if err != nil {
		return nil, err
	}
	const file = "schema.proto"
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{file: text.Schema}),
	})}
	files, err := compiler.Compile(ctx, file)
	if err != nil {
		return nil, err
	}
	return files[0].Messages().Get(index), nil
}
