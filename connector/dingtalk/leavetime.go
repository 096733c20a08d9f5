package dingtalk

import (
	"regexp"
	"time"
)

// Times of the platform. DOC: its examples write seconds and Z, milliseconds and Z, a numeric offset, and minutes and Z.
// One without a zone is taken for UTC, which is what a witness found (FIELD); a space in the place of the T changes
// nothing. What is ambiguous does not match: a zone that lost its "+", a comma, a date alone.
var leaveTimeShape = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?:(:\d\d)(?:\.\d+)?)?(Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?$`)

// The years that a leaveTime may lie in, in UTC: before them is a null date of somebody's database, after them is what no
// RFC 3339 can write.
const firstYear, lastYear = 1970, 9999

// documentedTime is the shape that DingTalk's documentation shows for this call: nearly every leaveTime has it.
const documentedTime = "2006-01-02T15:04:05Z"

// parseLeaveTime reads a leaveTime: UTC, cut to whole seconds.
func parseLeaveTime(s string) (time.Time, bool) {
	if !isDocumented(s) {
		s = rfc3339(s)
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, false
	}
	t = t.UTC()
	if t.Year() < firstYear || lastYear < t.Year() {
		return time.Time{}, false
	}
	return t, true
}

// isDocumented says that s has the shape of documentedTime: a digit where that has one, and elsewhere the same.
func isDocumented(s string) bool {
	if len(s) != len(documentedTime) {
		return false
	}
	for i := range len(s) {
		if c := documentedTime[i]; isDigit(c) != isDigit(s[i]) || !isDigit(c) && c != s[i] {
			return false
		}
	}
	return true
}

// rfc3339 is a time of any known shape in that of RFC 3339, without parts of a second; empty if the shape is none.
func rfc3339(s string) string {
	m := leaveTimeShape.FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	date, minute, second, zone := m[1], m[2], m[3], m[4]
	if second == "" {
		second = ":00"
	}
	switch len(zone) {
	case 0:
		zone = "Z"
	case len("+0800"):
		zone = zone[:3] + ":" + zone[3:]
	}
	return date + "T" + minute + second + zone
}
