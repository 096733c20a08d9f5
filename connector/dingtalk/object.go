package dingtalk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// maxElements bounds a list and an object. DOC: a page has at most 50 records of six fields. Eight megabytes of the shortest
// elements would be millions, and gigabytes of memory.
const maxElements = 10_000

// object is one JSON object as it stands: every key in its own case, a repeated key as often as it comes. encoding/json
// would match keys without regard to case and keep the last of a repeated key, so a second records would hide the first.
type object []member

// member is a key, decoded, and its value, as it stands. Both are parts of the whole.
type member struct{ key, value string }

// parseObject reads b as one JSON object of at most maxElements members. If something stands behind the object it is not ok, but a
// refusal may be told by it all the same.
func parseObject(b []byte) (o object, ok bool) {
	if json.Valid(b) {
		return splitObject(skipSpace(string(b)))
	}
	var first json.RawMessage
	if json.NewDecoder(bytes.NewReader(b)).Decode(&first) == nil {
		o, _ = splitObject(string(first))
	}
	return o, false
}

// splitObject is the JSON value v as an object of at most maxElements members.
func splitObject(v string) (o object, ok bool) {
	if v == "" || v[0] != '{' {
		return nil, false
	}
	for key, value := range members(v) {
		if len(o) == maxElements {
			return nil, false
		}
		o = append(o, member{key, value})
	}
	return o, true
}

// splitList is the JSON value v as a list; null is an empty one. A reason says why it is none, or too long.
func splitList(v string) (list []string, reason string) {
	switch {
	case isMissing(v):
		return nil, ""
	case v[0] != '[':
		return nil, "is not a list"
	}
	for e := range elements(v) {
		if len(list) == maxElements {
			return nil, fmt.Sprintf("has more than %d elements", maxElements)
		}
		list = append(list, e)
	}
	return list, ""
}

// get is the value of the last member whose key is one of keys, and how many such members there are. The value of none is
// empty.
func (o object) get(keys ...string) (value string, n int) {
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
		return v
	}
	s, _ := unquote(v)
	return s
}
