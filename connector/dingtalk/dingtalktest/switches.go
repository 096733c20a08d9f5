package dingtalktest

import (
	"fmt"
	"slices"
	"time"
)

// Switches choose between plausible behaviours of DingTalk. The zero value is the documented one, or else the likeliest. The
// numbers of the rules are those of the package comment.
type Switches struct {
	UpperCamelErrors bool          // S3: Code, RequestId, Message
	English          bool          // S3: messages in English
	RetryAfter       time.Duration // S2: Retry-After with every throttled answer, in whole seconds; 0: none
	Gzip             bool          // S25: compress when the request allows it

	TokenTTL         time.Duration // S5: how long an access token is valid; 0: 7200 s
	NoPermission     bool          // S8: the app lacks Contact.Common.Read
	IPNotWhiteListed bool          // the caller's address is not on the app's white list
	QuotaExhausted   bool          // the organisation's monthly quota is used up, and this call counts

	MissingAsInvalid    bool   // S10: a missing parameter is invalidParameter.param.invalid
	ZonelessRequest     bool   // S11: times without a zone are taken, as UTC
	StrictHistory       bool   // S12: a start older than 365 days is refused, endTime or not
	RefuseEndTime       bool   // S12: any endTime is refused
	RefuseFutureEndTime bool   // S12: an endTime beyond the server's clock is refused
	ClampMaxResults     bool   // S13: more than 50 counts as 50
	PageTokenCode       string // S14: the code that refuses a nextToken; "": invalidParameter.param.invalid

	PageTokenTTL  time.Duration // S14: how long a nextToken is valid; 0: 10 minutes
	LastToken     LastToken     // S15
	ShortPages    bool          // S16: pages of any length from 1 to maxResults
	EmptyPages    bool          // S16: every other page is empty, beginning with the first
	FullLastPage  bool          // S16: an empty page follows a last page that was exactly full
	RepeatToken   bool          // S16: a page asked with a nextToken gives that nextToken again
	Order         Order         // S17
	Paging        Paging        // S17
	Bounds        Bounds        // S18
	FilterField   FilterField   // S18
	RequestOffset time.Duration // S18: request times are read as clock time this far east of UTC; 8h: as if +08:00
	TimeFormat    TimeFormat    // S19
	NullRecords   bool          // S20: an empty page says "records":null
	Name          Presence      // S20
	StateCode     Presence      // S20
	Mobile        Presence      // S20
	UnknownFields bool          // S20: fields that no document names

	QPS           int           // S22: calls a second for each API; 0: 20; below 0: no limit
	QPM           int           // S22: calls a minute for each API; 0: no limit
	BusyHalfHours time.Duration // S22: for so long from each full and half hour the global limit refuses data calls

	Latency time.Duration // between a call and its answer
	Skew    time.Duration // the server's clock minus Options.Now
}

// LastToken is what the last page has for a nextToken.
type LastToken string

// The kinds of LastToken; the first is the default.
const (
	TokenAbsent LastToken = "absent"
	TokenNull   LastToken = "null"
	TokenEmpty  LastToken = "empty"
	TokenZero   LastToken = "zero"   // "0"
	TokenNumber LastToken = "number" // 0
)

// LastTokens are all kinds of LastToken.
func LastTokens() []LastToken {
	return []LastToken{TokenAbsent, TokenNull, TokenEmpty, TokenZero, TokenNumber}
}

// Order is the order of the records of a window.
type Order string

// The kinds of Order; the first is the default.
const (
	Ascending  Order = "asc"
	Descending Order = "desc"
	Insertion  Order = "insertion" // as they became visible
	Random     Order = "random"    // another one for each walk
)

// Orders are all kinds of Order.
func Orders() []Order { return []Order{Ascending, Descending, Insertion, Random} }

// Paging is what a nextToken stands for.
type Paging string

// The kinds of Paging; the first is the default.
const (
	Snapshot   Paging = "snapshot" // later pages show the window as it was at the first
	LiveOffset Paging = "offset"   // a count of records: shifts when one is inserted or removed before it
	Keyset     Paging = "keyset"   // the last record shown: what is inserted before it is missed
)

// Pagings are all kinds of Paging.
func Pagings() []Paging { return []Paging{Snapshot, LiveOffset, Keyset} }

// Bounds says which ends belong to a window.
type Bounds string

// The kinds of Bounds; the first is the default.
const (
	Closed   Bounds = "closed"    // [start, end]
	HalfOpen Bounds = "half-open" // [start, end)
	Open     Bounds = "open"      // (start, end)
)

// AllBounds are all kinds of Bounds.
func AllBounds() []Bounds { return []Bounds{Closed, HalfOpen, Open} }

// FilterField is what a window is about.
type FilterField string

// The kinds of FilterField; the first is the default.
const (
	ByLeaveTime FilterField = "leaveTime"
	ByOperation FilterField = "operation" // Leaver.OperatedAt
)

// FilterFields are all kinds of FilterField.
func FilterFields() []FilterField { return []FilterField{ByLeaveTime, ByOperation} }

// TimeFormat is the text of leaveTime in answers.
type TimeFormat string

// The kinds of TimeFormat; the first is the default.
const (
	TimeSeconds  TimeFormat = "seconds"
	TimeMinutes  TimeFormat = "minutes" // 2006-01-02T15:04Z where the seconds are 00
	TimeMillis   TimeFormat = "millis"
	TimeOffset   TimeFormat = "offset"   // 2006-01-02T23:04:05+08:00
	TimeMixed    TimeFormat = "mixed"    // of the four above
	TimeZoneless TimeFormat = "zoneless" // UTC, without the Z
)

// TimeFormats are all kinds of TimeFormat.
func TimeFormats() []TimeFormat {
	return []TimeFormat{TimeSeconds, TimeMinutes, TimeMillis, TimeOffset, TimeMixed, TimeZoneless}
}

// Presence is what becomes of a field of a record.
type Presence string

// The kinds of Presence; the first is the default.
const (
	FieldPresent Presence = "present"
	FieldMissing Presence = "missing"
	FieldNull    Presence = "null"
	FieldEmpty   Presence = "empty"
	FieldMasked  Presence = "masked" // 185xxxx7676
	FieldMixed   Presence = "mixed"  // of the five above
)

// Presences are all kinds of Presence.
func Presences() []Presence {
	return []Presence{FieldPresent, FieldMissing, FieldNull, FieldEmpty, FieldMasked, FieldMixed}
}

const (
	defaultTokenTTL      = 7200 * time.Second // documented
	defaultPageTokenTTL  = 10 * time.Minute   // no document says; long enough for any walk, short enough to meet in a test
	defaultQPS           = 20                 // documented for the standard edition
	defaultPageTokenCode = codeInvalid
)

// complete is s with every default filled in. A value that is none of its kind is a mistake in the test and panics.
func (s Switches) complete() Switches {
	choose(&s.LastToken, LastTokens())
	choose(&s.Order, Orders())
	choose(&s.Paging, Pagings())
	choose(&s.Bounds, AllBounds())
	choose(&s.FilterField, FilterFields())
	choose(&s.TimeFormat, TimeFormats())
	choose(&s.Name, Presences())
	choose(&s.StateCode, Presences())
	choose(&s.Mobile, Presences())
	unlessSet(&s.TokenTTL, defaultTokenTTL)
	unlessSet(&s.PageTokenTTL, defaultPageTokenTTL)
	unlessSet(&s.PageTokenCode, defaultPageTokenCode)
	unlessSet(&s.QPS, defaultQPS)
	return s
}

func choose[T ~string](v *T, all []T) {
	unlessSet(v, all[0])
	if !slices.Contains(all, *v) {
		panic(fmt.Sprintf("dingtalktest: switch %q is none of %q", *v, all))
	}
}

func unlessSet[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}
