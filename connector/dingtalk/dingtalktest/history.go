package dingtalktest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Leaving is people who leave when the command is carried out: it is then that their departure is entered ([Leaver].OperatedAt), with
// a leaveTime so long ago and visible so much later.
type Leaving struct {
	People []Person `json:"people,omitempty"`
	Count  int      `json:"count,omitempty"` // so many more are invented, as Corpus does
	Ago    Duration `json:"ago,omitempty"`   // of the leaveTime of all that have none of their own; below 0: in the future
	Over   Duration `json:"over,omitempty"`  // the invented left within so long before that; 0: in one second, as in a bulk delete
	Lag    Duration `json:"lag,omitempty"`   // until the records show
}

// Person is a [Leaver] in JSON.
type Person struct {
	UserID      string     `json:"userId"`
	Name        *string    `json:"name,omitempty"`
	StateCode   *string    `json:"stateCode,omitempty"`
	Mobile      *string    `json:"mobile,omitempty"`
	LeaveTime   *time.Time `json:"leaveTime,omitempty"`
	LeaveReason string     `json:"leaveReason,omitempty"`
	Raw         string     `json:"raw,omitempty"` // served instead of the record
}

// MaxInvented bounds how many people are invented at once: a gigabyte.
const MaxInvented = 1_000_000

func (l Leaving) deed() (deed, error) {
	if l.Count < 0 || l.Count > MaxInvented || l.Count+len(l.People) == 0 {
		return nil, fmt.Errorf("leave: count %d and %d people: somebody, and not more than %d", l.Count, len(l.People), MaxInvented)
	}
	if l.Over < 0 || l.Lag < 0 {
		return nil, fmt.Errorf("leave: over %s, lag %s: not below 0", time.Duration(l.Over), time.Duration(l.Lag))
	}
	if i := slices.IndexFunc(l.People, func(p Person) bool { return p.UserID == "" }); i >= 0 {
		return nil, fmt.Errorf("leave: person %d has no userId", i+1)
	}
	return func(s *Server, now time.Time) error {
		at := now.Add(-time.Duration(l.Ago))
		leavers := make([]Leaver, 0, len(l.People)+l.Count)
		for _, p := range l.People {
			leavers = append(leavers, p.leaver(at))
		}
		leavers = append(leavers, s.invent(l.Count, at.Add(-time.Duration(l.Over)), at)...)
		for i := range leavers {
			leavers[i].OperatedAt, leavers[i].VisibleAt = now, now.Add(time.Duration(l.Lag))
		}
		s.book.leave(now, leavers)
		return nil
	}, nil
}

func (p Person) leaver(at time.Time) Leaver {
	if p.LeaveTime != nil {
		at = *p.LeaveTime
	}
	return Leaver{
		UserID: p.UserID, Name: p.Name, StateCode: p.StateCode, Mobile: p.Mobile, LeaveTime: at, LeaveReason: p.LeaveReason,
		Raw: []byte(p.Raw),
	}
}

// invent is a corpus of its own each time.
func (s *Server) invent(n int, from, to time.Time) []Leaver {
	s.invented++
	return Corpus(mix(s.seed, s.invented), n, from, to)
}

// Which names a record: the one with this userId and leaveTime. Without a leaveTime it is the one of that userId that was entered last,
// and without a userId whoever was.
type Which struct {
	UserID    string    `json:"userId,omitempty"`
	LeaveTime time.Time `json:"leaveTime,omitzero"`
}

func (w Which) find(s *Server) (identity, error) {
	r := s.book.latest(func(r *record) bool {
		return (w.UserID == "" || r.UserID == w.UserID) && (w.LeaveTime.IsZero() || r.LeaveTime.Unix() == w.LeaveTime.Unix())
	})
	if r == nil {
		return identity{}, errors.New("no such record")
	}
	return identity{r.UserID, r.LeaveTime.Unix()}, nil
}

func (w Which) removal() (deed, error) {
	return func(s *Server, _ time.Time) error {
		id, err := w.find(s)
		if err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		s.book.remove(id)
		return nil
	}, nil
}

// Editing changes a record, visible or not.
type Editing struct {
	Which
	To     Changes  `json:"to,omitzero"`
	MoveBy Duration `json:"moveBy,omitempty"` // added to its leaveTime, which makes another departure of it
	Erase  []string `json:"erase,omitempty"`  // of name, stateCode, mobile, leaveReason: left out from now on
}

// Changes are new values of a record's fields; what is absent stays.
type Changes struct {
	Name        *string `json:"name,omitempty"`
	StateCode   *string `json:"stateCode,omitempty"`
	Mobile      *string `json:"mobile,omitempty"`
	LeaveReason *string `json:"leaveReason,omitempty"`
}

func (e Editing) deed() (deed, error) {
	erasable := []string{"name", "stateCode", "mobile", "leaveReason"}
	for _, field := range e.Erase {
		if !slices.Contains(erasable, field) {
			return nil, fmt.Errorf("edit: erase %q: none of %s", field, strings.Join(erasable, ", "))
		}
	}
	return func(s *Server, now time.Time) error {
		id, err := e.find(s)
		if err != nil {
			return fmt.Errorf("edit: %w", err)
		}
		s.book.edit(now, id, e.change)
		return nil
	}, nil
}

func (e Editing) change(l *Leaver) {
	for _, f := range []struct{ field, to **string }{{&l.Name, &e.To.Name}, {&l.StateCode, &e.To.StateCode}, {&l.Mobile, &e.To.Mobile}} {
		if *f.to != nil {
			*f.field = *f.to
		}
	}
	if e.To.LeaveReason != nil {
		l.LeaveReason = *e.To.LeaveReason
	}
	l.LeaveTime = l.LeaveTime.Add(time.Duration(e.MoveBy))
	for _, field := range e.Erase {
		switch field {
		case "name":
			l.Name = nil
		case "stateCode":
			l.StateCode = nil
		case "mobile":
			l.Mobile = nil
		case "leaveReason":
			l.LeaveReason = ""
		}
	}
}
