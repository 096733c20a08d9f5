// Package avro is the Avro encoding of events. Its schema, employee-left.avsc, documents each field.
package avro

import (
	_ "embed"
	"fmt"
	"time"

	"github.com/twmb/avro"

	"departures/schema"
)

// Schema is the Avro schema of an event, as a registry takes it.
//
//go:embed employee-left.avsc
var Schema string

var compiled = avro.MustParse(Schema)

// employeeLeft is an event as the schema has it.
type employeeLeft struct {
	UserID      string    `avro:"userId"`
	Name        *string   `avro:"name"`
	StateCode   *string   `avro:"stateCode"`
	Mobile      *string   `avro:"mobile"`
	LeaveTime   time.Time `avro:"leaveTime"`
	LeaveReason *string   `avro:"leaveReason"`
	CorpID      string    `avro:"corpId"`
	ObservedAt  time.Time `avro:"observedAt"`
}

// Append appends the event's value.
func Append(b []byte, e schema.EmployeeLeft) []byte {
	b, err := compiled.AppendEncode(b, &employeeLeft{
		e.UserID, e.Name, e.StateCode, e.Mobile, e.LeaveTime.Truncate(time.Second), e.LeaveReason, e.CorpID, e.ObservedAt,
	})
	if err != nil {
		panic(fmt.Sprintf("avro: encode an event: %v", err)) // every event has the schema's types
	}
	return b
}

// Parse reads what Append wrote, and takes nothing behind it.
func Parse(b []byte) (schema.EmployeeLeft, error) {
	var e employeeLeft
	rest, err := compiled.Decode(b, &e)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes too many", len(rest))
	}
	if err != nil {
		return schema.EmployeeLeft{}, fmt.Errorf("avro event: %w", err)
	}
	return schema.EmployeeLeft{
		UserID: e.UserID, Name: e.Name, StateCode: e.StateCode, Mobile: e.Mobile, LeaveTime: e.LeaveTime.UTC(),
		LeaveReason: e.LeaveReason, CorpID: e.CorpID, ObservedAt: e.ObservedAt.UTC(),
	}, nil
}
