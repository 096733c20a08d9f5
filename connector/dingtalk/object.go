package dingtalk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxElements bounds a list and an object. DOC: a page has at most 50 records of six fields. Eight megabytes of the shortest
// elements would be millions, and gigabytes of memory.
const maxElements = 10_000

// object is one JSON object as it stands: every key in its own case, a repeated key as often as it comes. encoding/json
// would match keys without regard to case and keep the last of a repeated key, so a second records would hide the first.
type object []member

type member struct {
	key   string
	value json.RawMessage
}

// parseObject reads b as one JSON object of at most maxElements members with nothing after it.
func parseObject(b []byte) (object, bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	var o object
	for d.More() {
		t, err := d.Token()
		key, isKey := t.(string)
		if err != nil || !isKey || len(o) == maxElements {
			return nil, false
		}
		m := member{key: key}
		if err := d.Decode(&m.value); err != nil {
			return nil, false
		}
		o = append(o, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, false
	}
	_, err := d.Token()
	return o, err == io.EOF
}

// parseList reads a JSON value as a list; null is an empty one. A reason says why it is none, or too long.
func parseList(v json.RawMessage) (elements []json.RawMessage, reason string) {
	if isMissing(v) {
		return nil, ""
	}
	d := json.NewDecoder(bytes.NewReader(v))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, "is not a list"
	}
	for d.More() {
		var e json.RawMessage
		if len(elements) == maxElements {
			return nil, fmt.Sprintf("has more than %d elements", maxElements)
		}
		if err := d.Decode(&e); err != nil {
			return nil, "is not a list"
		}
		elements = append(elements, e)
	}
	return elements, ""
}

// get is the value of the last member whose key is one of keys, and how many such members there are. The value of none is
// nil.
func (o object) get(keys ...string) (value json.RawMessage, n int) {
	for _, m := range o {
		if slices.Contains(keys, m.key) {
			value, n = m.value, n+1
		}
	}
	return value, n
}

// text is the value of the last member whose key is one of keys, if it is a string, or a number, then as it is written.
func (o object) text(keys ...string) string {
	v, _ := o.get(keys...)
	if isNumber(v) {
		return string(v)
	}
	s, _ := unquote(v)
	return s
}

// isMissing says that a value is null or not there: DingTalk means the same by both.
func isMissing(v json.RawMessage) bool { return len(v) == 0 || v[0] == 'n' }

// isNumber says that a JSON value is a number.
func isNumber(v json.RawMessage) bool {
	return len(v) > 0 && (v[0] == '-' || '0' <= v[0] && v[0] <= '9')
}

// isDigits says that a JSON value is a number written with digits alone: not negative, no fraction, no exponent.
func isDigits(v json.RawMessage) bool {
	return len(v) > 0 && !bytes.ContainsFunc(v, func(r rune) bool { return r < '0' || '9' < r })
}

// unquote is the text of a JSON value that is a string. What is no Unicode in it is U+FFFD afterwards; see wellFormed.
func unquote(v json.RawMessage) (string, bool) {
	if len(v) == 0 || v[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(v, &s)
	return s, err == nil
}

// wellFormed says that every character of a JSON string is Unicode: its bytes are UTF-8 and no surrogate is escaped
// without its other half. encoding/json puts U+FFFD in their place and says nothing, so two userIds could become one.
func wellFormed(quoted json.RawMessage) bool {
	if !utf8.Valid(quoted) {
		return false
	}
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		i++
		if quoted[i] != 'u' {
			continue
		}
		r := hex4(quoted[i+1:])
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		rest := quoted[i+1:]
		if !bytes.HasPrefix(rest, []byte(`\u`)) || utf16.DecodeRune(r, hex4(rest[2:])) == unicode.ReplacementChar {
			return false
		}
		i += 6
	}
	return true
}

// hex4 is the number of the four hexadecimal digits at the beginning of b, which the JSON parser has seen already.
func hex4(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 32)
	return rune(n)
}
