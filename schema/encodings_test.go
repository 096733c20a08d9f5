package schema_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"departures/schema"
	"departures/schema/avro"
	"departures/schema/protobuf"
)

// FuzzEncodings: an event comes back the same from each encoding, whatever its strings hold.
func FuzzEncodings(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		f.Add(hard(r), hard(r), hard(r), byte(r.Uint32()), r.Int64N(253402300800), r.Int64N(253402300800_000))
	}
	f.Add("", "", "", byte(0), int64(0), int64(0))
	f.Add("a", "", "", byte(15), int64(-62135596800), int64(253402300799_999))
	f.Fuzz(func(t *testing.T, userID, name, mobile string, absent byte, left, observed int64) {
		e := schema.EmployeeLeft{
			UserID: userID, Name: &name, StateCode: &mobile, Mobile: &mobile, LeaveReason: &name, CorpID: mobile + userID,
			LeaveTime: time.Unix(left, 0).UTC(), ObservedAt: time.UnixMilli(observed).UTC(),
		}
		for i, field := range []**string{&e.Name, &e.StateCode, &e.Mobile, &e.LeaveReason} {
			if absent&(1<<i) != 0 {
				*field = nil
			}
		}
		if !utf8.ValidString(userID + "|" + name + "|" + mobile) {
			t.Skip() // what is read from DingTalk is UTF-8 or quarantined
		}
		for _, at := range []time.Time{e.LeaveTime, e.ObservedAt} {
			if at.Year() < 1 || at.Year() > 9999 {
				t.Skip() // no time of DingTalk's or ours, and none that a Protobuf Timestamp is for
			}
		}
		for encoding, frame := range frames() {
			value := frame.append([]byte("before"), e)
			if !strings.HasPrefix(string(value), "before") {
				t.Fatalf("%s overwrites what stands before", encoding)
			}
			if got, err := parsers[encoding](value[len("before"):]); err != nil || !reflect.DeepEqual(got, e) {
				t.Errorf("%s: %+v comes back as %+v, %v", encoding, said(e), said(got), err)
			}
		}
	})
}

// said is an event with its strings in the place of pointers.
func said(e schema.EmployeeLeft) string { return string(e.JSON()) }

// hard is a string made of what encodings trip over.
func hard(r *rand.Rand) string {
	parts := []string{
		"", "a", "manager42", "李雷", "🌊", "é", "e\u0301", "\u200f", "\ufeff", "\ufffd", "\ufffe", "\u2028", "\x00", "\x7f", "\t", "\r\n",
		`"`, `\`, `\u0000`, "/", "@", "%40", " ", "&<>", "null", "{}", "]", "0", "-1", strings.Repeat("长", 64), strings.Repeat("x", 300),
	}
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

// docs are what readers are told of each field, by encoding and by the name that the field has in all three.
func docs(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{"json": {}, "avro": {}, "protobuf": {}}
	for name, p := range properties(object(t, read(t, "employee-left.schema.json"))) {
		all["json"][name], _ = p.(map[string]any)["description"].(string)
	}
	for _, f := range object(t, []byte(avro.Schema))["fields"].([]any) {
		f := f.(map[string]any)
		all["avro"][f["name"].(string)], _ = f["doc"].(string)
	}
	descriptors := eventDescriptor(t, protobuf.File_employee_left_proto).Fields()
	for _, f := range protoFields(protobuf.Schema) {
		all["protobuf"][descriptors.ByName(protoreflect.Name(f.name)).JSONName()] = f.comment
	}
	return all
}

// TestEveryFieldIsExplainedInEveryEncoding: its meaning, where it comes from, and when it is absent.
func TestEveryFieldIsExplainedInEveryEncoding(t *testing.T) {
	optional := []string{"name", "stateCode", "mobile", "leaveReason"}
	all := docs(t)
	names := slices.Sorted(maps.Keys(all["json"]))
	for encoding, fields := range all {
		if got := slices.Sorted(maps.Keys(fields)); !reflect.DeepEqual(got, names) {
			t.Errorf("%s has the fields %q, JSON %q", encoding, got, names)
		}
		for name, doc := range fields {
			for _, wrong := range unexplained(name, doc, slices.Contains(optional, name)) {
				t.Errorf("%s, %s: %s: %q", encoding, name, wrong, doc)
			}
		}
	}
}

// unexplained is what the text of a field leaves out.
func unexplained(name, doc string, optional bool) (wrong []string) {
	want := func(what, pattern string) {
		if !regexp.MustCompile(pattern).MatchString(doc) {
			wrong = append(wrong, "does not say "+what)
		}
	}
	want("what it means", `^(The|Country|When|Why)\b.{10}`)
	want("where it comes from", `\bSource: (DingTalk|the connector's (configuration|clock))\.$`)
	if optional {
		want("when it is absent", `\b(Absent|Null|Not set) where DingTalk did not send it`)
	} else {
		want("that it is always there", `\bAlways (there|set|present)\.`)
	}
	if name == "name" || name == "mobile" {
		want("what a setting does to it", `FIELD_`+strings.ToUpper(name))
	}
	if name == "leaveTime" {
		want("how exact it is", `whole seconds`)
	}
	if name == "observedAt" {
		want("how exact it is", `milliseconds`)
	}
	if name == "leaveReason" {
		want("that the set is open", `an open set`)
		for _, reason := range []string{"leave", "delete", "oapi", "cancel", "unknown"} {
			want("what "+reason+" means", `\b`+reason+` \([^)]{10,}\)`)
		}
		want("that cancel is a departure", `cancel \(account deregistered: a real departure\)`)
	}
	return wrong
}

func TestAFieldThatIsNotExplainedIsFound(t *testing.T) {
	for name, cut := range map[string]string{
		"stateCode": "Absent where DingTalk did not send it. ", "name": "FIELD_NAME", "leaveTime": "whole seconds", "observedAt": "milliseconds",
		"corpId": " Source: the connector's configuration.", "userId": "Always present.",
		"leaveReason": " (deleted by an administrator)", "mobile": "The employee's mobile number; DingTalk",
	} {
		doc := docs(t)["json"][name]
		if wrong := unexplained(name, strings.ReplaceAll(doc, cut, ""), !slices.Contains([]string{"userId", "leaveTime", "corpId", "observedAt"}, name)); len(wrong) == 0 {
			t.Errorf("%s without %q passes for explained", name, cut)
		}
	}
}

// protoLine is a field as employee_left.proto has it, with the comment before it.
type protoLine struct{ comment, optional, kind, name, number string }

var protoFieldLine = regexp.MustCompile(`(?m)((?:^ *//.*\n)*)^ +(optional )?([\w.]+) (\w+) = (\d+);`)

// protoFields are the fields of a Protobuf schema's text.
func protoFields(text string) (fields []protoLine) {
	for _, m := range protoFieldLine.FindAllStringSubmatch(text, -1) {
		comment := strings.Join(strings.Fields(strings.ReplaceAll(m[1], "//", " ")), " ")
		fields = append(fields, protoLine{comment, strings.TrimSpace(m[2]), m[3], m[4], m[5]})
	}
	return fields
}

// TestTheProtobufSchemaIsWhatTheProgramWrites: the text that registries and readers get, and the code that was made from it.
func TestTheProtobufSchemaIsWhatTheProgramWrites(t *testing.T) {
	lines, fields := protoFields(protobuf.Schema), eventDescriptor(t, protobuf.File_employee_left_proto).Fields()
	if len(lines) != fields.Len() {
		t.Fatalf("employee_left.proto has %d fields, its code %d: run go generate ./schema/protobuf", len(lines), fields.Len())
	}
	for i, l := range lines {
		f := fields.Get(i)
		kind := f.Kind().String()
		if f.Message() != nil {
			kind = string(f.Message().FullName())
		}
		got := fmt.Sprint(f.HasOptionalKeyword(), kind, f.Name(), f.Number())
		if want := fmt.Sprint(l.optional != "", l.kind, l.name, l.number); got != want {
			t.Errorf("employee_left.proto has %q, its code %q: run go generate ./schema/protobuf", want, got)
		}
	}
}
