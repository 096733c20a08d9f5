package protobuf_test

import (
	"bytes"
	"testing"
	"time"

	"departures/schema"
	"departures/schema/protobuf"
)

// event has a field of every kind: always there, there, absent, empty.
func event() schema.EmployeeLeft {
	name, empty := "李雷", ""
	return schema.EmployeeLeft{
		UserID: "manager42", Name: &name, Mobile: &empty, CorpID: "ding8f2",
		LeaveTime: time.Unix(1654596672, 900_000_000), ObservedAt: time.UnixMilli(1654596675042),
	}
}

func TestWhatIsNoMessageIsNoEvent(t *testing.T) {
	value := protobuf.Append(nil, event())
	for name, b := range map[string][]byte{
		"cut within a field":   value[:5],
		"another wire type":    {8, 1, 0xff},
		"a text that is bytes": {10, 1, 0xff},
		"a frame before it":    append([]byte{0, 0, 0, 0, 7, 0}, value...),
	} {
		if e, err := protobuf.Parse(b); err == nil {
			t.Errorf("%s: %x is read as %+v", name, b, e)
		}
	}
}

// TestAFieldOfALaterVersionIsPassedOver, since within a version fields are added.
func TestAFieldOfALaterVersionIsPassedOver(t *testing.T) {
	value := protobuf.Append(nil, event())
	want, err := protobuf.Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	got, err := protobuf.Parse(append(value, 9<<3|2, 5, 'l', 'a', 't', 'e', 'r'))
	if err != nil || !bytes.Equal(got.JSON(), want.JSON()) {
		t.Errorf("with a later field it is read as %s, %v, want %s", got.JSON(), err, want.JSON())
	}
}

// FuzzParse: whatever a value holds, reading it does not panic, and what is read is written as it was read.
func FuzzParse(f *testing.F) {
	f.Add(protobuf.Append(nil, event()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := protobuf.Parse(value)
		if err != nil {
			return
		}
		once := protobuf.Append(nil, e)
		again, err := protobuf.Parse(once)
		if twice := protobuf.Append(nil, again); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%x is written as %x, and that as %x, %v", value, once, twice, err)
		}
	})
}
