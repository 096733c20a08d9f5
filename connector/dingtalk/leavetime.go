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

// parseLeaveTime reads a leaveTime: UTC, cut to whole seconds.
func parseLeaveTime(s string) (time.Time, bool) {
	m := leaveTimeShape.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
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
	t, err := time.Parse(time.RFC3339, date+"T"+minute+second+zone)
	if err != nil {
		return time.Time{}, false
	}
	t = t.UTC()
	if t.Year() < firstYear || lastYear < t.Year() {
		return time.Time{}, false
	}
	return t, true
}
