package schema_test

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"departures/schema/protobuf"
)

// protobufBreaks is what a newer Protobuf schema breaks of an older one, by the rules of the category FILE of `buf breaking` as far as a
// file with messages can break them: for those who read bytes or JSON with the old schema, and for programs built from it. Beside them: an
// added field must be able to be absent, since it is in older events.
func protobufBreaks(older, newer protoreflect.FileDescriptor) (broken []string) {
	say := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	if older.Package() != newer.Package() || older.Syntax() != newer.Syntax() || older.Path() != newer.Path() {
		say("%s, package %s, %v, is %s, package %s, %v", older.Path(), older.Package(), older.Syntax(), newer.Path(), newer.Package(), newer.Syntax())
	}
	if was, is := older.Options(), newer.Options(); !proto.Equal(was, is) {
		say("the file's options were %v and are %v", was, is)
	}
	if older.Enums().Len() > 0 || older.Services().Len() > 0 || older.Extensions().Len() > 0 {
		say("there are no rules yet for enums, services and extensions") // write them with the first
	}
	for i := range older.Messages().Len() {
		m := older.Messages().Get(i)
		now := newer.Messages().ByName(m.Name())
		if now == nil {
			say("message %s was removed", m.Name())
			continue
		}
		broken = append(broken, messageBreaks(m, now)...)
	}
	return broken
}

func messageBreaks(older, newer protoreflect.MessageDescriptor) (broken []string) {
	say := func(format string, args ...any) {
		broken = append(broken, string(older.Name())+": "+fmt.Sprintf(format, args...))
	}
	if older.Messages().Len() > 0 || older.Enums().Len() > 0 || older.ExtensionRanges().Len() > 0 {
		say("there are no rules yet for what stands in a message beside fields") // write them with the first
	}
	for i := range older.Fields().Len() {
		f := older.Fields().Get(i)
		now := newer.Fields().ByNumber(f.Number())
		if now == nil {
			say("field %d, %s, was removed or has another number", f.Number(), f.Name())
			continue
		}
		if was, is := fieldOf(f), fieldOf(now); was != is {
			say("field %d was %+v and is %+v", f.Number(), was, is)
		}
	}
	for i := range newer.Fields().Len() {
		f := newer.Fields().Get(i)
		if older.Fields().ByNumber(f.Number()) == nil && !f.HasPresence() && f.Cardinality() != protoreflect.Repeated {
			say("field %d, %s, was added and cannot be told from an empty one where it is absent", f.Number(), f.Name())
		}
		if older.ReservedRanges().Has(f.Number()) || older.ReservedNames().Has(f.Name()) {
			say("field %d, %s, was reserved", f.Number(), f.Name())
		}
	}
	for i := range older.ReservedRanges().Len() {
		for n := older.ReservedRanges().Get(i)[0]; n < older.ReservedRanges().Get(i)[1]; n++ {
			if !newer.ReservedRanges().Has(n) {
				say("number %d is no longer reserved", n)
			}
		}
	}
	for i := range older.ReservedNames().Len() {
		if name := older.ReservedNames().Get(i); !newer.ReservedNames().Has(name) {
			say("name %s is no longer reserved", name)
		}
	}
	return broken
}

// protoField is what a reader relies on of a field.
type protoField struct {
	name, jsonName string
	kind           protoreflect.Kind
	of             protoreflect.FullName // the message's name
	cardinality    protoreflect.Cardinality
	optional       bool
	oneof          protoreflect.Name
}

func fieldOf(f protoreflect.FieldDescriptor) protoField {
	p := protoField{name: string(f.Name()), jsonName: f.JSONName(), kind: f.Kind(), cardinality: f.Cardinality(), optional: f.HasOptionalKeyword()}
	if f.Message() != nil {
		p.of = f.Message().FullName()
	}
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		p.oneof = o.Name()
	}
	return p
}

func TestABrokenProtobufSchemaIsFound(t *testing.T) {
	for _, c := range protobufChanges {
		newer := changed(t, c.change)
		wantBreaks(t, c.name, protobufBreaks(changed(t, reserved), newer), c.want)
	}
}

// changed is today's schema with a change.
func changed(t *testing.T, change func(*descriptorpb.FileDescriptorProto)) protoreflect.FileDescriptor {
	t.Helper()
	p := protodesc.ToFileDescriptorProto(protobuf.File_employee_left_proto)
	reserved(p)
	change(p)
	f, err := protodesc.NewFile(p, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// reserved gives the schema a number and a name that must not be used again, which it has none of yet.
func reserved(p *descriptorpb.FileDescriptorProto) {
	p.MessageType[0].ReservedRange = []*descriptorpb.DescriptorProto_ReservedRange{{Start: proto.Int32(90), End: proto.Int32(91)}}
	p.MessageType[0].ReservedName = []string{"union_id"}
}

// protoFieldNamed is a field of the event, to be changed.
func protoFieldNamed(p *descriptorpb.FileDescriptorProto, name string) *descriptorpb.FieldDescriptorProto {
	i := slices.IndexFunc(p.MessageType[0].Field, func(f *descriptorpb.FieldDescriptorProto) bool { return f.GetName() == name })
	return p.MessageType[0].Field[i]
}

// laterField adds a field to the event, optional as protoc makes one.
func laterField(p *descriptorpb.FileDescriptorProto, name string, number int32, optional bool) {
	m := p.MessageType[0]
	f := &descriptorpb.FieldDescriptorProto{
		Name: &name, JsonName: &name, Number: &number,
		Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	if optional {
		f.Proto3Optional, f.OneofIndex = proto.Bool(true), proto.Int32(int32(len(m.OneofDecl)))
		m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + name)})
	}
	m.Field = append(m.Field, f)
}

// protobufChanges are changes of today's schema, and what is said to break; empty: nothing.
var protobufChanges = []struct {
	name   string
	change func(p *descriptorpb.FileDescriptorProto)
	want   string
}{
	{"as it is", func(*descriptorpb.FileDescriptorProto) {}, ""},
	{"an added optional field", func(p *descriptorpb.FileDescriptorProto) { laterField(p, "later", 80, true) }, ""},
	{"an added message", func(p *descriptorpb.FileDescriptorProto) {
		p.MessageType = append(p.MessageType, &descriptorpb.DescriptorProto{Name: proto.String("EmployeeCame")})
	}, ""},
	{"an added field that cannot be absent", func(p *descriptorpb.FileDescriptorProto) { laterField(p, "later", 80, false) }, "field 80, later, was added and cannot be told"},
	{"a field removed", func(p *descriptorpb.FileDescriptorProto) {
		m := p.MessageType[0]
		m.Field = slices.DeleteFunc(m.Field, func(f *descriptorpb.FieldDescriptorProto) bool { return f.GetName() == "observed_at" })
	}, "field 8, observed_at, was removed"},
	{"a field with another number", func(p *descriptorpb.FileDescriptorProto) { protoFieldNamed(p, "corp_id").Number = proto.Int32(80) }, "field 7, corp_id, was removed or has another number"},
	{"two fields changed round", func(p *descriptorpb.FileDescriptorProto) {
		name, mobile := protoFieldNamed(p, "name"), protoFieldNamed(p, "mobile")
		name.Number, mobile.Number = mobile.Number, name.Number
	}, "field 2 was {name:name"},
	{"another type", func(p *descriptorpb.FileDescriptorProto) {
		protoFieldNamed(p, "state_code").Type = descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum()
	}, "field 3 was"},
	{"bytes in the place of text", func(p *descriptorpb.FileDescriptorProto) {
		protoFieldNamed(p, "user_id").Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
	}, "field 1 was"},
	{"another message", func(p *descriptorpb.FileDescriptorProto) {
		p.MessageType = append(p.MessageType, &descriptorpb.DescriptorProto{Name: proto.String("Moment")})
		protoFieldNamed(p, "leave_time").TypeName = proto.String(".departures.v1.Moment")
	}, "field 5 was"},
	{"another name", func(p *descriptorpb.FileDescriptorProto) { protoFieldNamed(p, "user_id").Name = proto.String("user") }, "field 1 was"},
	{"another name in JSON", func(p *descriptorpb.FileDescriptorProto) {
		protoFieldNamed(p, "user_id").JsonName = proto.String("user_id")
	}, "field 1 was"},
	{"a list in the place of one", func(p *descriptorpb.FileDescriptorProto) {
		protoFieldNamed(p, "corp_id").Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}, "field 7 was"},
	{"a field that can be absent", func(p *descriptorpb.FileDescriptorProto) {
		f, m := protoFieldNamed(p, "corp_id"), p.MessageType[0]
		f.Proto3Optional, f.OneofIndex = proto.Bool(true), proto.Int32(int32(len(m.OneofDecl)))
		m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_corp_id")})
	}, "field 7 was"},
	{"a field that cannot be absent any more", func(p *descriptorpb.FileDescriptorProto) {
		f, m := protoFieldNamed(p, "leave_reason"), p.MessageType[0]
		at := f.GetOneofIndex()
		f.Proto3Optional, f.OneofIndex, m.OneofDecl = nil, nil, slices.Delete(m.OneofDecl, int(at), int(at)+1)
		for _, f := range m.Field {
			if f.GetOneofIndex() > at {
				*f.OneofIndex--
			}
		}
	}, "field 6 was"},
	{"a field in a oneof", func(p *descriptorpb.FileDescriptorProto) {
		m := p.MessageType[0]
		m.OneofDecl = slices.Insert(m.OneofDecl, 0, &descriptorpb.OneofDescriptorProto{Name: proto.String("organisation")})
		for _, f := range m.Field {
			if f.OneofIndex != nil {
				*f.OneofIndex++
			}
		}
		protoFieldNamed(p, "corp_id").OneofIndex = proto.Int32(0)
	}, "field 7 was"},
	{"a reserved number used again", func(p *descriptorpb.FileDescriptorProto) {
		p.MessageType[0].ReservedRange = nil
		laterField(p, "later", 90, true)
	}, "field 90, later, was reserved"},
	{"a number that is no longer reserved", func(p *descriptorpb.FileDescriptorProto) { p.MessageType[0].ReservedRange = nil }, "number 90 is no longer reserved"},
	{"a name that is no longer reserved", func(p *descriptorpb.FileDescriptorProto) { p.MessageType[0].ReservedName = nil }, "name union_id is no longer reserved"},
	{"the message renamed", func(p *descriptorpb.FileDescriptorProto) { p.MessageType[0].Name = proto.String("EmployeeGone") }, "message EmployeeLeft was removed"},
	{"another package", func(p *descriptorpb.FileDescriptorProto) { p.Package = proto.String("departures.v2") }, "package departures.v2"},
	{"another Java package", func(p *descriptorpb.FileDescriptorProto) { p.Options.JavaPackage = proto.String("departures") }, "the file's options were"},
	{"another syntax", func(p *descriptorpb.FileDescriptorProto) {
		p.Syntax, p.Edition = proto.String("editions"), descriptorpb.Edition_EDITION_2023.Enum()
		for _, f := range p.MessageType[0].Field {
			f.Proto3Optional, f.OneofIndex = nil, nil
		}
		p.MessageType[0].OneofDecl = nil
	}, "is employee_left.proto, package departures.v1, editions"},
}
