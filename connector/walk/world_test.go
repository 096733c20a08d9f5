package walk

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"
)

// departed is one leave record of the world. Times are seconds on the world's clock, which never jumps.
type departed struct {
	id         ID
	user       string
	leave      int64 // its leaveTime
	filed      int64 // when the operation was made: a server may filter by it
	visible    int64 // from when on it is shown
	gone       int64 // from when on it is not shown any more
	amended    int64 // from when on it has other content
	rank       uint64
	unreadable bool

	reach int64 // when it became visible: the last second that any head window asked for had covered
	times int   // how often it was published
}

// server is how DingTalk behaves in this history.
type server struct {
	byFiled     bool  // filters by the time of the operation, not leaveTime
	shift       int64 // request times are read as shifted by this
	openStart   bool  // bounds are exclusive
	openEnd     bool
	strict      bool // refuses a start older than 365 days
	order       int  // 0 ascending, 1 descending, 2 arbitrary
	live        bool // pages are offsets into what is visible at that moment
	repeat      bool // shows records twice at random
	secondsPage int64
	page        int
}

// populate draws the departures.
func (h *history) populate(from, to int64) {
	n := h.r.IntN(30)
	bulk := h.between(from, to)
	for i := range n {
		d := &departed{user: strconv.Itoa(h.r.IntN(8)), leave: h.between(from-day, to), gone: 1 << 60, amended: 1 << 60, rank: h.r.Uint64()}
		switch { // many of one second, many of an hour
		case n > 12 && i%2 == 0:
			d.leave, d.user = bulk, "b"+strconv.Itoa(i)
		case n > 6 && i%2 == 1:
			d.leave, d.user = bulk+h.between(-7200, 3600), "c"+strconv.Itoa(i)
		}
		d.filed = d.leave
		switch h.r.IntN(8) {
		case 0: // backdated
			d.filed += h.oneOf(1, 3600, day, 10*day, 100*day)
		case 1: // set for a day to come
			d.filed -= h.oneOf(1, 3600, day, 10*day)
		}
		d.visible = d.filed
		if h.chance(30) {
			d.visible += h.oneOf(1, 5, 60, 3600, 20*3600, 5*day, 25*day)
		}
		d.unreadable = h.chance(4)
		h.world = append(h.world, d)
		if h.chance(15) {
			d.amended = d.visible + h.between(0, 3*day)
		}
		if h.removals && h.chance(15) {
			d.gone = d.visible + h.between(0, 3*day)
		}
		if h.removals && h.chance(15) { // HR corrects the leaveTime: another departure in its place
			d.gone = d.visible + h.between(0, 3*day)
			e := *d
			e.leave, e.visible, e.gone, e.rank = d.leave+h.between(-2*day, 2*day), d.gone, 1<<60, h.r.Uint64()
			h.world = append(h.world, &e)
		}
	}
	same := make(map[string]bool)
	h.world = slices.DeleteFunc(h.world, func(d *departed) bool {
		key := d.user + "@" + strconv.FormatInt(d.leave, 10)
		binary.BigEndian.PutUint64(d.id[:], uint64(d.leave))
		copy(d.id[8:], d.user)
		taken := same[key]
		same[key] = true
		return taken
	})
	slices.SortStableFunc(h.world, func(a, b *departed) int { return int(a.visible - b.visible) })
}

// collect reads the pages of w.
func (h *history) collect(w Window) ([]Record, *Tally) {
	tally := NewTally(w, h.limits)
	var shown []Record
	answer := h.answer(w)
	for from := 0; ; from += h.srv.page {
		h.share(w)
		if from > 0 {
			h.pass(h.srv.secondsPage)
			if h.srv.live {
				answer = h.answer(w)
			}
		}
		for i := from; i < min(from+h.srv.page, len(answer)); i++ {
			n := 1
			if h.srv.repeat && h.chance(10) {
				n = 2
			}
			for range n {
				r := h.record(answer[i], len(shown))
				shown = append(shown, r)
				tally.Add(r.LeaveTime)
			}
		}
		if tally.Full() || from+h.srv.page >= len(answer) {
			return shown, tally
		}
	}
}

// share counts a page, as a connector does.
func (h *history) share(w Window) {
	if w.Kind == Fresh {
		h.fresh++
		return
	}
	if h.fresh = max(h.fresh-1, 0); h.fresh == 0 {
		h.pr = Shared(h.pr)
	}
}

func (h *history) record(d *departed, index int) Record {
	r := Record{ID: d.id, Content: 1, UserID: d.user, LeaveTime: at(d.leave), Index: index}
	if h.t >= d.amended {
		r.Content = 2
	}
	if d.unreadable {
		r.LeaveTime, r.Content = time.Time{}, 3
	}
	return r
}

// answer is what the server would show of w right now, in its order.
func (h *history) answer(w Window) []*departed {
	a, b := w.AskStart.Unix()+h.srv.shift, w.AskEnd.Unix()+h.srv.shift
	if h.srv.openStart {
		a++
	}
	if h.srv.openEnd {
		b--
	}
	if h.limits.Endless {
		b = 1 << 60
	}
	var answer []*departed
	for _, d := range h.world[:h.arrived] {
		if k := h.key(d); k >= a && k <= b && h.t < d.gone {
			answer = append(answer, d)
		}
	}
	slices.SortStableFunc(answer, func(a, b *departed) int {
		switch h.srv.order {
		case 0:
			return int(a.leave - b.leave)
		case 1:
			return int(b.leave - a.leave)
		}
		return int(a.rank>>1) - int(b.rank>>1)
	})
	return answer
}

// key is the time by which the server filters.
func (h *history) key(d *departed) int64 {
	if h.srv.byFiled {
		return d.filed
	}
	return d.leave
}
