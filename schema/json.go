package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Everything here is the JSON of encoding/json without its HTML escapes. What is written for every departure, event and
// ledger entry, is put together by hand, at a fraction of the cost; whatever is rare or odd is left to encoding/json.

// encode is the JSON of v on one line, without HTML escaping: a name with "&" stays readable for every consumer.
// Values of this package always encode; anything else is a mistake in the program.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("schema: encode %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	if !plain(s) {
		return append(b, encode(s)...)
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}

// plain says whether the JSON of a string is the string itself between quotation marks. One that holds U+FFFD, which is also what
// bytes that are not UTF-8 are read as, is left to encoding/json as well.
func plain(s string) bool {
	for _, r := range s {
		switch {
		case r < ' ', r == '"', r == '\\', r == '\u2028', r == '\u2029', r == utf8.RuneError:
			return false
		}
	}
	return true
}

// appendMember appends the name, written as `,"name":`, and the value; nothing where the value is nil.
func appendMember(b []byte, name string, value *string) []byte {
	if value == nil {
		return b
	}
	return appendString(append(b, name...), *value)
}

// appendTime appends a moment on DingTalk's clock, RFC 3339 in UTC, in whole seconds.
func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.RFC3339) }

// stamp is a moment on our own clock, RFC 3339 in UTC with milliseconds.
type stamp time.Time

// stampWidth is what a stamp takes.
const stampWidth = len("2006-01-02T15:04:05.000Z")

// append appends the stamp.
func (s stamp) append(b []byte) []byte {
	ms := time.Time(s).Nanosecond() / 1e6
	b = bytes.TrimSuffix(appendTime(b, time.Time(s)), []byte("Z")) // a layout with milliseconds takes three times as long
	return append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

func (s stamp) MarshalText() ([]byte, error) { return s.append(nil), nil }

func (s *stamp) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.RFC3339, string(b))
	if t = t.UTC(); err == nil && (t.Year() < 0 || t.Year() > 9999) { // by its offset: RFC 3339 could not write it again
		err = errors.New("a time outside the years 0 to 9999")
	}
	*s = stamp(t)
	return err
}
