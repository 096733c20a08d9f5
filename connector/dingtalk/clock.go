package dingtalk

import (
	"sync/atomic"
	"time"
)

const (
	// datePrecision is what a Date leaves out.
	datePrecision = time.Second
	// readingLife is how long a reading counts. Two clocks drift apart by some 50 µs a second: 30 ms in that time.
	readingLife = 10 * time.Minute
)

// clock is what the answers have shown of DingTalk's clock.
type clock struct{ best atomic.Pointer[reading] }

// reading is what one answer showed.
type reading struct {
	date time.Time // the header Date, UTC
	at   time.Time // ours when the header had come, with Go's monotonic reading
}

// now is the earliest time that the reading proves at a time of ours.
func (r reading) now(at time.Time) time.Time { return r.date.Add(at.Sub(r.at)) }

// read takes the Date of an answer whose header came at a time of ours, to a call made at another. An older reading is kept if it
// proves more: of many answers the one counts that came right after a second had begun. It is not kept if DingTalk's clock must have
// been set back since.
func (c *clock) read(date, called, at time.Time) {
	if r := c.best.Load(); r != nil && at.Sub(r.at) < readingLife {
		now, latest := r.now(at), date.Add(datePrecision+at.Sub(called))
		if !now.Before(date) && now.Before(latest) {
			return
		}
	}
	c.best.Store(&reading{date: date, at: at})
}

// Now is DingTalk's clock, in UTC: the latest time that the Date of an answer of the last ten minutes proves, whatever the answer was, by
// Go's monotonic clock, which no step of this host's wall clock moves; ok is false before the first answer that bore one. Where
// nobody was asked for longer, it goes by the last answer.
//
// DingTalk's own may be later: by up to a second, since Date is cut to whole seconds, after one answer, and by less after several; by
// the time that the answer took; and by the time that this host slept since. It is never later than DingTalk's own time, but for the
// drift of two clocks in ten minutes, as long as DingTalk's clock is not set.
func (c *Client) Now() (now time.Time, ok bool) {
	r := c.clock.best.Load()
	if r == nil {
		return time.Time{}, false
	}
	return r.now(time.Now()), true
}
