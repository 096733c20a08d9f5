package walk

import (
	"math"
	"slices"
	"time"
)

// Tally counts the records that a window has shown so far, so that one which is too full is found before it is collected.
// What counts:
//
//   - every record shown, unreadable ones and repeats too: they all cost pages and memory;
//   - not those of the single fullest second: no cut divides a second, so a bulk delete is taken whole;
//   - not those in the second on either side that is asked for but not covered: the neighbouring window counts them, and
//     a bulk delete there would have this window cut for nothing.
//
// A window of one second is never full. A tally belongs to one reading of the window: a walk of pages that starts again
// from its first page starts a new one.
type Tally struct {
	window    Window
	limits    Limits
	shown     int           // all
	margin    int           // of them, outside the cover by one second
	perSecond map[int64]int // the others that are readable
	fullest   int64         // a second with the most
}

// NewTally returns the empty tally of w.
func NewTally(w Window, l Limits) *Tally {
	return &Tally{window: w, limits: l, perSecond: make(map[int64]int)}
}

// Add counts one record in constant time; a zero leaveTime is an unreadable record.
func (t *Tally) Add(leaveTime time.Time) {
	t.shown++
	if leaveTime.IsZero() {
		return
	}
	s := leaveTime.Unix()
	if s == t.window.Start.Unix()-1 || s == t.window.End.Unix()+1 {
		t.margin++
		return
	}
	t.perSecond[s]++
	if t.perSecond[s] > t.perSecond[t.fullest] {
		t.fullest = s
	}
}

// Full reports whether the window has to be abandoned and cut. Without an end in the request no cut helps, and all that
// was shown counts: the caller then refuses to go on.
func (t *Tally) Full() bool {
	if t.limits.Endless {
		return t.shown > MaxEndlessRecords
	}
	if !t.window.End.After(t.window.Start) {
		return false
	}
	return t.counted() > t.limits.fullAt()
}

func (t *Tally) counted() int { return t.shown - t.margin - t.perSecond[t.fullest] }

// cut is the last second of the first half when w, which t tells of, is cut: the median of the records that count, so that halves
// are about even however departures crowd. Where that is outside the window (a server that shifts times, or filters by
// something else) it is the middle. Never the window's last second: each half is shorter than the whole.
func (t *Tally) cut(w Window) time.Time {
	at := t.median()
	if at.Before(w.Start) || at.After(w.End) {
		at = middle(w)
	}
	return earliest(at, w.End.Add(-time.Second))
}

// median is the leaveTime in the middle of the readable records that count; the zero time when there are none.
func (t *Tally) median() time.Time {
	seconds := make([]int64, 0, len(t.perSecond))
	readable := 0
	for s, n := range t.perSecond {
		if s != t.fullest {
			seconds = append(seconds, s)
			readable += n
		}
	}
	slices.Sort(seconds)
	for _, s := range seconds {
		if readable -= 2 * t.perSecond[s]; readable <= 0 {
			return time.Unix(s, 0).UTC()
		}
	}
	return time.Time{}
}

// length is how long a window would show half of the records that count, if all were as dense as those: the span from the first of them to
// the median, at least a second. What a server shows first may be the latest part of a window, and says nothing of how much the earlier one
// holds. Where none can be read it says nothing.
func (t *Tally) length() time.Duration {
	earliest := int64(math.MaxInt64)
	for s := range t.perSecond {
		if s != t.fullest {
			earliest = min(earliest, s)
		}
	}
	if earliest == math.MaxInt64 {
		return MaxSpan
	}
	return max(t.median().Sub(time.Unix(earliest, 0)), time.Second)
}

func middle(w Window) time.Time {
	return w.Start.Add((w.End.Sub(w.Start) / 2).Truncate(time.Second))
}
