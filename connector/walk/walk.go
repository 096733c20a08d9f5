// Package walk decides which part of an organisation's history is asked of DingTalk next, and what follows from the
// answer. It is pure: values in, values out, no clock, no I/O, no error; every function is total.
//
// # Words
//
// A leave record is what DingTalk answered; a departure is its identity (corpId, userId, leaveTime). A window is a span of
// leaveTime that is asked for whole, page by page; both its ends are covered, in whole seconds. A walk is a row of windows
// that covers a longer span. A window is walked whole when its last page is in; only then is it passed to [Advance], and
// what Advance returns is committed in one transaction.
//
// The checkpoint is what is known for good: highWaterMark (everything DingTalk showed up to here is published),
// reconciledThrough (the same for the reconcile walk), floor (nothing before it is published) and gaps. The ledger names
// every departure ever published. [Progress] is where unfinished walks stand; it lives in memory only, so a restart
// begins such a walk again and the ledger makes that harmless.
//
// # The guarantee
//
// Whatever a window shows at or after floor, and the ledger does not name, is published by that window's Advance, whichever
// walk it belongs to. The ledger names it from then on. So nothing that was shown is lost and nothing is published twice,
// and windows may overlap, repeat or come late as they please. What the walks below decide is only what gets shown.
//
// # Three walks
//
//	          floor            highWaterMark          now
//	            │                    │                 │
//	head        │              ├─────┴─────────────────┤   every PollInterval, from Overlap before the mark
//	catch-up    ├──────┼──────┼──────┼──────┼──────┼───┤   the same when it is longer than 7 days
//	fresh       │                              ├───────┤   meanwhile: the last Overlap, moves no mark
//	reconcile   │   ├──────┼──────┼──────┼─────────────┤   every ReconcileInterval, from Lookback before reconciledThrough
//
// The head walk goes from highWaterMark-Overlap, but not before floor, to now. DingTalk promises neither order nor
// inclusive bounds nor a time until a record is visible: the overlap bears with that. Each window walked whole moves
// highWaterMark to its end: the mark follows what was asked, not the latest leaveTime seen, since in a quiet company that
// may be years old, and DingTalk refuses to look back further than 365 days.
//
// A head walk longer than [MaxSpan] is called catch-up and is cut into windows of that length, walked without waiting
// between them. While a head walk of several windows has more than Overlap before it, a fresh walk of the last Overlap comes
// first whenever a poll is due, so that today's leaver never waits behind history; never two fresh walks in succession, or
// a slow API would starve the catch-up: a window of another walk comes between, or as many pages of others ([Shared]).
//
// The reconcile walk publishes what DingTalk showed late. It waits while a head walk is unfinished, and gives way to a head
// that is due; but after a head window it has a turn, or a short PollInterval with a slow API would starve it. Only its last
// window moves reconciledThrough.
//
// A first catch-up has nothing to reconcile: once its window at floor is walked, reconciledThrough is the moment at which
// it began. (What was visible only later than Lookback after its leaveTime is not promised; and whatever left more than
// Lookback before that moment had been visible by then, when the catch-up had yet to pass it.) Until highWaterMark has
// passed it, reconciledThrough says what to reconcile, not what is complete.
//
// A walk's last second, its target, is the now of its begin, so that every walk ends however fast departures come.
//
// # Windows too full
//
// A window that shows more than [MaxRecords] is abandoned and cut in two at the median leaveTime seen so far: [Tally] and
// [Cut]. Departures of one second cannot be divided, so the fullest second does not count: a bulk delete is taken whole.
// Every cut leaves both halves shorter and a window of one second is never full, so cutting ends. The windows that follow are as
// short as the one before proved right, so that a dense history is not cut again and again.
//
// # Fetching ahead
//
// The pages of one window come one after the other, so a long walk is fetched as fast as DingTalk allows only when several of
// its windows are fetched at once: [Plan] names them, the one whose turn it is first. Each is passed to Advance when its turn comes;
// until then it is a guess, and when things turn out otherwise (the window before it is cut, another walk is due) it is dropped, or
// waits.
//
// # Windows too old
//
// DingTalk refuses a start older than 365 days, with a code that also means any other bad parameter. So a start older than
// [History] is asked for as it is; refused twice, the walk offers a window that begins History before now; refused as
// well, the fault lies elsewhere and the original start comes again. Only when the clamped window is walked whole does the
// checkpoint get a gap, and highWaterMark pass it. See [Refused].
//
// # Windows that cannot be had
//
// A window that fails again and again may be given up for a while, so that a stretch of history that DingTalk cannot read keeps
// nobody waiting who left today: see [GivenUp]. A head that cannot be had lets fresh walks of the last Overlap by, as a
// catch-up does. Nothing is left out by it: the window comes again until it is walked whole.
//
// # Clocks
//
// Clock.Now steers what is asked: the earlier of DingTalk's clock and ours, never back within a session. Clock.Uptime
// steers when. A floor or a mark ahead of Now is asked for as the one second Now: the poll is still made, for readiness
// depends on it, and no mark moves back. A leaveTime after Now is published when shown and moves no mark.
package walk

import "time"

const (
	// MaxSpan is the longest window. Seven days keep a large company's window below MaxRecords as a rule.
	MaxSpan = 7 * 24 * time.Hour
	// MaxRecords is how many records a window may count before it is cut: 100 pages, one transaction.
	MaxRecords = 5000
	// MaxEndlessRecords is how many records a window without an end may show: it cannot be cut and is held in memory.
	MaxEndlessRecords = 200_000
	// History is how far back DingTalk surely looks: 365 days by its own clock, less one for leap years and clocks apart.
	History = 364 * 24 * time.Hour

	// clampMargin makes a clamped window begin a little less than History before now, so that the seconds its walk takes
	// do not make its start too old again.
	clampMargin = time.Minute
	// patience is how many refusals of one start it takes to believe that it is too old.
	patience = 2
)

// epoch is where time begins for a checkpoint without marks: nothing earlier is ever asked for.
var epoch = time.Unix(0, 0).UTC()

// Limits are the settings of the walks.
type Limits struct {
	PollInterval      time.Duration // from one head walk to the next, begin to begin if it takes no longer; jittered by the caller
	Overlap           time.Duration // how far before highWaterMark a head walk begins
	ReconcileInterval time.Duration // from one reconcile walk to the next; 0: reconcile is off
	Lookback          time.Duration // how far before reconciledThrough a reconcile walk begins
	Endless           bool          // a request cannot name an end: every window reaches now and none can be cut

	maxRecords int // in place of MaxRecords, for tests; 0 is MaxRecords
}

func (l Limits) fullAt() int {
	if l.maxRecords > 0 {
		return l.maxRecords
	}
	return MaxRecords
}

// Clock is the two times that a step goes by.
type Clock struct {
	Now    time.Time     // the earlier of DingTalk's clock and ours, UTC, whole seconds; steers what is asked
	Uptime time.Duration // monotonic since the session opened; steers when
}

// Kind says which walk a window belongs to.
type Kind uint8

// The kinds of window. CatchUp is the name of a head walk longer than MaxSpan.
const (
	Head Kind = iota
	CatchUp
	Fresh
	Reconcile

	numKinds
)

// walk is the kind of the walk: a catch-up is a head walk.
func (k Kind) walk() Kind {
	switch {
	case k == CatchUp:
		return Head
	case k >= numKinds: // of no walk
		return Fresh
	}
	return k
}

// String is the kind's name in logs.
func (k Kind) String() string {
	switch k {
	case Head:
		return "head"
	case CatchUp:
		return "catch-up"
	case Fresh:
		return "fresh"
	case Reconcile:
		return "reconcile"
	}
	return "unknown"
}

// Window is one span of leaveTime to be collected whole. All times are UTC, whole seconds.
type Window struct {
	Kind       Kind
	Start, End time.Time // covered, both inclusive
	// AskStart and AskEnd are what to ask DingTalk for: one second wider on each side, since its bounds may be exclusive,
	// but never beyond now, since an end in the future may be refused.
	AskStart, AskEnd time.Time

	first  bool          // it begins a walk; otherwise it goes on with the one in Progress
	from   time.Time     // where its walk stands; before Start when Start was clamped
	target time.Time     // the last second of its walk
	since  time.Duration // uptime at which its walk began
}

// Target is the last second of the walk that w belongs to.
func (w Window) Target() time.Time { return w.target }

// Same reports whether v is the same turn of the same walk as w, named at another moment.
func (w Window) Same(v Window) bool {
	return w.Kind.walk() == v.Kind.walk() && w.first == v.first && (w.first || w.from.Equal(v.from))
}

// Old reports whether DingTalk may have refused w because its start is too old. Only then is the refusal passed to
// [Refused]; of a younger window it means something else.
func (w Window) Old(c Clock) bool {
	return !w.Start.After(oldest(second(c.Now)).Add(clampMargin))
}

// settled gives a window that Next did not make the walk it would be on its own.
func (w Window) settled(c Clock) Window {
	if w.target.IsZero() {
		w.first, w.from, w.target, w.since = true, w.Start, w.End, c.Uptime
	}
	return w
}

// Record is one leave record as far as the walk needs to know it.
type Record struct {
	ID        ID
	Content   uint32    // prefix of the digest of what is published: tells an amended record
	UserID    string    // orders departures of one second
	LeaveTime time.Time // zero: unreadable, goes to quarantine
	Index     int       // the caller's: which payload
}

// oldest is the earliest start that DingTalk surely accepts.
func oldest(now time.Time) time.Time { return now.Add(-History) }

// second is t as the walks count: UTC, whole seconds, not before the epoch.
func second(t time.Time) time.Time { return latest(epoch, t.UTC().Truncate(time.Second)) }

func latest(t time.Time, others ...time.Time) time.Time {
	for _, o := range others {
		if o.After(t) {
			t = o
		}
	}
	return t
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
