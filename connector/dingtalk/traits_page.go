package dingtalk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// timeFormat is the shape of leaveTime. Minutes alone are a habit where the seconds are 00, and no mixture.
func (o *observer) timeFormat() (seen, how string) {
	rs := distinct(o.looks)
	n, fullMinutes := map[string]int{}, 0
	for _, r := range rs {
		text := leaveTimeText(r)
		shape := timeShape(text)
		n[shape]++
		if shape == "seconds" && strings.HasSuffix(text, ":00Z") {
			fullMinutes++
		}
	}
	how = tally(n)
	switch {
	case len(rs) == 0:
		return "", o.tooFew("no record that can be read")
	case n["minutes"]+n["seconds"] == len(rs) && n["minutes"] > 0 && fullMinutes == 0:
		return "minutes", how + "; none of those in seconds is at a full minute"
	case len(n) > 1:
		return "mixed", how
	case n["seconds"] > 0 && fullMinutes == 0:
		how += "; none at a full minute, where seconds may be left out"
	}
	return slices.Collect(maps.Keys(n))[0], how
}

// timeShape is how a text that is a time tells it.
func timeShape(text string) string {
	m := leaveTimeShape.FindStringSubmatch(text)
	switch second, zone := m[3], m[4]; {
	case zone == "":
		return "zoneless"
	case zone != "Z":
		return "offset"
	case second == "":
		return "minutes"
	case strings.Contains(text, "."):
		return "millis"
	}
	return "seconds"
}

// lastToken is how the last pages say that none follows.
func (o *observer) lastToken() (seen, how string) {
	n := map[string]int{}
	for _, l := range o.looks {
		if !l.refused && l.next == "" {
			n[l.last]++
		}
	}
	switch len(n) {
	case 0:
		return "", "no page was the last"
	case 1:
		return slices.Collect(maps.Keys(n))[0], "of the last pages, " + tally(n)
	}
	return "", "of the last pages, " + tally(n)
}

// shortPages looks for pages with fewer records than asked for, though more followed. Pages of any length are full once in
// as many times as they may have records.
func (o *observer) shortPages() (seen, how string) {
	const enoughOdds = 100
	short, full, odds := 0, 0, 1
	for _, l := range o.looks {
		switch size := min(l.size, maxResults); {
		case l.next == "" || len(l.records) == 0:
		case len(l.records) < size:
			short++
		default:
			full++
			odds = min(odds*size, enoughOdds) // more is not asked, and would overflow
		}
	}
	how = fmt.Sprintf("of the pages with records that others followed, %d were short and %d full", short, full)
	switch {
	case short > 0:
		return "true", how
	case odds >= enoughOdds:
		return "false", how
	}
	return "", how + tooFewForChance
}

// emptyPages looks for pages without records that others followed.
func (o *observer) emptyPages() (seen, how string) {
	empty, full := 0, 0
	for _, l := range o.looks {
		switch {
		case len(l.records) > 0:
			full++
		case l.next != "":
			empty++
		}
	}
	how = fmt.Sprintf("%d pages had records, and %d had none though others followed", full, empty)
	switch {
	case empty > 0:
		return "true", how
	case full > 1:
		return "false", how
	}
	return "", how
}

// nullRecords is what records is on a page that has none.
func (o *observer) nullRecords() (seen, how string) {
	null, list := 0, 0
	for _, l := range o.looks {
		switch {
		case l.refused || len(l.records) > 0:
		case l.null:
			null++
		default:
			list++
		}
	}
	how = fmt.Sprintf("of the pages without records, %d said null and %d []", null, list)
	switch {
	case null > 0 && list == 0:
		return "true", how
	case list > 0 && null == 0:
		return "false", how
	}
	return "", how
}

// presence is what becomes of a field. Missing beside one other kind is a matter of the person, and no mixture.
func (o *observer) presence(key, masks string) (seen, how string) {
	n := map[string]int{}
	for _, r := range distinct(o.looks) {
		n[presenceOf(r, key, masks)]++
	}
	kinds := maps.Clone(n)
	if len(kinds) == 2 {
		delete(kinds, "missing")
	}
	switch len(kinds) {
	case 0:
		return "", o.tooFew("no record that can be read")
	case 1:
		return slices.Collect(maps.Keys(kinds))[0], tally(n)
	}
	return "mixed", tally(n)
}

func presenceOf(r LeaveRecord, key, masks string) string {
	o, _ := splitObject(r.raw)
	v, n := o.get(key)
	text := o.text(key)
	switch {
	case n == 0:
		return "missing"
	case isMissing(v):
		return "null"
	case text == "":
		return "empty"
	case strings.ContainsAny(text, masks):
		return "masked"
	}
	return "present"
}

// tally is how many there were of each kind.
func tally(n map[string]int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%d %s", n[kind], kind))
	}
	return strings.Join(parts, ", ")
}
