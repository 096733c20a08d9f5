package walk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"departures/schema"
)

// TestModel walks hostile histories: a world of departures, a server that behaves as badly as DingTalk's documents allow,
// and a connector that is killed, stopped and configured anew. After every step it checks that
//
//   - I1 every departure that a completed window returned, at or after floor, is published once;
//   - I2 nothing is published twice;
//   - I3 no mark goes back, and none is moved beyond now;
//   - I7 a window publishes in order;
//
// and at the end, in a world at rest, that the marks catch up in a bounded number of steps and that nothing is missing that
// history.owed says is owed.
//
// WALK_HISTORIES sets how many; WALK_SEED the seed of the first: a failure prints the seed that replays it alone.
func TestModel(t *testing.T) {
	histories := 200_000
	if testing.Short() || raceEnabled {
		histories = 10_000
	}
	if s := os.Getenv("WALK_HISTORIES"); s != "" {
		histories = number(t, s)
	}
	seed := int(rand.Uint32())
	if s := os.Getenv("WALK_SEED"); s != "" {
		seed = number(t, s)
	}
	t.Logf("WALK_SEED=%d WALK_HISTORIES=%d", seed, histories)

	var next, failed atomic.Int64
	var total sights
	var faults []string
	var lock sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var seen sights
			for i := int(next.Add(1)); i <= histories && failed.Load() < 3; i = int(next.Add(1)) {
				h := live(seed+i-1, false)
				seen.add(h.seen)
				if h.fault == "" {
					continue
				}
				failed.Add(1)
				h = live(seed+i-1, true)
				t.Logf("WALK_SEED=%d:\n%s", seed+i-1, strings.Join(h.log, "\n"))
				lock.Lock()
				faults = append(faults, fmt.Sprintf("WALK_SEED=%d WALK_HISTORIES=1: %s", seed+i-1, h.fault))
				lock.Unlock()
			}
			lock.Lock()
			defer lock.Unlock()
			total.add(seen)
		})
	}
	wg.Wait()
	for what, n := range total {
		t.Logf("%10d %s", n, sight(what))
		if n == 0 && histories >= 10_000 {
			t.Errorf("no history had any %s: the model no longer tests it", sight(what))
		}
	}
	for _, fault := range faults { // last, below thousands of lines
		t.Error(fault)
	}
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// sights counts what the histories came upon, so that a model that stopped testing something is found.
type sights [numSights]int

type sight int

const (
	published sight = iota
	owed
	cuts
	bulks
	clamps
	gaps
	freshWindows
	reconciled
	repeats
	changes
	futures
	belowFloor
	quarantines
	lateByReconcile
	restarts
	endlessHistories
	aheads
	numSights
)

func (s sight) String() string {
	return [numSights]string{
		"departures published", "departures owed", "cuts", "bulk seconds taken whole", "clamped windows", "gaps", "fresh windows",
		"reconcile walks", "repeats", "changed records", "future leaveTimes", "records below floor", "quarantined records",
		"departures published by reconcile", "restarts", "endless histories",
		"windows fetched ahead of their turn",
	}[s]
}

func (s *sights) add(o sights) {
	for i := range o {
		s[i] += o[i]
	}
}

// history is one world, one server and the runs of a connector, from a seed.
type history struct {
	r     *rand.Rand
	world []*departed // by visible
	srv   server
	ahead int64 // how far now was ever ahead of the world's clock

	t                int64 // the world's clock, seconds
	serverOff, ouOff int64
	uptime           int64
	now              int64
	arrived          int // how many of world are visible
	reach            int64

	cp       schema.Checkpoint
	pr       Progress
	led      *Ledger
	early    []fetched // fetched ahead of their turn
	fresh    int       // pages that fresh walks have had more than the others
	limits   Limits
	least    Limits // the least Overlap and Lookback ever configured
	removals bool

	seen  sights
	fault string
	noisy bool
	log   []string
}

// fetched is a window and what it showed.
type fetched struct {
	w     Window
	shown []Record
	tally *Tally
}

const day = 86400

func at(s int64) time.Time { return time.Unix(s, 0).UTC() }

func (h *history) logf(format string, args ...any) {
	if h.noisy {
		h.log = append(h.log, fmt.Sprintf("%s now %s up %d: ", at(h.t).Format("06-01-02T15:04:05"), at(h.now).Format("06-01-02T15:04:05"), h.uptime)+fmt.Sprintf(format, args...))
	}
}

func (h *history) fail(format string, args ...any) {
	if h.fault == "" {
		h.fault = fmt.Sprintf(format, args...)
		h.logf("FAULT: %s", h.fault)
	}
}

func (h *history) chance(percent int) bool { return h.r.IntN(100) < percent }

func (h *history) between(a, b int64) int64 { return a + h.r.Int64N(b-a+1) }

func (h *history) oneOf(s ...int64) int64 { return s[h.r.IntN(len(s))] }

// live is the history of one seed.
func live(seed int, noisy bool) *history {
	h := &history{r: rand.New(rand.NewPCG(uint64(seed), 7)), noisy: noisy, led: NewLedger()}
	h.t = 1_700_000_000
	h.srv = server{
		byFiled: h.chance(20), openStart: h.chance(30), openEnd: h.chance(40), strict: h.chance(50),
		order: h.r.IntN(3), live: h.chance(50), repeat: h.chance(30), page: 1 + h.r.IntN(6),
		secondsPage: h.oneOf(0, 0, 1, 20, 600),
	}
	if h.chance(20) {
		h.srv.shift = h.oneOf(-8, 8) * 3600
	}
	h.removals = h.chance(20)
	back := h.oneOf(0, 0, 1, 3, 10, 40, 300, 500) * day
	length := h.oneOf(1, 3, 20, 60) * day
	h.populate(h.t-back, h.t+length)

	start := at(h.t - back)
	h.cp = schema.Checkpoint{HighWaterMark: start, ReconciledThrough: start, Floor: start}
	h.reach = h.t - back
	h.least = Limits{Overlap: 1 << 62, Lookback: 1 << 62}
	h.limits.Endless = h.chance(10)
	if h.limits.Endless {
		h.seen[endlessHistories]++
	}
	h.logf("server %+v floor %s", h.srv, start)
	h.configure()
	h.restart("first start")
	for n := 20 + h.r.IntN(60); n > 0 && h.fault == ""; n-- {
		h.vary(length)
		h.step(true)
	}
	h.rest()
	return h
}

// configure draws what an operator sets between two runs.
func (h *history) configure() {
	e := h.limits.Endless
	h.limits = Limits{
		PollInterval:      time.Duration(h.oneOf(1, 10, 600, 3600)) * time.Second,
		Overlap:           time.Duration(h.oneOf(0, 1, 60, 3600, day, 6*day)) * time.Second,
		ReconcileInterval: time.Duration(h.oneOf(0, 1, 3600, day)) * time.Second,
		Lookback:          time.Duration(h.oneOf(0, day, 30*day, 30*day, 364*day)) * time.Second,
		Endless:           e,
		maxRecords:        3 + h.r.IntN(8),
	}
	h.least.Overlap = min(h.least.Overlap, h.limits.Overlap)
	h.least.Lookback = min(h.least.Lookback, h.limits.Lookback)
	h.logf("configured %+v", h.limits)
}

// restart opens a new session with what was committed.
func (h *history) restart(why string) {
	h.pr, h.uptime, h.now, h.early = Progress{}, 0, 0, nil
	h.seen[restarts]++
	h.pass(0)
	h.logf("%s", why)
}

// pass lets the world go on.
func (h *history) pass(seconds int64) {
	h.t += seconds
	h.uptime += seconds
	h.now = max(h.now, h.t+min(h.serverOff, h.ouOff))
	h.ahead = max(h.ahead, h.now-h.t)
	for h.arrived < len(h.world) && h.world[h.arrived].visible <= h.t {
		h.world[h.arrived].reach = h.reach
		h.arrived++
	}
}

// vary lets something happen between two steps.
func (h *history) vary(length int64) {
	switch h.r.IntN(30) {
	case 0, 1, 2, 3:
		h.pass(h.between(0, length/15))
	case 4, 5:
		h.pass(h.between(0, 20))
	case 6:
		h.serverOff = h.oneOf(0, -600, 600, 3600, -day)
	case 7:
		h.ouOff = h.oneOf(0, -600, 600, 3600, -day)
	case 8:
		h.pass(h.oneOf(0, 3, 3, 3, 40, 400) * day * h.oneOf(0, 0, 1))
		h.restart("after a stop")
	case 9:
		h.configure()
		h.restart("configured anew")
	case 10:
		if h.chance(30) {
			h.prune()
		}
	}
}

// prune raises floor and forgets what is below it, as an operator may.
func (h *history) prune() {
	up := h.cp.HighWaterMark.Sub(h.cp.Floor) / 2
	h.cp.Floor = second(h.cp.Floor.Add(up))
	h.cp.ReconciledThrough = latest(h.cp.ReconciledThrough, h.cp.Floor)
	led := NewLedger()
	for _, d := range h.world {
		if c, ok := h.led.Content(d.id); ok && (d.unreadable || !at(d.leave).Before(h.cp.Floor)) {
			led.Add(d.id, c)
		}
	}
	h.led = led
	h.restart("pruned up to " + h.cp.Floor.String())
}

func (h *history) clock() Clock {
	return Clock{Now: at(h.now), Uptime: time.Duration(h.uptime) * time.Second}
}

// step is what a connector does once; hostile lets it fail and be killed.
func (h *history) step(hostile bool) {
	plan, wait := Plan(h.cp, h.pr, h.clock(), h.limits, h.fetching())
	h.early = slices.DeleteFunc(h.early, func(f fetched) bool { return !slices.Contains(plan, f.w) })
	if wait > 0 {
		if len(plan) > 0 {
			h.fail("a plan and a wait")
		}
		h.pass(int64((wait + time.Second - 1) / time.Second))
		return
	}
	w := plan[0]
	h.offered(w)
	if h.pr.head.over() && !h.pr.stuck && w.Kind == Fresh {
		h.fail("a fresh window while no head walk is under way")
	}
	old := w.Old(h.clock())
	refused := h.srv.strict && w.AskStart.Unix()+h.srv.shift < h.t+h.serverOff-365*day
	if hostile && old && h.chance(3) {
		refused = true // for another reason, under the same code
	}
	if refused {
		h.logf("refused %s %s … %s", w.Kind, w.Start, w.End)
		if old {
			h.pr = Refused(h.pr, w, h.clock())
		}
		h.pass(1)
		return
	}
	if hostile && h.chance(4) {
		h.pass(30)
		if h.chance(2) {
			h.pr = GivenUp(h.pr, w)
		}
		return // no answer
	}
	if h.chance(20) {
		h.fetchAhead(plan[1:])
	}
	shown, tally := h.had(w)
	if tally.Full() {
		h.seen[cuts]++
		h.logf("cut %s %s … %s", w.Kind, w.Start, w.End)
		h.pr = Cut(h.pr, w, tally)
		return
	}
	if tally.shown > h.limits.fullAt() {
		h.seen[bulks]++
	}
	s := Advance(h.cp, h.pr, h.led, w, shown, h.clock(), h.limits)
	h.logf("%s %s … %s showed %d published %d mark %s reconciled %s", w.Kind, w.Start, w.End, len(shown), len(s.Publish), s.Checkpoint.HighWaterMark, s.Checkpoint.ReconciledThrough)
	h.advanced(w, shown, s)
	if hostile && h.chance(4) {
		h.restart("killed, commit not applied")
		return
	}
	h.commit(w, s)
	if hostile && h.chance(4) {
		h.restart("killed, commit applied")
	}
}

func (h *history) fetching() (windows []Window) {
	for _, f := range h.early {
		windows = append(windows, f.w)
	}
	return windows
}

// fetchAhead fetches some of the windows whose turn is yet to come.
func (h *history) fetchAhead(plan []Window) {
	for _, w := range plan[:h.r.IntN(len(plan)+1)] {
		if w.Old(h.clock()) || slices.ContainsFunc(h.early, func(f fetched) bool { return f.w == w }) {
			continue
		}
		h.passes(w)
		shown, tally := h.collect(w)
		h.early = append(h.early, fetched{w, shown, tally})
	}
}

// had is what a window showed, be it now or ahead of its turn.
func (h *history) had(w Window) ([]Record, *Tally) {
	i := slices.IndexFunc(h.early, func(f fetched) bool { return f.w == w })
	if i < 0 {
		return h.collect(w)
	}
	h.seen[aheads]++
	f := h.early[i]
	h.early = slices.Delete(h.early, i, i+1)
	return f.shown, f.tally
}

// offered checks a window that Next named.
func (h *history) offered(w Window) {
	switch {
	case w.End.Before(w.Start), w.AskEnd.Before(w.AskStart):
		h.fail("an inverted window %+v", w)
	case w.AskEnd.After(at(h.now)):
		h.fail("a window beyond now %+v", w)
	case w.Start.Before(h.cp.Floor) && !h.cp.Floor.After(at(h.now)):
		h.fail("a window before floor %+v", w)
	case !h.limits.Endless && w.End.Sub(w.Start) > MaxSpan:
		h.fail("a window longer than MaxSpan %+v", w)
	case w.Kind == Reconcile && w.Start.Before(at(h.now).Add(-maxAge)):
		h.fail("a reconcile window older than maxAge %+v", w)
	}
	h.passes(w)
	if w.Start.After(w.from) && (w.Kind == Head || w.Kind == CatchUp) {
		h.seen[clamps]++
	}
}

// passes notes how far a head walk has looked: what becomes visible behind it is late.
func (h *history) passes(w Window) {
	if w.Kind == Head || w.Kind == CatchUp {
		h.reach = max(h.reach, w.End.Unix())
	}
}

// advanced checks a step before it is committed.
func (h *history) advanced(w Window, shown []Record, s Step) {
	now := at(h.now)
	for _, m := range []struct {
		name     string
		old, new time.Time
	}{
		{"highWaterMark", h.cp.HighWaterMark, s.Checkpoint.HighWaterMark},
		{"reconciledThrough", h.cp.ReconciledThrough, s.Checkpoint.ReconciledThrough},
		{"floor", h.cp.Floor, s.Checkpoint.Floor},
	} {
		if m.new.Before(m.old) {
			h.fail("I3: %s went back from %s to %s", m.name, m.old, m.new)
		}
		if m.new.After(m.old) && m.new.After(now) {
			h.fail("I3: %s went beyond now to %s", m.name, m.new)
		}
	}
	if (w.Kind == Fresh || w.Kind == Reconcile) && !s.Checkpoint.HighWaterMark.Equal(h.cp.HighWaterMark) {
		h.fail("a %s window moved highWaterMark", w.Kind)
	}
	for i := 1; i < len(s.Publish); i++ {
		if s.Publish[i].LeaveTime.Before(s.Publish[i-1].LeaveTime) {
			h.fail("I7: published out of order")
		}
	}
	in := make(map[ID]bool, len(s.Publish))
	for _, r := range append(s.Quarantine, s.Publish...) {
		if _, known := h.led.Content(r.ID); known || in[r.ID] {
			h.fail("I2: published again: %s@%s", r.UserID, r.LeaveTime)
		}
		in[r.ID] = true
	}
	for _, r := range shown {
		_, known := h.led.Content(r.ID)
		if !known && !in[r.ID] && (r.LeaveTime.IsZero() || !r.LeaveTime.Before(h.cp.Floor)) {
			h.fail("I1: shown and not published: %s@%s", r.UserID, r.LeaveTime)
		}
	}
	h.seen[repeats] += s.Repeated
	h.seen[changes] += s.Changed
	h.seen[futures] += s.Future
	h.seen[belowFloor] += s.BeforeFloor
}

// commit applies a step.
func (h *history) commit(w Window, s Step) {
	if len(s.Checkpoint.Gaps) > len(h.cp.Gaps) {
		h.seen[gaps]++
	}
	switch {
	case w.Kind == Fresh:
		h.seen[freshWindows]++
	case w.Kind == Reconcile:
		h.seen[lateByReconcile] += len(s.Publish)
		if s.Progress.reconcile.over() {
			h.seen[reconciled]++
		}
	}
	h.cp, h.pr = s.Checkpoint, s.Progress
	for _, r := range append(s.Quarantine, s.Publish...) {
		h.led.Add(r.ID, r.Content)
		for _, d := range h.world {
			if d.id == r.ID {
				d.times++
				if d.times > 1 {
					h.fail("I2: published twice in its life: %s@%s", d.user, at(d.leave))
				}
			}
		}
	}
	h.seen[published] += len(s.Publish)
	h.seen[quarantines] += len(s.Quarantine)
}

// rest stops the world, lets the connector run undisturbed until it has caught up, and sees what is missing.
func (h *history) rest() {
	h.serverOff, h.ouOff = 0, 0
	h.restart("the world rests")
	h.pass(max(h.t, h.cp.HighWaterMark.Unix(), h.cp.ReconciledThrough.Unix()) - h.t + day)
	quiet := at(h.t)
	caughtUp := func() bool {
		return !h.cp.HighWaterMark.Before(quiet) && (h.limits.ReconcileInterval == 0 || !h.cp.ReconciledThrough.Before(quiet))
	}
	for n := 0; !caughtUp() && h.fault == ""; n++ {
		h.step(false)
		if n > 3000 {
			h.fail("does not catch up: mark %s, reconciled through %s, world at rest since %s", h.cp.HighWaterMark, h.cp.ReconciledThrough, quiet)
		}
	}
	for _, d := range h.world {
		if d.times == 1 {
			continue
		}
		why := h.owed(d, quiet.Unix())
		if why != "" && h.fault == "" {
			h.fail("missing %s@%s, visible %s: %s", d.user, at(d.leave), at(d.visible), why)
		}
	}
	for _, d := range h.world {
		if d.times == 1 && h.owed(d, quiet.Unix()) != "" {
			h.seen[owed]++
		}
	}
}

// owed says why d must have been published, or nothing. Not owed is what was removed or became visible only now, what is
// before floor or after now, what lies in a gap (or in the overlap before it), and, where pages shift under removals, whatever
// may have fallen between two of them.
//
// A server that shifts the times of a request hides the first or last hours of what is asked: what it hides counts as visible
// so much later. The same goes for clocks that were ahead of the world's.
func (h *history) owed(d *departed, quiet int64) string {
	k, slack := h.key(d), max(h.srv.shift, -h.srv.shift)+h.ahead+2
	switch {
	case h.removals && h.srv.live, d.gone < 1<<60, d.visible > quiet,
		d.leave < h.cp.Floor.Unix(), k < h.cp.Floor.Unix()+slack, k > quiet-slack:
		return ""
	}
	for _, g := range h.cp.Gaps {
		if k >= g.Start.Unix()-6*day-slack && k <= g.End.Unix()+slack {
			return ""
		}
	}
	lag := time.Duration(max(0, d.visible-k)+slack) * time.Second
	switch {
	case k > d.reach+slack:
		return "no head window had passed it when it became visible"
	case h.limits.ReconcileInterval > 0 && lag <= h.least.Lookback && k > h.t-363*day:
		return "it became visible within LOOKBACK"
	case lag <= h.least.Overlap && k > h.t-363*day:
		return "it became visible within OVERLAP"
	}
	return ""
}
