package avro_test

import (
	"bytes"
	"testing"
	"time"

	"departures/schema"
	"departures/schema/avro"
)

// event has a field of every kind: always there, there, absent, empty.
func event() schema.EmployeeLeft {
	name, empty := "李雷", ""
	return schema.EmployeeLeft{
		UserID: "manager42", Name: &name, Mobile: &empty, CorpID: "ding8f2",
		LeaveTime: time.Unix(1654596672, 900_000_000), ObservedAt: time.UnixMilli(1654596675042),
	}
}

func TestWhatIsCutShortOrTooLongIsNoEvent(t *testing.T) {
	value := avro.Append(nil, event())
	for n := range value {
		if e, err := avro.Parse(value[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are read as %+v", n, len(value), e)
		}
	}
	if e, err := avro.Parse(append(value, 0)); err == nil {
		t.Errorf("a byte too many is read as %+v", e)
	}
}

// FuzzParse: whatever a value holds, reading it does not panic, and what is read is written as it was read.
func FuzzParse(f *testing.F) {
	f.Add(avro.Append(nil, event()))
	f.Add([]byte{})
	f.Add([]byte{0, 2, 0, 1})
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := avro.Parse(value)
		if err != nil {
			return
		}
		once := avro.Append(nil, e)
		again, err := avro.Parse(once)
		if twice := avro.Append(nil, again); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%x is written as %x, and that as %x, %v", value, once, twice, err)
		}
	})
}
