package dingtalktest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// walk is the pages of one window, from a call without nextToken on. Its switches are those of its beginning.
type walk struct {
	bound  string // the parameters to which its tokens are bound
	lo, hi int64  // inclusive, Unix seconds
	size   int
	salt   uint64
	order  Order
	paging Paging
	field  FilterField

	list     []*record // the snapshot; or for live paging in an order without an index, the records as of version
	reversed bool
	version  uint64
	tokens   []string // given out, oldest first
	held     int      // records, as counted in walks.held
}

// place is where a page begins.
type place struct {
	walk   *walk
	number int     // of the page, from 0
	offset int     // records before it; Snapshot and LiveOffset
	after  *record // the last one before it; Keyset
	blank  bool    // S16: this page is left empty
	token  string  // "" on the first page
	issued time.Time
	next   *place // that the page led to when it was last asked
	id     int    // its token is the id-th given out
}

func newWalk(start, end time.Time, size int, bound string, salt uint64, sw Switches) *walk {
	w := &walk{
		bound: bound, lo: start.Unix(), hi: end.Unix(), size: size, salt: salt,
		order: sw.Order, paging: sw.Paging, field: sw.FilterField,
	}
	switch sw.Bounds {
	case HalfOpen:
		w.hi--
	case StartOpen:
		w.lo++
	case Open:
		w.lo++
		w.hi--
	}
	return w
}

// view is a window's records in order.
type view struct {
	list     []*record
	reversed bool
}

func (v view) at(i int) *record {
	if v.reversed {
		i = len(v.list) - 1 - i
	}
	return v.list[i]
}

// view is what the walk sees of b now. Only an order that no index has, or a snapshot, costs a copy, once a walk or a change.
func (w *walk) view(b *book) view {
	if w.list != nil && (w.paging == Snapshot || w.version == b.version) {
		return view{w.list, w.reversed}
	}
	index := &b.byLeave
	if w.field == ByOperation {
		index = &b.byOperated
	}
	v := view{list: index.between(w.lo, w.hi)}
	indexed := w.field == ByLeaveTime && (w.order == Ascending || w.order == Descending)
	if indexed {
		v.reversed = w.order == Descending
	}
	if indexed && w.paging != Snapshot {
		return v
	}
	v.list = append(make([]*record, 0, len(v.list)), v.list...)
	if !indexed {
		slices.SortFunc(v.list, w.compare)
	}
	w.list, w.reversed, w.version = v.list, v.reversed, b.version
	return v
}

// compare is the order of the walk's records.
func (w *walk) compare(r, s *record) int {
	switch w.order {
	case Descending:
		return -byTime(r, s)
	case Insertion:
		return cmp.Compare(r.seq, s.seq)
	case Random:
		return cmp.Or(cmp.Compare(mix(w.salt, r.seq), mix(w.salt, s.seq)), cmp.Compare(r.seq, s.seq))
	}
	return byTime(r, s)
}

func byTime(r, s *record) int {
	return cmp.Or(cmp.Compare(r.LeaveTime.Unix(), s.LeaveTime.Unix()), cmp.Compare(r.seq, s.seq))
}

// begin is the place's first record in v.
func (p *place) begin(v view) int {
	if p.walk.paging != Keyset {
		return min(p.offset, len(v.list))
	}
	if p.after == nil {
		return 0
	}
	lo, hi := 0, len(v.list)
	for lo < hi {
		mid := (lo + hi) / 2
		if p.walk.compare(v.at(mid), p.after) > 0 {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// walks are the walks with a nextToken given out, oldest first. A walk of one page is never kept.
type walks struct {
	places map[string]*place
	open   []*walk
	held   int // records in snapshots
	issued int // tokens, ever
}

// What open walks may hold together: beyond it the oldest are forgotten, as if their tokens had expired.
const (
	maxWalks = 10_000
	maxHeld  = 5_000_000 // 40 MB of pointers
)

func newWalks() walks { return walks{places: map[string]*place{}} }

// ExpirePageTokens makes every nextToken given out so far a refused one.
func (s *Server) ExpirePageTokens() {
	s.enter()
	defer s.mu.Unlock()
	s.expirePageTokens()
}

func (s *Server) expirePageTokens() {
	s.walks = walks{places: map[string]*place{}, issued: s.walks.issued}
}

// find is the page that token asks for, nil if the token is unknown or too old.
func (ws *walks) find(token string, now time.Time, ttl time.Duration) *place {
	p := ws.places[token]
	if p == nil || now.Sub(p.issued) > ttl {
		return nil
	}
	return p
}

// give is the nextToken that leads from p to next: the same again if it leads where it led.
func (ws *walks) give(p, next *place, random *rand.Rand, now time.Time, ttl time.Duration) string {
	if old := p.next; old != nil && old.offset == next.offset && old.after == next.after && old.blank == next.blank &&
		ws.find(old.token, now, ttl) == old {
		old.issued = now
		return old.token
	}
	w := p.walk
	if len(w.tokens) == 0 {
		ws.drop(now, ttl)
		ws.open = append(ws.open, w)
		w.held = len(w.list)
		ws.held += w.held
	}
	for next.token == "" || ws.places[next.token] != nil {
		next.token = fmt.Sprintf(PageTokenMark+"%08X", random.Uint32())
	}
	ws.issued++
	next.id, next.issued = ws.issued, now
	p.next = next
	ws.places[next.token] = next
	w.tokens = append(w.tokens, next.token)
	return next.token
}

// drop forgets walks from the oldest on: those whose last token is too old, and others while too much is held.
func (ws *walks) drop(now time.Time, ttl time.Duration) {
	for len(ws.open) > 0 {
		w := ws.open[0]
		last := ws.places[w.tokens[len(w.tokens)-1]]
		if now.Sub(last.issued) <= ttl && len(ws.open) < maxWalks && ws.held < maxHeld {
			return
		}
		for _, token := range w.tokens {
			delete(ws.places, token)
		}
		w.tokens = nil
		ws.held -= w.held
		ws.open[0] = nil
		ws.open = ws.open[1:]
	}
}

// mix is a well-spread number out of two, the same for the same two.
func mix(a, b uint64) uint64 {
	x := a ^ b*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
