package connector

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"departures/connector/dingtalk"
	"departures/connector/walk"
)

// maxHeld is how many records may be held, fetched ahead of their turn or not yet committed, before the next page of a window whose turn is
// yet to come is asked for: 3 MB. The window whose turn it is goes on regardless.
const maxHeld = 6_000

// fetch is a window whose pages are asked for one after the other. All but early belongs to the poller's goroutine.
type fetch struct {
	window walk.Window
	early  early         // its turn is yet to come: its calls let others go first
	again  chan struct{} // lets it ask for one more page
	void   context.CancelFunc

	asked    bool      // a page is asked for
	called   time.Time // when it was
	resumeAt time.Time // no call is made before
	failing  time.Time // since when, without a page in between; zero while all goes well
	lasting  bool      // it has failed for long
	err      error     // the last one
	weather  weather   // of what befell it ahead of its turn

	got   collected
	whole bool // its last page is in
}

// early says that somebody's turn is yet to come, and lets wait for it.
type early struct{ turn atomic.Pointer[chan struct{}] }

// set says whether the turn is yet to come.
func (e *early) set(yetToCome bool) {
	switch turn := e.turn.Load(); {
	case yetToCome && turn == nil:
		turn := make(chan struct{})
		e.turn.Store(&turn)
	case !yetToCome && turn != nil:
		e.turn.Store(nil)
		close(*turn)
	}
}

// wait is closed when the turn has come; nil if it need not be waited for.
func (e *early) wait() <-chan struct{} {
	if turn := e.turn.Load(); turn != nil {
		return *turn
	}
	return nil
}

// collected is everything that a window's pages showed.
type collected struct {
	seen    []*sighting
	tally   *walk.Tally
	arrived time.Time // our clock when the last page came
}

// records is what the walk has to know; Index is the place in seen.
func (c collected) records(led *walk.Ledger) []walk.Record {
	records := make([]walk.Record, len(c.seen))
	for i, s := range c.seen {
		records[i] = s.record
		if s.unfit != nil && s.unfit.outgrown != nil {
			if _, published := led.Content(s.unfit.outgrown.ID); published {
				records[i] = *s.unfit.outgrown
			}
		}
		records[i].Index = i
	}
	return records
}

// over reports that no further page is wanted: the window is whole, or has to be cut.
func (f *fetch) over() bool { return f.whole || f.got.tally.Full() }

// answer is what a fetch got when it asked for a page.
type answer struct {
	fetch *fetch
	page  dingtalk.Page
	seen  []sighting // the page's records
	err   error
}

// fetches are the windows that are being fetched, in the order of their turns. A goroutine for each asks for its pages and encodes
// them; what they mean is decided by the one goroutine that fetches belongs to.
type fetches struct {
	client  *dingtalk.Client
	encoder encoder
	limits  walk.Limits
	open    []*fetch
	listed  []walk.Window // by windows
	answers chan answer
	running sync.WaitGroup
}

// windows are those that are being fetched; good until it is called again.
func (s *fetches) windows() []walk.Window {
	s.listed = s.listed[:0]
	for _, f := range s.open {
		s.listed = append(s.listed, f.window)
	}
	return s.listed
}

// turn is the fetch whose turn it is, nil when nothing is being fetched.
func (s *fetches) turn() *fetch {
	if len(s.open) == 0 {
		return nil
	}
	return s.open[0]
}

// follow makes the windows of plan the ones that are fetched: it drops the others and begins with new ones.
func (s *fetches) follow(ctx context.Context, plan []walk.Window) {
	open := make([]*fetch, 0, len(plan))
	for _, w := range plan {
		i := slices.IndexFunc(s.open, func(f *fetch) bool { return f.window == w })
		if i < 0 {
			open = append(open, s.begin(ctx, w))
			continue
		}
		open = append(open, s.open[i])
		s.open = slices.Delete(s.open, i, i+1)
	}
	for _, f := range s.open {
		f.void()
	}
	s.open = open
}

// drop ends a fetch that has had its turn.
func (s *fetches) drop(f *fetch) {
	f.void()
	s.open = slices.DeleteFunc(s.open, func(o *fetch) bool { return o == f })
}

// shorten drops the fetches of a kind whose windows are longer than they ought to be by now and not over: each would have to be cut.
func (s *fetches) shorten(k walk.Kind, most time.Duration) {
	s.open = slices.DeleteFunc(s.open, func(f *fetch) bool {
		tooLong := f.window.Kind == k && f.window.End.Sub(f.window.Start) > most && !f.over()
		if tooLong {
			f.void()
		}
		return tooLong
	})
}

func (s *fetches) begin(ctx context.Context, w walk.Window) *fetch {
	ctx, cancel := context.WithCancel(ctx)
	f := &fetch{window: w, again: make(chan struct{}, 1), void: cancel, got: collected{tally: walk.NewTally(w, s.limits)}}
	s.running.Go(func() {
		defer cancel()
		s.fetch(dingtalk.Yielding(ctx, f.early.wait), f)
	})
	return f
}

// fetch asks for one page each time that it may, until the last one or until ctx ends.
func (s *fetches) fetch(ctx context.Context, f *fetch) {
	if !f.mayGoOn(ctx) {
		return
	}
	for page, err := range s.client.LeaveRecords(ctx, f.window.AskStart, f.window.AskEnd) {
		a := answer{fetch: f, page: page, seen: s.encoder.see(page, f.window), err: err}
		a.page.Records = nil // a record's text is needed no more
		select {
		case s.answers <- a:
		case <-ctx.Done():
			return
		}
		if !f.mayGoOn(ctx) {
			return
		}
	}
}

// mayGoOn waits until a further page is wanted.
func (f *fetch) mayGoOn(ctx context.Context) bool {
	select {
	case <-f.again:
		return true
	case <-ctx.Done():
		return false
	}
}

// ask lets every fetch that may ask for its next page; none may before the weather is clear, and while a trouble that concerns all calls
// has not been seen to end only the one whose turn it is. Held is how many records are not yet committed.
func (s *fetches) ask(w weather, held int) {
	now := time.Now()
	if now.Before(w.clearAt) {
		return
	}
	for i, f := range s.open {
		f.early.set(i > 0)
		if i > 0 {
			held += len(f.got.seen)
		}
		if f.asked || f.over() || now.Before(f.resumeAt) || i > 0 && (held >= maxHeld || w.general()) || i >= walk.MaxAhead {
			continue
		}
		f.asked, f.called = true, now
		f.again <- struct{}{}
	}
}

// nextCall is when the first fetch that has to wait may go on, the zero time if none has to.
func (s *fetches) nextCall(now, notBefore time.Time) (at time.Time) {
	for _, f := range s.open {
		resume := later(f.resumeAt, notBefore)
		if !f.asked && !f.over() && resume.After(now) && (at.IsZero() || resume.Before(at)) {
			at = resume
		}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// take adds a page to what was collected.
func (f *fetch) take(a answer, l walk.Limits) {
	if a.page.First {
		f.got = collected{tally: walk.NewTally(f.window, l)}
	}
	f.got.arrived, f.whole = a.page.ArrivedAt, a.page.Last
	for i := range a.seen {
		f.got.seen = append(f.got.seen, &a.seen[i])
		f.got.tally.Add(a.seen[i].record.LeaveTime)
	}
	if f.got.tally.Full() {
		f.got.seen = nil // it will be cut
	}
}
