package dingtalktest

import (
	"encoding/json"
	"time"
)

// Leaver is one record of the list, and what happens to it.
type Leaver struct {
	UserID      string
	Name        *string   // nil: left out
	StateCode   *string   // nil: left out
	Mobile      *string   // nil: left out
	LeaveTime   time.Time // zero: when Leave is called. Parts of a second show in TimeMillis only
	LeaveReason string    // "": left out

	VisibleAt  time.Time // zero: at once
	OperatedAt time.Time // what FilterField ByOperation compares; zero: LeaveTime

	// Raw, if set, is served instead of the record, byte by byte: a poison record. The other fields still say where in the list it
	// stands and what its identity would be.
	Raw json.RawMessage
}

// Departure is a leave record in [Server.Truth], as it is now or was last. LeaveTime is in UTC, whole seconds. Raw tells a poison record.
type Departure struct {
	Leaver
	Removed bool // withdrawn, or moved to another leaveTime
	Shown   bool // stood in a page that was served whole
}

// whole is l with its times completed: UTC, none zero.
func (l Leaver) whole(now time.Time) Leaver {
	if l.LeaveTime.IsZero() {
		l.LeaveTime = now
	}
	if l.OperatedAt.IsZero() {
		l.OperatedAt = l.LeaveTime
	}
	if l.VisibleAt.IsZero() {
		l.VisibleAt = now
	}
	l.LeaveTime, l.OperatedAt, l.VisibleAt = l.LeaveTime.UTC(), l.OperatedAt.UTC(), l.VisibleAt.UTC()
	return l
}

// clone shares nothing that a careless edit could change.
func (l Leaver) clone() Leaver {
	for _, p := range []**string{&l.Name, &l.StateCode, &l.Mobile} {
		if *p != nil {
			*p = new(**p)
		}
	}
	l.Raw = append(json.RawMessage(nil), l.Raw...)
	return l
}
