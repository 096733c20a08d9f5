package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	"departures/schema"
	"departures/schema/avro"
	"departures/schema/protobuf"
)

// seen is a record as a reader shows it.
type seen struct {
	Partition  int32
	Offset     int64
	Key        string
	Headers    map[string]string
	Value      fields
	CloudEvent map[string]string // nil: the reader has no CloudEvents SDK
}

// fields are those of an event. A field that is left out is nil.
type fields struct {
	UserID      string    `json:"userId"`
	Name        *string   `json:"name"`
	StateCode   *string   `json:"stateCode"`
	Mobile      *string   `json:"mobile"`
	LeaveTime   time.Time `json:"leaveTime"`
	LeaveReason *string   `json:"leaveReason"`
	CorpID      string    `json:"corpId"`
	ObservedAt  time.Time `json:"observedAt"`
}

// String is one text for one content, whatever the order of headers and the writing of times.
func (s seen) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "partition %d, offset %d, key %q, userId %q", s.Partition, s.Offset, s.Key, s.Value.UserID)
	for i, field := range []*string{s.Value.Name, s.Value.StateCode, s.Value.Mobile, s.Value.LeaveReason} {
		name := []string{"name", "stateCode", "mobile", "leaveReason"}[i]
		if field == nil {
			fmt.Fprintf(&b, ", no %s", name)
		} else {
			fmt.Fprintf(&b, ", %s %q", name, *field)
		}
	}
	fmt.Fprintf(&b, ", corpId %q, leaveTime %s, observedAt %s", s.Value.CorpID, instant(s.Value.LeaveTime), instant(s.Value.ObservedAt))
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		fmt.Fprintf(&b, ", header %s %q", name, s.Headers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.CloudEvent)) {
		text := s.CloudEvent[name]
		if at, err := time.Parse(time.RFC3339, text); name == "time" && err == nil {
			text = instant(at)
		}
		fmt.Fprintf(&b, ", CloudEvents %s %q", name, text)
	}
	return b.String()
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// as is the truth for a reader: with CloudEvents attributes where it has a CloudEvents SDK.
func (s seen) as(shown seen) seen {
	if shown.CloudEvent == nil {
		s.CloudEvent = nil
	}
	return s
}

// parseObjects reads a JSON object a line, each a record.
func parseObjects(printed []byte) (all []seen, err error) {
	for line := range bytes.Lines(printed) {
		var s seen
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		if len(s.CloudEvent) == 0 {
			return nil, fmt.Errorf("%q has nothing from the CloudEvents SDK", line)
		}
		all = append(all, s)
	}
	return all, nil
}

// parseKcat reads kcat's own JSON, with JSON in it.
func parseKcat(printed []byte) (all []seen, err error) {
	for line := range bytes.Lines(printed) {
		var record struct {
			Partition    int32
			Offset       int64
			Headers      []string
			Key, Payload string
		}
		if err := json.Unmarshal(line, &record); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		s := seen{Partition: record.Partition, Offset: record.Offset, Key: record.Key, Headers: map[string]string{}}
		for pair := range slices.Chunk(record.Headers, 2) {
			s.Headers[pair[0]] = pair[1]
		}
		if s.Value, err = jsonText(record.Payload); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// parseKcatBytes reads two lines a record: partition, offset, headers, and the lengths of what the second line is, key and value.
func parseKcatBytes(printed []byte) (all []seen, err error) {
	for len(printed) > 0 {
		line, rest, _ := bytes.Cut(printed, []byte("\n"))
		parts := strings.Split(string(line), "\t")
		if len(parts) != 5 {
			return nil, fmt.Errorf("%q has %d parts", line, len(parts))
		}
		numbers := [5]int{}
		for _, i := range []int{0, 1, 3, 4} {
			if numbers[i], err = strconv.Atoi(parts[i]); err != nil {
				return nil, err
			}
		}
		key, end := numbers[3], numbers[3]+numbers[4]
		if len(rest) <= end || rest[end] != '\n' {
			return nil, fmt.Errorf("%q has not the length that %q says", rest, line)
		}
		s := seen{Partition: int32(numbers[0]), Offset: int64(numbers[1]), Key: string(rest[:key]), Headers: headers(parts[2], "=")}
		if s.Value, err = decode(s.Headers["content-type"], rest[key:end]); err != nil {
			return nil, err
		}
		all, printed = append(all, s), rest[end+1:]
	}
	return all, nil
}

// parseConsole reads records that each begin with a line that says the partition; the value, the last part, may go on behind that line.
func parseConsole(printed []byte, value func(string) (fields, error)) (all []seen, err error) {
	begin := regexp.MustCompile(`(?m)^Partition:\d+\tOffset:`).FindAllIndex(printed, -1)
	if len(begin) == 0 || begin[0][0] > 0 {
		return nil, fmt.Errorf("%q does not begin with a record", printed)
	}
	for i := range begin {
		end := len(printed)
		if i+1 < len(begin) {
			end = begin[i+1][0]
		}
		line := string(printed[begin[i][0]:end])
		parts := strings.SplitN(strings.TrimRight(line, "\n"), "\t", 5)
		if len(parts) != 5 {
			return nil, fmt.Errorf("%q has %d parts", line, len(parts))
		}
		s := seen{Headers: headers(parts[2], ":"), Key: parts[3]}
		if _, err := fmt.Sscanf(parts[0]+" "+parts[1], "Partition:%d Offset:%d", &s.Partition, &s.Offset); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		if s.Value, err = value(parts[4]); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// headers reads name and value, divided by a sign, again and again, divided by commas; commas in values stay in them.
func headers(text, sign string) map[string]string {
	found := map[string]string{}
	names := regexp.MustCompile(`(?:^|,)(ce_[a-z]+|content-type|hmac_key_id)`+sign).FindAllStringSubmatchIndex(text, -1)
	for i, at := range names {
		end := len(text)
		if i+1 < len(names) {
			end = names[i+1][0]
		}
		found[text[at[2]:at[3]]] = text[at[1]:end]
	}
	return found
}

func jsonText(text string) (f fields, err error) {
	err = json.Unmarshal([]byte(text), &f)
	return f, err
}

// avroText reads what Java prints of an Avro record: JSON, but for times, which are milliseconds.
func avroText(text string) (fields, error) {
	var times struct{ LeaveTime, ObservedAt int64 }
	if err := json.Unmarshal([]byte(text), &times); err != nil {
		return fields{}, err
	}
	var f struct {
		fields
		LeaveTime  any `json:"leaveTime"` // in the place of those in fields
		ObservedAt any `json:"observedAt"`
	}
	err := json.Unmarshal([]byte(text), &f)
	f.fields.LeaveTime, f.fields.ObservedAt = time.UnixMilli(times.LeaveTime), time.UnixMilli(times.ObservedAt)
	return f.fields, err
}

// protobufText reads what Java prints of a Protobuf message.
func protobufText(text string) (fields, error) {
	var m protobuf.EmployeeLeft
	if err := prototext.Unmarshal([]byte(text), &m); err != nil {
		return fields{}, err
	}
	return fields{
		UserID: m.UserId, Name: m.Name, StateCode: m.StateCode, Mobile: m.Mobile, LeaveTime: m.LeaveTime.AsTime(),
		LeaveReason: m.LeaveReason, CorpID: m.CorpId, ObservedAt: m.ObservedAt.AsTime(),
	}, nil
}

// escapedBytes reads what Java prints of the bytes of a value; no content type says what they are, but the way they begin.
func escapedBytes(text string) (fields, error) {
	var value []byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' {
			n, err := strconv.ParseUint(text[i+2:i+4], 16, 8)
			if err != nil {
				return fields{}, err
			}
			c, i = byte(n), i+3
		}
		value = append(value, c)
	}
	contentType := "application/vnd.confluent.avro"
	switch {
	case len(value) > 5 && value[5] == '{':
		contentType = "application/vnd.confluent.json"
	case len(value) > 6 && value[5] == 0:
		contentType = "application/vnd.confluent.protobuf"
	}
	return decode(contentType, value)
}

// decode reads a value in the registry's frame: a zero byte, four bytes of id, and for Protobuf a zero byte that says: the first message.
func decode(contentType string, value []byte) (fields, error) {
	if contentType == "application/json" {
		return jsonText(string(value))
	}
	if idOf(value) == 0 {
		return fields{}, fmt.Errorf("%q does not begin with the id of a schema", value)
	}
	value = value[5:]
	var e schema.EmployeeLeft
	var err error
	switch contentType {
	case "application/vnd.confluent.json":
		return jsonText(string(value))
	case "application/vnd.confluent.avro":
		e, err = avro.Parse(value)
	case "application/vnd.confluent.protobuf":
		if value[0] != 0 {
			return fields{}, fmt.Errorf("%q is not the first message", value)
		}
		e, err = protobuf.Parse(value[1:])
	default:
		err = fmt.Errorf("content type %q", contentType)
	}
	return fields(e), err
}

// idOf is the schema's id in the frame of a value; 0 if it has none.
func idOf(value []byte) uint32 {
	if len(value) < 6 || value[0] != 0 {
		return 0
	}
	return binary.BigEndian.Uint32(value[1:])
}
