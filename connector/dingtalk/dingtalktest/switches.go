package dingtalktest

import "time"

// Switches choose between plausible behaviours of DingTalk. The zero value is the documented one, or else the likeliest. The
// tags are the one place where a switch is explained, for flags, JSON and help texts ([AllSwitches]): the rule of the package comment, the
// name, and the doubt about the real DingTalk that it stands for. Numbers and durations are 0 for the default.
type Switches struct {
	RetryAfter time.Duration `rule:"S2" name:"retry-after" doubt:"no document names a Retry-After for this API; set: throttled answers have one, in whole seconds"`

	UpperCamelErrors bool `rule:"S3" name:"upper-camel-errors" doubt:"live errors have code, requestid, message; the SDKs expect Code, RequestId, Message as well"`
	English          bool `rule:"S3" name:"english" doubt:"messages of live errors are mostly Chinese, some are English"`

	TokenTTL time.Duration `rule:"S5" name:"token-ttl" default:"2h0m0s" doubt:"7200 s is documented; nothing promises that every token lasts as long"`

	NoPermission     bool `rule:"S8" name:"no-permission" doubt:"an administrator may take Contact.Common.Read from the app while it runs, and give it back"`
	IPNotWhiteListed bool `rule:"S8" name:"ip-not-white-listed" doubt:"the app may have a list of addresses, and the caller's may be missing there"`

	MissingAsInvalid bool `rule:"S10" name:"missing-as-invalid" doubt:"the code of a missing parameter, Missing and its name, is known from other calls only; on: invalidParameter.param.invalid"`

	ZonelessRequest bool `rule:"S11" name:"zoneless-request" doubt:"the SDK's examples send times without a zone, the documents with Z; on: both are read, as UTC"`

	StrictHistory       bool `rule:"S12" name:"strict-history" doubt:"documents limit only the span when endTime is given; one witness: a startTime older than 365 days is always refused"`
	RefuseEndTime       bool `rule:"S12" name:"refuse-end-time" doubt:"documents allow endTime; one witness: any endTime is refused with 400"`
	RefuseFutureEndTime bool `rule:"S12" name:"refuse-future-end-time" doubt:"no document says whether an endTime beyond the server's clock is refused"`

	ClampMaxResults bool `rule:"S13" name:"clamp-max-results" doubt:"documents say 'at most 50', not what more than 50 does; on: it counts as 50"`

	PageTokenCode string        `rule:"S14" name:"page-token-code" default:"invalidParameter.param.invalid" doubt:"which code refuses a nextToken; siblings: invalidParameter.cursor.invalid, illegalParameter.nextToken, invalidNextToken"`
	PageTokenTTL  time.Duration `rule:"S14" name:"page-token-ttl" default:"10m0s" doubt:"how long a nextToken lives is written nowhere"`

	LastToken LastToken `rule:"S15" name:"last-token" doubt:"how a walk ends is written nowhere for this call; its siblings leave nextToken out, send null, an empty text or 0"`

	ShortPages   bool    `rule:"S16" name:"short-pages" doubt:"nothing promises full pages while more follows; on: any length from 1 to maxResults"`
	EmptyPages   bool    `rule:"S16" name:"empty-pages" doubt:"nothing says that an empty page is the last; on: every other page is empty, beginning with the first"`
	FullLastPage bool    `rule:"S16" name:"full-last-page" doubt:"a server that does not look ahead gives a nextToken after a last page that was exactly full; an empty page follows"`
	RepeatToken  bool    `rule:"S16" name:"repeat-token" doubt:"a server gone wrong may give the nextToken it was asked with, for ever"`
	Repeats      Repeats `rule:"S16" name:"repeats" doubt:"nothing promises that a record comes once in a walk: page shows one twice in each page, pages the last of a page again on the next"`

	Order  Order  `rule:"S17" name:"order" doubt:"no document says in which order records come"`
	Paging Paging `rule:"S17" name:"paging" doubt:"no document says what a walk shows of records that come and go meanwhile"`

	Bounds        Bounds        `rule:"S18" name:"bounds" doubt:"no document says whether startTime and endTime belong to the window"`
	FilterField   FilterField   `rule:"S18" name:"filter" doubt:"no document says which time a window is about: leaveTime, or when the departure was entered"`
	RequestOffset time.Duration `rule:"S18" name:"request-offset" signed:"yes" doubt:"request times may be read as clock time of another zone, this far east of UTC; 8h: China's"`

	TimeFormat TimeFormat `rule:"S19" name:"time-format" doubt:"the documents' examples write times in four ways, one of them without seconds"`

	NullRecords   bool     `rule:"S20" name:"null-records" doubt:"no document shows an empty page: records may be [] or null"`
	Name          Presence `rule:"S20" name:"name" doubt:"every field is optional in the SDKs; which may be missing, null, empty or masked is written nowhere"`
	StateCode     Presence `rule:"S20" name:"state-code" doubt:"as name"`
	Mobile        Presence `rule:"S20" name:"mobile" doubt:"as name; the documents' example is masked, and field permissions may hide it"`
	UnknownFields bool     `rule:"S20" name:"unknown-fields" doubt:"DingTalk adds fields to its answers without a word"`

	QPS           int           `rule:"S22" name:"qps" default:"20" doubt:"calls a second for each API: 20 for the standard edition, 60 with a paid pack, 40 in older documents; below 0: no limit"`
	QPM           int           `rule:"S22" name:"qpm" doubt:"a limit a minute has a code, but no documented number; 0: no limit"`
	BusyHalfHours time.Duration `rule:"S22" name:"busy-half-hours" doubt:"the limit over all organisations has no public number; one witness met it at full and half hours: for so long from each"`

	MonthlyQuota   int           `rule:"S23" name:"monthly-quota" doubt:"documents do not count this API; set: data calls count, and more than so many in a calendar month are refused"`
	QuotaGrace     time.Duration `rule:"S23" name:"quota-grace" doubt:"documents let calls through for 'up to 5 days' (120h) after the quota is used up; 0: not at all"`
	QuotaExhausted bool          `rule:"S23" name:"quota-exhausted" doubt:"the quota is the organisation's: its other apps may have used it up"`

	BlockAbove int           `rule:"S24" name:"block-above" doubt:"calls in 20 s from one address: 10,000 is documented, and is what 0 means unless qps is below 0; below 0: no limit"`
	BlockPage  BlockPage     `rule:"S24" name:"block-page" doubt:"an HTML page and a JSON object are documented; under which status is not"`
	BlockFor   time.Duration `rule:"S24" name:"block-for" default:"5m0s" doubt:"5 minutes are documented; whether calls made meanwhile prolong them is not: here they do not"`

	Gzip    bool          `rule:"S25" name:"gzip" doubt:"answers may be compressed where the request allows it"`
	Latency time.Duration `rule:"S25" name:"latency" doubt:"how long an answer takes is promised nowhere"`
	Skew    time.Duration `rule:"S25" name:"skew" signed:"yes" doubt:"the server's clock may differ from ours, and be set right at any moment: server minus ours"`
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
	Closed    Bounds = "closed"     // [start, end]
	HalfOpen  Bounds = "half-open"  // [start, end)
	StartOpen Bounds = "start-open" // (start, end]
	Open      Bounds = "open"       // (start, end)
)

// AllBounds are all kinds of Bounds.
func AllBounds() []Bounds { return []Bounds{Closed, HalfOpen, StartOpen, Open} }

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

// Repeats is which records a walk shows more than once.
type Repeats string

// The kinds of Repeats; the first is the default.
const (
	RepeatNone   Repeats = "none"
	RepeatInPage Repeats = "page"  // the first record of a page comes again as its last
	RepeatOnNext Repeats = "pages" // the last record of a page comes again as the first of the next
)

// AllRepeats are all kinds of Repeats.
func AllRepeats() []Repeats { return []Repeats{RepeatNone, RepeatInPage, RepeatOnNext} }

// BlockPage is what a blocked address is answered.
type BlockPage string

// The kinds of BlockPage; the first is the default.
const (
	BlockHTML403 BlockPage = "html-403" // IPBlockHTML403
	BlockHTML200 BlockPage = "html-200" // IPBlockHTML200
	BlockJSON200 BlockPage = "json-200" // IPBlockJSON
)

// BlockPages are all kinds of BlockPage.
func BlockPages() []BlockPage { return []BlockPage{BlockHTML403, BlockHTML200, BlockJSON200} }
