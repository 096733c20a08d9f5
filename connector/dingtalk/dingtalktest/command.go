package dingtalktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// Command is one thing done to a running server: one of its fields is set, and no other. In JSON it is an object with that field, e.g.
//
//	{"set": {"order": "desc", "qps": 5, "english": true}}
//	{"leave": {"count": 300, "lag": "2m"}}
//	{"fail": {"fault": "500 system.error", "times": 3, "on": "all"}}
//	{"heal": true}
type Command struct {
	Set              map[string]Setting `json:"set,omitempty"` // switches by name; the others stay
	Leave            *Leaving           `json:"leave,omitempty"`
	Edit             *Editing           `json:"edit,omitempty"`
	Remove           *Which             `json:"remove,omitempty"`
	Fail             *Failing           `json:"fail,omitempty"`
	Heal             bool               `json:"heal,omitempty"` // Server.Heal
	BlockIP          *Blocking          `json:"blockIP,omitempty"`
	ExpireTokens     bool               `json:"expireTokens,omitempty"`     // Server.ExpireTokens
	RevokeToken      bool               `json:"revokeToken,omitempty"`      // Server.RevokeToken
	ExpirePageTokens bool               `json:"expirePageTokens,omitempty"` // Server.ExpirePageTokens
	SetSecret        string             `json:"setSecret,omitempty"`        // Server.SetSecret
}

// Setting is the value of a switch, as [Switch.Set] reads it. In JSON it may also be a number, true or false.
type Setting string

// UnmarshalJSON takes a text, a number, true or false.
func (x *Setting) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		*x = Setting(v)
	case bool, float64:
		*x = Setting(b)
	default:
		return fmt.Errorf("the value of a switch is a text, a number, true or false, not %s", b)
	}
	return nil
}

// Duration is a time.Duration whose JSON is a text such as "1m30s".
type Duration time.Duration

// UnmarshalText reads what [time.ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText is the text that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// ReadCommand reads the JSON of one command. Unknown fields are refused.
func ReadCommand(r io.Reader) (Command, error) { return readJSON[Command](r, "command") }

// readJSON reads one JSON value without unknown fields and nothing behind it.
func readJSON[T any](r io.Reader, what string) (v T, err error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("read %s: %w", what, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("read %s: something stands behind it", what)
	}
	return v, nil
}

// Do carries out c, whole or, with an error that says what is wrong with it, not at all.
func (s *Server) Do(c Command) error {
	do, err := c.deed()
	if err != nil {
		return err
	}
	now := s.enter()
	defer s.mu.Unlock()
	return do(s, now)
}

// Check says what is wrong with c by itself.
func (c Command) Check() error {
	_, err := c.deed()
	return err
}

// deed is a command that was looked through: it can fail only by what the server holds. now is when it happens.
type deed func(s *Server, now time.Time) error

// deed looks through everything that can be wrong with c by itself.
func (c Command) deed() (deed, error) {
	if said := c.said(); len(said) != 1 {
		return nil, fmt.Errorf("command says %d things %q, not one of %s", len(said), said, strings.Join(commandNames(), ", "))
	}
	switch {
	case c.Set != nil:
		return setting(c.Set)
	case c.Leave != nil:
		return c.Leave.deed()
	case c.Edit != nil:
		return c.Edit.deed()
	case c.Remove != nil:
		return c.Remove.removal()
	case c.Fail != nil:
		return c.Fail.deed()
	case c.BlockIP != nil:
		return c.BlockIP.deed()
	}
	return func(s *Server, _ time.Time) error {
		switch {
		case c.Heal:
			s.heal()
		case c.ExpireTokens:
			s.expireTokens()
		case c.RevokeToken:
			s.revokeToken()
		case c.ExpirePageTokens:
			s.expirePageTokens()
		default:
			s.secret = c.SetSecret
		}
		return nil
	}, nil
}

// said are the JSON names of the fields that are set.
func (c Command) said() []string {
	var said []string
	for i, name := range commandNames() {
		if !reflect.ValueOf(c).Field(i).IsZero() {
			said = append(said, name)
		}
	}
	return said
}

// commandNames are the JSON names of a command's fields.
func commandNames() []string {
	t := reflect.TypeFor[Command]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

func setting(values map[string]Setting) (deed, error) {
	set := func(sw *Switches) error {
		for name, value := range values {
			x, err := SwitchNamed(name)
			if err == nil {
				err = x.Set(sw, string(value))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := set(new(Switches)); err != nil {
		return nil, err
	}
	return func(s *Server, _ time.Time) error {
		sw := s.switches
		_ = set(&sw) // as above
		s.switches = sw.complete()
		return nil
	}, nil
}

// Failing is calls that go wrong: by a fault of [Faults], or, with Status, by DingTalk's error with that status and code.
type Failing struct {
	Fault       string  `json:"fault,omitempty"` // as FaultNamed takes it
	Status      int     `json:"status,omitempty"`
	Code        string  `json:"code,omitempty"`
	On          string  `json:"on,omitempty"`          // data, token or all; "": data
	Times       int     `json:"times,omitempty"`       // so many of the next calls; 0: one
	Probability float64 `json:"probability,omitempty"` // instead of Times: by chance, in place of what came by chance before
}

func (f Failing) deed() (deed, error) {
	fault, err := f.fault()
	if err != nil {
		return nil, err
	}
	if f.Times < 0 || f.Probability < 0 || f.Probability > 1 || f.Times > 0 && f.Probability > 0 {
		return nil, fmt.Errorf("fail: times %d, probability %v: either a number above 0, or a probability up to 1", f.Times, f.Probability)
	}
	return func(s *Server, _ time.Time) error {
		if f.Probability > 0 {
			s.faults.probability, s.faults.drawn = f.Probability, []Fault{fault}
			return nil
		}
		s.faults.queue = append(s.faults.queue, queued{fault, max(f.Times, 1)})
		return nil
	}, nil
}

func (f Failing) fault() (Fault, error) {
	on, known := map[string]Target{"": DataCalls, "data": DataCalls, "token": TokenCalls, "all": AllCalls}[f.On]
	switch {
	case !known:
		return Fault{}, fmt.Errorf("fail: on %q: none of data, token, all", f.On)
	case (f.Fault == "") == (f.Status == 0) || f.Fault != "" && f.Code != "":
		return Fault{}, errors.New("fail: either a fault by its name, or a status with or without a code")
	case f.Fault != "":
		fault, err := FaultNamed(f.Fault)
		return fault.Against(on), err
	case f.Status < 200 || f.Status > 599:
		return Fault{}, fmt.Errorf("fail: status %d: not from 200 to 599", f.Status)
	}
	return Fault{Name: strings.TrimSpace(fmt.Sprint(f.Status, " ", f.Code)), On: on, Status: f.Status, Code: f.Code}, nil
}

// Blocking is [Server.BlockIP].
type Blocking struct {
	Page BlockPage `json:"page,omitempty"` // "": as the switch block-page says
	For  Duration  `json:"for,omitempty"`  // 0: as the switch block-for says
}

func (b Blocking) deed() (deed, error) {
	if _, known := blockPages[b.Page]; !known && b.Page != "" || b.For < 0 {
		return nil, fmt.Errorf("blockIP: page %q for %s: a page of %q, and a duration of at least 0", b.Page, time.Duration(b.For), BlockPages())
	}
	return func(s *Server, now time.Time) error {
		page, d := b.Page, time.Duration(b.For)
		if page == "" {
			page = s.switches.BlockPage
		}
		if d == 0 {
			d = s.switches.BlockFor
		}
		s.block = ipBlock{blockPages[page], now.Add(d)}
		return nil
	}, nil
}
