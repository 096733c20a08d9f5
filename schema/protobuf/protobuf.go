// Package protobuf is the Protocol Buffers encoding of events. Its schema, employee_left.proto, documents each field;
// employee_left.pb.go is made from it.
package protobuf

import (
	_ "embed"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"departures/schema"
)

//go:generate go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate

// Schema is the Protobuf schema of an event, as a registry takes it.
//
//go:embed employee_left.proto
var Schema string

// Append appends the event's value.
func Append(b []byte, e schema.EmployeeLeft) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, &EmployeeLeft{
		UserId: e.UserID, Name: e.Name, StateCode: e.StateCode, Mobile: e.Mobile, LeaveReason: e.LeaveReason, CorpId: e.CorpID,
		LeaveTime:  timestamppb.New(e.LeaveTime.Truncate(time.Second)),
		ObservedAt: timestamppb.New(e.ObservedAt.Truncate(time.Millisecond)),
	})
	if err != nil {
		panic(fmt.Sprintf("protobuf: encode an event: %v", err)) // its texts are UTF-8
	}
	return b
}

// Parse reads what Append wrote.
func Parse(b []byte) (schema.EmployeeLeft, error) {
	var e EmployeeLeft
	if err := proto.Unmarshal(b, &e); err != nil {
		return schema.EmployeeLeft{}, fmt.Errorf("protobuf event: %w", err)
	}
	return schema.EmployeeLeft{
		UserID: e.GetUserId(), Name: e.Name, StateCode: e.StateCode, Mobile: e.Mobile, LeaveReason: e.LeaveReason, CorpID: e.GetCorpId(),
		LeaveTime: e.GetLeaveTime().AsTime(), ObservedAt: e.GetObservedAt().AsTime(),
	}, nil
}
