package dingtalk

import (
	"strings"
	"time"
)

// Page is one page of leave records.
type Page struct {
	Records   []LeaveRecord // as DingTalk ordered them
	First     bool          // the first page of the walk: whatever was collected before it is void
	Last      bool          // no page follows: the walk is complete
	ArrivedAt time.Time     // our clock, when the page had been read
}

// maxNextToken bounds a nextToken, which goes back in an address: many servers refuse one of more than 8 KiB. Seen are 16
// characters, and a walk remembers all of them.
const maxNextToken = 1 << 10

// parsePage reads a page's records and its nextToken, "" if no page follows. A reason says why it is no page. Keys count in
// their exact case, and only once: of two records one would be lost, of two tokens one may end the walk too early.
func parsePage(o object) (records []LeaveRecord, token, reason string) {
	list, n := o.get("records")
	switch {
	case n == 0:
		return nil, "", "records is missing"
	case n > 1:
		return nil, "", "records is repeated"
	}
	elements, reason := splitList(list)
	if reason != "" {
		return nil, "", "records " + reason
	}
	next, n := o.get("nextToken")
	if n > 1 {
		return nil, "", "nextToken is repeated"
	}
	token, ok := parseNextToken(next)
	switch {
	case !ok:
		return nil, "", "nextToken is neither text nor digits"
	case len(token) > maxNextToken:
		return nil, "", "nextToken is too long to be sent back"
	}
	records = make([]LeaveRecord, len(elements))
	for i, e := range elements {
		records[i] = parseRecord(e)
	}
	return records, token, ""
}

// parseNextToken is the token of the page that follows, "" if none does. It is a copy: a walk remembers all of them.
func parseNextToken(v string) (token string, ok bool) {
	switch {
	case isMissing(v):
		return "", true
	case isDigits(v):
		token = v
	default:
		if token, ok = unquote(v); !ok {
			return "", false
		}
	}
	if token == firstToken {
		return "", true
	}
	return strings.Clone(token), true
}
