package dingtalk

import (
	"context"
	"errors"
	"time"
)

// Trait is one behaviour of DingTalk that no document settles, as a tenant shows it.
type Trait struct {
	Switch string // the behaviour, by the name of the simulated DingTalk's flag
	Seen   string // what was seen, in the words of that flag or, where it has none, in words like them; "" if it cannot be told
	How    string // the evidence in words and counts, without personal data
}

// Observation is what an organisation's DingTalk showed.
type Observation struct {
	Traits     []Trait        // in one order always
	Readable   int            // departures
	Unreadable map[string]int // records that would be quarantined, by the reason
	Misled     string         // how a nextToken that was just given led nowhere; "" if each led to its page
}

const (
	// maxLooks bounds the data calls of one observation; usual are 7 to 21.
	maxLooks = 40
	// enoughRecords is how many an observation wants to see: by chance alone so many do not come twice in one order.
	enoughRecords = 20
	// walkPages and searchPages bound a walk and the search for one record: among empty pages every second one counts.
	walkPages, searchPages = 4, 3

	day = 24 * time.Hour
)

// Observe asks which of the behaviours that no document settles a tenant shows. It reads only, makes at most 40 data calls,
// and waits for nothing but the rate limiter; now is our clock, and DingTalk's counts if it is earlier. A refusal for a
// parameter is an observation. Any other error ends it: then it is what was seen until then.
//
// It needs records of the last 364 days, and better twenty than two. It cannot tell insertion from another order of DingTalk's own.
func (c *Client) Observe(ctx context.Context, now time.Time) (Observation, error) {
	o := &observer{client: c, now: now, unasked: "not asked"}
	err := o.ask(ctx)
	if errors.Is(err, errUsedUp) {
		o.unasked, err = err.Error(), nil
	}
	return Observation{o.traits(), len(distinct(o.looks)), unreadable(o.looks), o.misled}, err
}

// observer is what an observation asked and saw.
type observer struct {
	client  *Client
	now     time.Time
	looks   []look // every data call that was answered or refused for a parameter, in order
	asked   int    // how many of the questions were put to their end
	unasked string // why the others were not
	misled  string // see Observation

	withEnd, withoutEnd reply  // to a window of the last days
	days                int    // that the window of first goes back
	first, again        []look // two walks over one window, with pages of different sizes
	latest              []look // a walk over what first showed of it, if that came from the latest on and to no end

	pastYear, future, crowd *look // an old window, an end in the future, a maxResults of 51; nil: not asked

	candidates     []LeaveRecord // that were asked for at their own second
	one            *LeaveRecord  // the one that was found so
	offset         time.Duration // what had to be added to its second
	atStart, atEnd sight         // of that one, in windows that begin and end with it
}

// reply is what became of a question; "" if it was not put.
type reply string

const (
	answered reply = "answered"
	refused  reply = "refused" // for a parameter
)

// sight says whether a window showed a record; "" if that was not told.
type sight string

const (
	shown  sight = "shown"
	hidden sight = "hidden"
)

// The questions in their order. What is told by one of them is told after it; see [observer.traits].
const (
	askedWide = iota + 1
	askedAgain
	askedLimits
	askedOne
	askedLatest
	askedEdges
	askedNothing
)

// ask puts every question, until an error.
func (o *observer) ask(ctx context.Context) error {
	if err := o.client.CheckToken(ctx); err != nil {
		return err
	}
	if theirs, ok := o.client.Now(); ok && theirs.Before(o.now) {
		o.now = theirs
	}
	for _, question := range []func(context.Context) error{
		o.findRecords, o.walkAgain, o.askBeyondLimits, o.findOne, o.walkLatest, o.askEdges, o.findNothing,
	} {
		if err := question(ctx); err != nil {
			return err
		}
		o.asked++
	}
	return nil
}

// findRecords widens a window that ends now until it shows enough records.
func (o *observer) findRecords(ctx context.Context) error {
	for _, days := range []int{7, 30, 90, 364} {
		walked, err := o.lastDays(ctx, days)
		if err != nil {
			return err
		}
		if walked[0].refused {
			return nil
		}
		o.days, o.first = days, walked
		if !isWhole(walked) || count(walked) >= enoughRecords {
			return nil
		}
	}
	return nil
}

// lastDays walks over a window that ends now, or one without an end if DingTalk refuses any end.
func (o *observer) lastDays(ctx context.Context, days int) ([]look, error) {
	enough := func(walked []look) bool { return count(walked) >= enoughRecords }
	w := window{o.now.Add(time.Duration(-days) * day), o.now}
	if o.withEnd != refused {
		walked, err := o.walk(ctx, w, maxResults, walkPages, enough)
		if err != nil {
			return nil, err
		}
		if o.withEnd == "" {
			o.withEnd = walked[0].reply()
		}
		if o.withEnd == answered {
			return walked, nil
		}
	}
	w.end = time.Time{}
	walked, err := o.walk(ctx, w, maxResults, walkPages, enough)
	if err == nil && o.withoutEnd == "" {
		o.withoutEnd = walked[0].reply()
	}
	return walked, err
}

// walkAgain walks over the same window with smaller pages: it shows whether the order is the same, and how pages follow.
func (o *observer) walkAgain(ctx context.Context) (err error) {
	n := count(o.first)
	if n < 2 {
		return nil
	}
	size := min(max((n-1)/3, 2), maxResults)
	o.again, err = o.walk(ctx, o.first[0].window, size, walkPages, func(walked []look) bool { return count(walked) >= n })
	return err
}

// askBeyondLimits asks for what a document forbids or does not mention, one page each.
func (o *observer) askBeyondLimits(ctx context.Context) (err error) {
	if o.withEnd == answered {
		if o.pastYear, err = o.look(ctx, window{o.now.Add(-380 * day), o.now.Add(-373 * day)}, maxResults, firstToken); err != nil {
			return err
		}
		if o.future, err = o.look(ctx, window{o.now.Add(-7 * day), o.now.Add(day)}, maxResults, firstToken); err != nil {
			return err
		}
	}
	if o.first == nil {
		return nil
	}
	o.crowd, err = o.look(ctx, o.first[0].window, maxResults+1, firstToken)
	return err
}

// findOne asks for a record at its own second, and if none is found so, at the time that its clock shows in China.
func (o *observer) findOne(ctx context.Context) error {
	if o.withEnd != answered {
		return nil
	}
	const candidates, chinaIsAhead = 2, 8 * time.Hour
	o.candidates = pick(o.first, candidates)
	for _, offset := range []time.Duration{0, chinaIsAhead, -chinaIsAhead} {
		for _, r := range o.candidates {
			at := r.LeaveTime.Add(offset)
			s, err := o.shows(ctx, window{at.Add(-time.Second), at.Add(time.Second)}, r)
			if err != nil {
				return err
			}
			if s == shown {
				o.one, o.offset = &r, offset
				return nil
			}
			if offset != 0 {
				break // one of them will do
			}
		}
	}
	return nil
}

// walkLatest walks over the time between the first and the last record of a walk that showed the latest ones and no others.
func (o *observer) walkLatest(ctx context.Context) (err error) {
	rs := distinct(o.first)
	if o.one == nil || o.sawTheEarliest() {
		return nil
	}
	w := window{rs[len(rs)-1].LeaveTime.Add(o.offset), rs[0].LeaveTime.Add(o.offset)}
	o.latest, err = o.walk(ctx, w, maxResults, walkPages, func([]look) bool { return false })
	return err
}

// askEdges asks whether the ends of a window belong to it.
func (o *observer) askEdges(ctx context.Context) (err error) {
	if o.one == nil {
		return nil
	}
	at := o.one.LeaveTime.Add(o.offset)
	if o.atStart, err = o.shows(ctx, window{at, at.Add(time.Second)}, *o.one); err != nil {
		return err
	}
	o.atEnd, err = o.shows(ctx, window{at.Add(-time.Second), at}, *o.one)
	return err
}

// findNothing asks for an empty page, unless one was seen.
func (o *observer) findNothing(ctx context.Context) error {
	if o.first == nil || hasEmpty(o.looks) {
		return nil
	}
	w := window{o.now.Add(-time.Second), o.now}
	if o.withEnd != answered {
		w.end = time.Time{}
	}
	_, err := o.look(ctx, w, maxResults, firstToken)
	return err
}
