package dingtalk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// traits is what was seen, in one order always.
func (o *observer) traits() []Trait {
	var ts []Trait
	for _, t := range []struct {
		name  string
		after int // the question after which it is told
		tell  func() (seen, how string)
	}{
		{"order", askedAgain, o.order},
		{"bounds", askedEdges, o.bounds},
		{"filter", askedLatest, o.filter},
		{"time-format", askedWide, o.timeFormat},
		{"request-offset", askedOne, o.requestOffset},
		{"last-token", askedNothing, o.lastToken},
		{"short-pages", askedAgain, o.shortPages},
		{"empty-pages", askedAgain, o.emptyPages},
		{"null-records", askedNothing, o.nullRecords},
		{"refuse-end-time", askedWide, o.refuseEndTime},
		{"refuse-future-end-time", askedLimits, o.refuseFutureEndTime},
		{"strict-history", askedLimits, o.strictHistory},
		{"clamp-max-results", askedLimits, o.clampMaxResults},
		{"name", askedWide, func() (string, string) { return o.presence("name", "*") }},
		{"state-code", askedWide, func() (string, string) { return o.presence("stateCode", "*xX") }},
		{"mobile", askedWide, func() (string, string) { return o.presence("mobile", "*xX") }},
	} {
		seen, how := t.tell()
		if seen == "" && o.asked < t.after {
			how = o.unasked
		}
		ts = append(ts, Trait{t.name, seen, how})
	}
	return ts
}

const (
	allRefused      = "a window of the last 7 days is refused with endTime and without"
	tooFewForChance = ", which are too few to rule out chance"
)

// tooFew is why nothing is told about records.
func (o *observer) tooFew(what string) string {
	if o.withoutEnd == refused {
		return allRefused
	}
	return fmt.Sprintf("%s in the last %d days", what, o.days)
}

// order compares two walks over one window. Any order is that of the times once in n!, and twice the same once in n!.
func (o *observer) order() (seen, how string) {
	const enoughSorted, enoughSame = 4, 6
	a, b := distinct(o.first), distinct(o.again) // a record may come twice
	n := min(len(times(a)), len(times(b)))
	if n < 2 {
		return "", o.tooFew("fewer than two records of different times")
	}
	seen, how = orderOf(a, b)
	if n < enoughSorted && seen != "random" || n < enoughSame && seen == "insertion" {
		return "", how + tooFewForChance
	}
	return seen, how
}

func orderOf(a, b []LeaveRecord) (seen, how string) {
	switch {
	case slices.IsSortedFunc(a, earlier) && slices.IsSortedFunc(b, earlier):
		return "asc", fmt.Sprintf("walks over %d and %d records, both from the earliest on", len(a), len(b))
	case slices.IsSortedFunc(a, later) && slices.IsSortedFunc(b, later):
		return "desc", fmt.Sprintf("walks over %d and %d records, both from the latest on", len(a), len(b))
	case sameOrder(a, b):
		return "insertion", fmt.Sprintf("walks over %d and %d records in the same order, not that of their times but that of insertion or another",
			len(a), len(b))
	}
	return "random", fmt.Sprintf("walks over %d and %d records in different orders", len(a), len(b))
}

func earlier(a, b LeaveRecord) int { return a.LeaveTime.Compare(b.LeaveTime) }
func later(a, b LeaveRecord) int   { return b.LeaveTime.Compare(a.LeaveTime) }

// times are the seconds in which the records left.
func times(rs []LeaveRecord) map[int64]bool {
	at := map[int64]bool{}
	for _, r := range rs {
		at[r.LeaveTime.Unix()] = true
	}
	return at
}

// sameOrder says that most of b are in a, and in the same order. Both are beginnings of one window.
func sameOrder(a, b []LeaveRecord) bool {
	var places []int
	for _, r := range b {
		if i := slices.IndexFunc(a, r.isDepartureOf); i >= 0 {
			places = append(places, i)
		}
	}
	return 2*len(places) > len(b) && slices.IsSorted(places)
}

// bounds is whether a record is shown by windows that begin and end at its second.
func (o *observer) bounds() (seen, how string) {
	const at = "a window that begins at a record's second has it %s, one that ends there has it %s"
	how = fmt.Sprintf(at, o.atStart, o.atEnd)
	switch [2]sight{o.atStart, o.atEnd} {
	case [2]sight{shown, shown}:
		return "closed", how
	case [2]sight{shown, hidden}:
		return "half-open", how
	case [2]sight{hidden, hidden}:
		return "open", how
	case [2]sight{hidden, shown}:
		return "start-open", how + ": only the start is exclusive"
	}
	if o.one == nil {
		_, how = o.requestOffset()
		return "", how
	}
	return "", "the windows that begin and end at a record's second are refused or have too many pages"
}

// requestOffset is what has to be added to a record's second to find it.
func (o *observer) requestOffset() (seen, how string) {
	switch {
	case o.one != nil && o.offset == 0:
		return "0", "a record is shown when it is asked for at its own second"
	case o.one != nil:
		hours := strings.TrimSuffix(o.offset.String(), "0m0s")
		return hours, "a record is hidden when it is asked for at its own second, and shown " + hours + " off"
	case o.withEnd == refused:
		return "", "endTime is refused, so no window is narrow enough"
	case len(o.candidates) == 0:
		return "", o.tooFew("no record with its time in whole seconds")
	}
	return "", fmt.Sprintf("%d records are hidden when they are asked for at their own second, and one of them also 8h off", len(o.candidates))
}

// farthestZone is how far a clock may be off by its zone alone.
const farthestZone = 14 * time.Hour

// filter looks for records outside the windows that showed them. A minute is let pass: a text may be cut to minutes.
func (o *observer) filter() (seen, how string) {
	slack := time.Minute
	if o.one == nil {
		slack = farthestZone
	}
	all, outside := 0, 0
	for _, l := range o.looks {
		from, to := l.window.start.Add(-o.offset-slack), l.window.end.Add(-o.offset+slack)
		for _, r := range readable([]look{l}) {
			all++
			if r.LeaveTime.Before(from) || !l.window.end.IsZero() && r.LeaveTime.After(to) {
				outside++
			}
		}
	}
	switch {
	case outside > 0:
		return "operation", fmt.Sprintf("of %d records shown, %d lie outside the window that showed them", all, outside)
	case all == 0:
		return "", o.tooFew("no record that can be read")
	case !o.sawTheEarliest():
		return "", fmt.Sprintf("of %d records shown, none lies outside the window that showed it, but its earliest ones were not seen", all)
	case o.one != nil:
		return "leaveTime", fmt.Sprintf("all of %d records shown lie in the window that showed them, and one is found by its second", all)
	}
	_, how = o.requestOffset()
	return "", fmt.Sprintf("of %d records shown, none lies far outside the window that showed it, but: %s", all, how)
}

// sawTheEarliest says that some walk would have shown a record from before its window: only an order from the latest on
// shows that last.
func (o *observer) sawTheEarliest() bool {
	return !o.isLatestFirst() || isWhole(o.first) || isWhole(o.latest)
}

func (o *observer) isLatestFirst() bool { return slices.IsSortedFunc(distinct(o.first), later) }

// isWhole says that a walk came to its end.
func isWhole(walked []look) bool {
	return len(walked) > 0 && walked[len(walked)-1].next == "" && !walked[len(walked)-1].refused
}

// refuseEndTime compares a window with and without its end.
func (o *observer) refuseEndTime() (seen, how string) {
	switch {
	case o.withEnd == answered:
		return "false", "a window of the last 7 days is answered with endTime"
	case o.withEnd == refused && o.withoutEnd == answered:
		return "true", "a window of the last 7 days is refused with endTime and answered without"
	}
	return "", allRefused
}

func (o *observer) refuseFutureEndTime() (seen, how string) {
	return o.refusal(o.future, "an endTime of tomorrow")
}

func (o *observer) strictHistory() (seen, how string) {
	return o.refusal(o.pastYear, "a window with endTime from 380 to 373 days ago")
}

// refusal is what became of a question that needs endTime.
func (o *observer) refusal(l *look, what string) (seen, how string) {
	if l == nil {
		return "", "endTime is refused, so that this cannot be asked"
	}
	return strconv.FormatBool(l.refused), what + " is " + string(l.reply())
}

// clampMaxResults is what 51 means. More records than 50 are none of the switch's kinds.
func (o *observer) clampMaxResults() (seen, how string) {
	if o.crowd == nil {
		return "", allRefused
	}
	n := len(o.crowd.records)
	switch {
	case o.crowd.refused:
		return "false", "a maxResults of 51 is refused"
	case n > maxResults:
		return "", fmt.Sprintf("a maxResults of 51 is answered with %d records: more than 50 are allowed", n)
	}
	return "true", fmt.Sprintf("a maxResults of 51 is answered with %d records", n)
}
