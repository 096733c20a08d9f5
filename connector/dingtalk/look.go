package dingtalk

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// window is what a look asks for; without an end if that is zero.
type window struct{ start, end time.Time }

// look is one data call of an observation and what it showed.
type look struct {
	window  window
	size    int  // maxResults
	refused bool // for a parameter; then it showed nothing
	records []LeaveRecord
	null    bool   // records is null
	next    string // the nextToken of the page that follows, "" if none does
	last    string // if none does, how nextToken says so: absent, null, empty, zero or number
}

// errUsedUp ends an observation that would ask for ever; nobody outside sees it as an error.
var errUsedUp = errors.New("not asked: " + strconv.Itoa(maxLooks) + " calls were made")

// look makes one data call.
func (o *observer) look(ctx context.Context, w window, size int, token string) (*look, error) {
	if len(o.looks) == maxLooks {
		return nil, errUsedUp
	}
	l := look{window: w, size: size}
	op := "observe leave records from " + timestamp(w.start)
	query := url.Values{"startTime": {timestamp(w.start)}, "maxResults": {strconv.Itoa(size)}, "nextToken": {token}}
	if !w.end.IsZero() {
		op += " to " + timestamp(w.end)
		query.Set("endTime", timestamp(w.end))
	}
	a, page, err := o.client.get(ctx, op, query)
	if e, ok := errors.AsType[*Error](err); ok && e.Op == op && isParameterRefusal(e.Code) {
		l.refused = true
	} else if err != nil {
		return nil, err
	} else if reason := l.read(page); reason != "" {
		return nil, a.protocolError(op, reason)
	}
	o.looks = append(o.looks, l)
	return &l, nil
}

// read is parsePage, and keeps what that makes no difference of.
func (l *look) read(page object) (reason string) {
	l.records, l.next, reason = parsePage(page)
	list, _ := page.get("records")
	l.null = isMissing(list)
	if l.next == "" {
		l.last = lastToken(page)
	}
	return reason
}

// lastToken is how the nextToken of a last page says that none follows.
func lastToken(page object) string {
	v, n := page.get("nextToken")
	switch {
	case n == 0:
		return "absent"
	case isMissing(v):
		return "null"
	case isDigits(v):
		return "number"
	case v == `""`:
		return "empty"
	}
	return "zero"
}

func (l *look) reply() reply {
	if l.refused {
		return refused
	}
	return answered
}

// walk looks at the pages of a window, at most so many, until it has seen enough.
func (o *observer) walk(ctx context.Context, w window, size, pages int, enough func([]look) bool) (walked []look, err error) {
	token := firstToken
	for len(walked) < pages {
		l, err := o.look(ctx, w, size, token)
		if err == nil && l.refused && token != firstToken { // once may be chance
			l, err = o.look(ctx, w, size, token)
		}
		if err != nil {
			return walked, err
		}
		walked = append(walked, *l)
		switch {
		case l.next != "" && l.next == token:
			o.misled = "a page gives the nextToken that it was asked with"
		case l.refused && token != firstToken:
			o.misled = "a nextToken that was just given is refused"
		}
		if l.next == "" || l.next == token || enough(walked) {
			break
		}
		token = l.next
	}
	return walked, nil
}

// shows says whether a window shows r.
func (o *observer) shows(ctx context.Context, w window, r LeaveRecord) (sight, error) {
	found := func(walked []look) bool { return slices.ContainsFunc(readable(walked), r.isDepartureOf) }
	walked, err := o.walk(ctx, w, maxResults, searchPages, found)
	if err != nil {
		return "", err
	}
	last := walked[len(walked)-1]
	switch {
	case found(walked):
		return shown, nil
	case last.refused || last.next != "":
		return "", nil
	}
	return hidden, nil
}

// isDepartureOf says that both records are about one departure.
func (r LeaveRecord) isDepartureOf(other LeaveRecord) bool {
	return r.UserID == other.UserID && r.LeaveTime.Equal(other.LeaveTime)
}

// count is how many records the pages hold.
func count(looks []look) (n int) {
	for _, l := range looks {
		n += len(l.records)
	}
	return n
}

func hasEmpty(looks []look) bool {
	return slices.ContainsFunc(looks, func(l look) bool { return !l.refused && len(l.records) == 0 })
}

// readable are the records of the pages that can be read, in their order.
func readable(looks []look) (rs []LeaveRecord) {
	for _, l := range looks {
		for _, r := range l.records {
			if r.Unreadable == "" {
				rs = append(rs, r)
			}
		}
	}
	return rs
}

// unreadable counts the others by what is wrong with them, each once.
func unreadable(looks []look) map[string]int {
	n, seen := map[string]int{}, map[string]bool{}
	for _, l := range looks {
		for _, r := range l.records {
			if r.Unreadable != "" && !seen[r.raw] {
				seen[r.raw] = true
				n[r.Unreadable]++
			}
		}
	}
	return n
}

// distinct are the readable records of the pages, each departure once.
func distinct(looks []look) (rs []LeaveRecord) {
	type departure struct {
		userID string
		at     int64
	}
	seen := map[departure]bool{}
	for _, r := range readable(looks) {
		d := departure{r.UserID, r.LeaveTime.Unix()}
		if !seen[d] {
			rs = append(rs, r)
		}
		seen[d] = true
	}
	return rs
}

// pick are the latest records whose time is told to the second, at most n, of different seconds.
func pick(looks []look, n int) []LeaveRecord {
	rs := slices.DeleteFunc(distinct(looks), func(r LeaveRecord) bool { return !toTheSecond(leaveTimeText(r)) })
	slices.SortStableFunc(rs, later)
	rs = slices.CompactFunc(rs, func(a, b LeaveRecord) bool { return a.LeaveTime.Equal(b.LeaveTime) })
	return rs[:min(len(rs), n)]
}

// leaveTimeText is the text of a readable record's leaveTime, as it came.
func leaveTimeText(r LeaveRecord) string {
	o, _ := splitObject(r.raw)
	return o.text("leaveTime")
}

// toTheSecond says that the text of a time tells its second, and no part of it.
func toTheSecond(text string) bool {
	m := leaveTimeShape.FindStringSubmatch(text)
	_, fraction, _ := strings.Cut(text, ".")
	return m != nil && m[3] != "" && strings.Trim(strings.TrimSuffix(fraction, m[4]), "0") == ""
}
