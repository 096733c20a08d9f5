package connector

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"departures/connector/dingtalk"
	"departures/connector/walk"
	"departures/schema"
)

// inFlight are windows that are being fetched, the first of them having its turn.
func inFlight(n int) *fetches {
	s := &fetches{}
	for i := range n {
		start := time.Unix(int64(1000*i), 0)
		w := walk.Window{Kind: walk.CatchUp, Start: start, End: start.Add(999 * time.Second)}
		s.open = append(s.open, &fetch{
			window: w, again: make(chan struct{}, 1), void: func() {}, got: collected{tally: walk.NewTally(w, walk.Limits{})},
		})
	}
	return s
}

// said tells which of them ask for a page, and which of those yield.
func (s *fetches) said() (text string) {
	for _, f := range s.open {
		switch {
		case !f.asked:
			text += "- "
		case f.early.wait() != nil:
			text += "yields "
		default:
			text += "asks "
		}
	}
	return text
}

// holds gives a fetch a page of so many records.
func (f *fetch) holds(n int, page dingtalk.Page) {
	a := answer{fetch: f, page: page, seen: make([]sighting, n)}
	for i := range a.seen {
		a.seen[i].record.LeaveTime = f.window.Start.Add(time.Duration(i%900) * time.Second)
	}
	f.take(a, walk.Limits{})
}

func TestWhichWindowsMayAskForAPage(t *testing.T) {
	general := weather{spells: map[*ruling]*spell{throttled: {}}}
	alone := weather{spells: map[*ruling]*spell{transient: {}}}
	unclear := weather{clearAt: time.Now().Add(time.Hour)}
	nothing := func(*fetches) {}
	holds := func(window, records int) func(*fetches) {
		return func(s *fetches) { s.open[window].holds(records, dingtalk.Page{}) }
	}
	resumes := func(after time.Duration) func(*fetches) {
		return func(s *fetches) { s.open[1].resumeAt = time.Now().Add(after) }
	}
	for name, c := range map[string]struct {
		set     func(s *fetches)
		weather weather
		held    int // that is not committed
		want    string
	}{
		"all of them, and those ahead of their turn yield":        {nothing, weather{}, 0, "asks yields yields "},
		"none while a page is on its way":                         {func(s *fetches) { s.open[1].asked = true }, weather{}, 0, "asks - yields "},
		"none that is whole":                                      {func(s *fetches) { s.open[0].whole = true }, weather{}, 0, "- yields yields "},
		"none that is to be cut":                                  {holds(1, walk.MaxRecords+100), weather{}, 0, "asks - yields "},
		"none before its pause is over":                           {resumes(time.Hour), weather{}, 0, "asks - yields "},
		"again when its pause is over":                            {resumes(0), weather{}, 0, "asks yields yields "},
		"none before the weather is clear":                        {nothing, unclear, 0, "- - - "},
		"only the one whose turn it is, in a trouble of all":      {nothing, general, 0, "asks - - "},
		"all, in a trouble of one":                                {nothing, alone, 0, "asks yields yields "},
		"one less, when it holds too much":                        {holds(2, 1), weather{}, maxHeld - 1, "asks yields - "},
		"none behind one that holds too much":                     {holds(1, 1), weather{}, maxHeld - 1, "asks - - "},
		"only the one whose turn it is, when much is to commit":   {nothing, weather{}, maxHeld, "asks - - "},
		"what is held of the window whose turn it is counts none": {holds(0, 1), weather{}, maxHeld - 1, "asks yields yields "},
	} {
		t.Run(name, func(t *testing.T) {
			s := inFlight(3)
			c.set(s)
			was := make([]bool, len(s.open))
			for i, f := range s.open {
				was[i] = f.asked
			}
			s.ask(c.weather, c.held)
			for i, f := range s.open {
				f.asked = f.asked && !was[i]
			}
			if got := s.said(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAWindowWhoseTurnHasComeYieldsNoMore(t *testing.T) {
	s := inFlight(2)
	s.ask(weather{}, 0)
	s.drop(s.open[0])
	s.ask(weather{}, 0)
	if got := s.said(); got != "asks " {
		t.Errorf("got %q", got)
	}
}

func TestTheNextCallIsTheFirstThatAPauseLets(t *testing.T) {
	now := time.Now()
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	for name, c := range map[string]struct {
		set         func(f, g *fetch)
		clear, want time.Time
	}{
		"no pause":                                {set: func(_, _ *fetch) {}},
		"a pause that is over":                    {set: func(f, _ *fetch) { f.resumeAt = now }},
		"the sooner of two":                       {set: func(f, g *fetch) { f.resumeAt, g.resumeAt = at(5), at(3) }, want: at(3)},
		"the sooner of two, in the other order":   {set: func(f, g *fetch) { f.resumeAt, g.resumeAt = at(3), at(5) }, want: at(3)},
		"not before the weather is clear":         {set: func(f, _ *fetch) { f.resumeAt = at(3) }, clear: at(9), want: at(9)},
		"a pause that is longer than the weather": {set: func(f, g *fetch) { f.resumeAt, g.asked = at(9), true }, clear: at(3), want: at(9)},
		"who waits for a page is not waited for":  {set: func(f, _ *fetch) { f.resumeAt, f.asked = at(3), true }},
		"who wants no page is not waited for":     {set: func(f, _ *fetch) { f.resumeAt, f.whole = at(3), true }},
	} {
		t.Run(name, func(t *testing.T) {
			s := inFlight(2)
			c.set(s.open[0], s.open[1])
			if got := s.nextCall(now, c.clear); !got.Equal(c.want) {
				t.Errorf("got %s, want %s", got.Sub(now), c.want.Sub(now))
			}
		})
	}
}

func TestATransactionTakesWhatBelongsTogether(t *testing.T) {
	for _, c := range []struct {
		name         string
		holds, shown int
		windows      int
		other        bool // the window is of another walk
		want         bool
	}{
		{"a window of any size comes first", 0, 4 * batchFull, 0, true, true},
		{"another of the same walk", 1, 1, 1, false, true},
		{"none of another walk", 1, 1, 1, true, false},
		{"one that just fits", batchFull - 10, 10, 1, false, true},
		{"none that does not fit", batchFull - 10, 11, 1, false, false},
		{"none beside one that is larger than that", 2 * batchFull, 0, 1, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := batch{kind: walk.CatchUp, windows: c.windows, events: c.holds}
			f := &fetch{window: walk.Window{Kind: walk.CatchUp}, got: collected{seen: make([]*sighting, c.shown)}}
			if c.other {
				f.window.Kind = walk.Fresh
			}
			if got := b.takes(f); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestAWindowThatHasToBeCutHoldsNothing(t *testing.T) {
	s := inFlight(1)
	f := s.open[0]
	f.holds(walk.MaxRecords, dingtalk.Page{First: true})
	if f.over() {
		t.Error("over before it is too full")
	}
	f.holds(walk.MaxRecords, dingtalk.Page{First: true})
	if f.over() {
		t.Error("what was shown before the walk of its pages began again counts")
	}
	f.holds(100, dingtalk.Page{})
	if !f.over() || len(f.got.seen) > 0 {
		t.Errorf("over: %t; %d records are held", f.over(), len(f.got.seen))
	}
}

// TestWhatAPageAheadOfItsTurnSaysOfTheWeather: it ends the troubles that concern all calls, and no other.
func TestWhatAPageAheadOfItsTurnSaysOfTheWeather(t *testing.T) {
	said := func(w *weather, rs ...*ruling) (text string) {
		for _, r := range rs {
			if w.spells[r] != nil {
				text += r.name + ", "
			}
		}
		return fmt.Sprintf("%strouble %q, waits %t", text, w.trouble, !w.clearAt.IsZero())
	}
	for name, c := range map[string]struct {
		troubles      []*ruling
		cleared, news bool
		want          string
	}{
		"a trouble of all calls is over":                    {[]*ruling{throttled, throttled}, true, true, `trouble "", waits false`},
		"a trouble of the window whose turn it is is not":   {[]*ruling{transient, transient}, false, false, `no answer that can be used, trouble "x", waits true`},
		"of both, the one of all calls is, and says so not": {[]*ruling{transient, throttled}, false, false, `no answer that can be used, trouble "x", waits false`},
		"there was none": {nil, false, false, `trouble "x", waits true`},
	} {
		t.Run(name, func(t *testing.T) {
			w := weather{trouble: "x", clearAt: time.Now().Add(time.Minute)}
			for _, r := range c.troubles {
				w.worsen(r, 0)
			}
			cleared, news := w.lift()
			if cleared != c.cleared || news != c.news || w.general() {
				t.Errorf("cleared %t, news %t, still a trouble of all calls: %t", cleared, news, w.general())
			}
			if got := said(&w, transient, throttled); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestATroubleOfOneWindowSaysNothingOfTheOthers(t *testing.T) {
	var w weather
	for _, r := range []*ruling{transient, badRequest, nextToken} {
		w.worsen(r, 0)
	}
	if w.general() || !w.worseAt.IsZero() {
		t.Errorf("a trouble of all calls: %t, noted at %s", w.general(), w.worseAt)
	}
	if w.worsen(throttled, 0); !w.general() || w.worseAt.IsZero() {
		t.Errorf("a trouble of all calls: %t, noted at %s", w.general(), w.worseAt)
	}
}

func TestAFetchThatIsDroppedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fetches{answers: make(chan answer)}
		w := walk.Window{Kind: walk.CatchUp, Start: time.Unix(0, 0), End: time.Unix(9, 0)}
		v := walk.Window{Kind: walk.CatchUp, Start: time.Unix(10, 0), End: time.Unix(19, 0)}
		s.follow(context.Background(), []walk.Window{w, v})
		kept := s.open[1]
		s.follow(context.Background(), []walk.Window{v})
		if len(s.open) != 1 || s.open[0] != kept {
			t.Error("the other was begun anew")
		}
		s.drop(kept)
		s.running.Wait()
	})
}

// TestAFreshWalkComesAgainOnceOthersHadAsManyPages is of a catch-up, with a fresh walk of three pages that is due again at once.
func TestAFreshWalkComesAgainOnceOthersHadAsManyPages(t *testing.T) {
	now := time.Date(2024, 6, 15, 12, 0, 0, 0, time.UTC)
	cp := schema.Checkpoint{HighWaterMark: now.AddDate(0, 0, -99), ReconciledThrough: now, Floor: now.AddDate(-1, 0, 0)}
	c, l := walk.Clock{Now: now}, walk.Limits{PollInterval: time.Second, Overlap: 24 * time.Hour}
	p, pr := &poller{}, walk.Progress{}
	next := func() walk.Window {
		w, _ := walk.Next(cp, pr, c, l)
		return w
	}
	walked := func(pages int) {
		w := next()
		for range pages {
			pr = p.share(pr, w.Kind)
		}
		step := walk.Advance(cp, pr, walk.NewLedger(), w, nil, c, l)
		cp, pr, c.Uptime = step.Checkpoint, step.Progress, c.Uptime+time.Second
	}
	for range 2 {
		walked(5)
		if next().Kind != walk.Fresh {
			t.Fatalf("a %s window comes, want a fresh one", next().Kind)
		}
		walked(3)
		for page := range 3 {
			if next().Kind != walk.CatchUp {
				t.Errorf("a %s window comes after %d pages of the catch-up, want its own", next().Kind, page)
			}
			pr = p.share(pr, walk.CatchUp)
		}
		if next().Kind != walk.Fresh {
			t.Errorf("a %s window comes after as many pages of the catch-up, want a fresh one", next().Kind)
		}
		walked(0)
	}
}

// pollerOf polls with these fetches, each of which asked for a page at a time of its own, a second after the one before.
func pollerOf(s *fetches) *poller {
	for i, f := range s.open {
		f.asked, f.called = true, time.Now().Add(time.Duration(i)*time.Second)
	}
	p := &poller{
		org: &organisation{client: dingtalk.New(dingtalk.Config{})}, board: newBoard(), log: slog.New(slog.DiscardHandler),
		limits: walk.Limits{PollInterval: 10 * time.Second},
	}
	p.fetches.open = s.open
	return p
}

func TestATroubleStopsWhomItConcerns(t *testing.T) {
	lost, busy := io.ErrUnexpectedEOF, &dingtalk.Error{Code: "qps.exceed.limit"}
	for name, c := range map[string]struct {
		window             int // that fails; the first has its turn
		err                error
		first, second, all bool // who stops
		said               bool
	}{
		"a window ahead of its turn stops for itself, and nobody hears of it": {window: 1, err: lost, second: true},
		"the window whose turn it is stops for itself, and that is said":      {window: 0, err: lost, first: true, said: true},
		"a trouble of all calls stops all":                                    {window: 0, err: busy, all: true, said: true},
		"a trouble of all calls stops all, met ahead of a turn too":           {window: 1, err: busy, all: true, said: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pollerOf(inFlight(2))
				f, g := p.fetches.open[0], p.fetches.open[1]
				if _, err := p.failed(t.Context(), walk.Progress{}, p.fetches.open[c.window], c.err); err != nil {
					t.Fatal(err)
				}
				stops := func(what string, until time.Time, want bool) {
					pause := time.Until(until)
					if stops := pause >= time.Second && pause <= 2*time.Second; stops != want {
						t.Errorf("%s: a pause of %s", what, pause)
					}
				}
				stops("the first window", f.resumeAt, c.first)
				stops("the second window", g.resumeAt, c.second)
				stops("all calls", p.org.weather.clearAt, c.all)
				if trouble := p.board.look().Orgs[""].Trouble; (trouble != "") != c.said {
					t.Errorf("said: %q", trouble)
				}
			})
		})
	}
}

func TestAWindowHasFailedForLongAfterAPollInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pollerOf(inFlight(2))
		f := p.fetches.open[0]
		for _, c := range []struct {
			name string
			at   time.Duration
			want bool
		}{
			{"at first", 0, false},
			{"before a poll interval is over", p.limits.PollInterval - time.Second, false},
			{"after it", time.Second, true},
		} {
			time.Sleep(c.at)
			if _, err := p.failed(t.Context(), walk.Progress{}, f, io.ErrUnexpectedEOF); err != nil {
				t.Fatal(err)
			}
			if f.lasting != c.want {
				t.Errorf("%s: %t", c.name, f.lasting)
			}
		}
	})
}

func TestACallThatWasUnderWayWhenAllWereThrottledMakesThePauseNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, busy := pollerOf(inFlight(8)), &dingtalk.Error{Code: "qps.exceed.limit"}
		time.Sleep(10 * time.Second)
		for _, f := range p.fetches.open {
			if _, err := p.failed(t.Context(), walk.Progress{}, f, busy); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.org.weather.spells[throttled].times; n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
}

func TestWhichPageEndsATrouble(t *testing.T) {
	for name, c := range map[string]struct {
		trouble *ruling
		page    int
		asked   time.Duration // after the trouble
		ends    bool
	}{
		"one of the window whose turn it is, for its own":                {transient, 0, time.Second, true},
		"none of another window, for that":                               {transient, 1, time.Second, false},
		"one of the window whose turn it is, for that of all calls":      {throttled, 0, time.Second, true},
		"one of another window, for that of all calls":                   {throttled, 1, time.Second, true},
		"none that was asked for before":                                 {throttled, 0, -time.Second, false},
		"none of another window that was asked for before":               {throttled, 1, -time.Second, false},
		"no single page, where the pages of a window had to begin again": {nextToken, 0, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := pollerOf(inFlight(2))
			p.org.weather.trouble = "x"
			p.org.weather.worsen(c.trouble, 0)
			f := p.fetches.open[c.page]
			f.called = time.Now().Add(c.asked)
			p.brighten(f, false)
			if ended := p.org.weather.trouble == ""; ended != c.ends {
				t.Errorf("ended: %t", ended)
			}
		})
	}
}

func TestWhatAPageShowsIsTaken(t *testing.T) {
	f, led := inFlight(1).open[0], walk.NewLedger()
	departure := walk.Record{ID: walk.IDOf("published before it grew"), LeaveTime: f.window.Start}
	arrived := f.window.End.Add(time.Hour)
	a := answer{fetch: f, page: dingtalk.Page{First: true, Last: true, ArrivedAt: arrived}, seen: make([]sighting, 2)}
	quarantined := walk.IDOf("quarantined")
	a.seen[1] = sighting{record: walk.Record{ID: quarantined}, unfit: &unfit{outgrown: &departure}}
	f.take(a, walk.Limits{})
	if !f.over() || !f.got.arrived.Equal(arrived) {
		t.Errorf("over: %t; arrived at %s", f.over(), f.got.arrived)
	}
	if records := f.got.records(led); len(records) != 2 || records[0].Index != 0 || records[1].Index != 1 || records[1].ID != quarantined {
		t.Errorf("records are %+v", records)
	}
	led.Add(departure.ID, 1) // by another window, while this one waited for its turn
	if records := f.got.records(led); records[1].ID != departure.ID {
		t.Errorf("published meanwhile, and records are %+v", records)
	}
}

func TestAPageEndsWhatItsWindowSuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pollerOf(inFlight(2))
		p.ledger = walk.NewLedger()
		for _, f := range p.fetches.open {
			for range 2 {
				if _, err := p.failed(t.Context(), walk.Progress{}, f, io.ErrUnexpectedEOF); err != nil {
					t.Fatal(err)
				}
				time.Sleep(p.limits.PollInterval)
			}
			if !f.lasting {
				t.Fatal("it has not failed for long")
			}
			if _, err := p.answered(t.Context(), walk.Progress{}, answer{fetch: f, page: dingtalk.Page{First: true}}); err != nil {
				t.Fatal(err)
			}
			if f.asked || f.lasting || !f.failing.IsZero() || len(f.weather.spells) > 0 || len(p.org.weather.spells) > 0 {
				t.Errorf("a page is asked for: %t; has failed for long: %t, since %s; troubles %v and %v",
					f.asked, f.lasting, f.failing, f.weather.spells, p.org.weather.spells)
			}
		}
	})
}
