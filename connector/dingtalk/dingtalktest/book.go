package dingtalktest

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// book holds all records. What is not visible yet waits apart, so that the two indexes hold exactly what a call may show, and a
// window is two binary searches.
type book struct {
	version    uint64 // rises with every visible change
	seq        uint64
	waiting    index
	byLeave    index
	byOperated index
	rows       map[identity]*row
}

// identity is a departure: userId and leaveTime in Unix seconds.
type identity struct {
	userID string
	leave  int64
}

// record is a record as it is shown. It never changes once it is visible: an edit makes another one, so that a snapshot stays what it
// was.
type record struct {
	Leaver
	seq uint64 // order of becoming visible
	row *row
}

// row is the truth about one identity.
type row struct {
	last  *record // that became visible
	live  int     // how many are visible
	shown bool    // see Departure
}

func (w *row) departure() Departure {
	d := Departure{Leaver: w.last.clone(), Removed: w.live == 0, Shown: w.shown}
	d.LeaveTime = d.LeaveTime.Truncate(time.Second)
	return d
}

func newBook() book {
	return book{
		waiting:    index{key: func(r *record) int64 { return r.VisibleAt.UnixMicro() }},
		byLeave:    index{key: func(r *record) int64 { return r.LeaveTime.Unix() }},
		byOperated: index{key: func(r *record) int64 { return r.OperatedAt.Unix() }},
		rows:       map[identity]*row{},
	}
}

func (b *book) leave(now time.Time, ls []Leaver) {
	var visible, waiting []*record
	records := make([]record, len(ls))
	for i, l := range ls {
		r := &records[i]
		*r = record{Leaver: l.clone().whole(now), seq: b.nextSeq()}
		if r.VisibleAt.After(now) {
			waiting = append(waiting, r)
			continue
		}
		visible = append(visible, r)
	}
	b.waiting.add(waiting)
	b.show(visible)
}

// ripen shows what has waited long enough, in the order of its time.
func (b *book) ripen(now time.Time) {
	due := b.waiting.between(math.MinInt64, now.UnixMicro())
	if len(due) == 0 {
		return
	}
	b.waiting.list = b.waiting.list[len(due):]
	for _, r := range due {
		r.seq = b.nextSeq()
	}
	b.show(due)
	clear(due) // the memory behind it is still the index's
}

func (b *book) edit(now time.Time, id identity, change func(*Leaver)) bool {
	old, x := b.find(id)
	if old == nil {
		return false
	}
	l := old.Leaver.clone()
	change(&l)
	edited := &record{Leaver: l.whole(now), seq: old.seq}
	if x == &b.waiting {
		b.waiting.remove(old)
	} else {
		b.hide(old)
	}
	if edited.VisibleAt.After(now) {
		b.waiting.add([]*record{edited})
		return true
	}
	b.show([]*record{edited})
	return true
}

func (b *book) remove(id identity) bool {
	r, x := b.find(id)
	switch {
	case r == nil:
		return false
	case x == &b.waiting:
		b.waiting.remove(r)
	default:
		b.hide(r)
	}
	return true
}

// departures are the rows that keep chooses, in order of leaveTime, then userId.
func (b *book) departures(keep func(*row) bool) []Departure {
	rows := make([]*row, 0, len(b.rows))
	for _, w := range b.rows {
		if keep(w) {
			rows = append(rows, w)
		}
	}
	slices.SortFunc(rows, func(x, y *row) int {
		if c := cmp.Compare(x.last.LeaveTime.Unix(), y.last.LeaveTime.Unix()); c != 0 {
			return c
		}
		return cmp.Compare(x.last.UserID, y.last.UserID)
	})
	ds := make([]Departure, len(rows))
	for i, w := range rows {
		ds[i] = w.departure()
	}
	return ds
}

func (b *book) show(rs []*record) {
	if len(rs) == 0 {
		return
	}
	b.version++
	for _, r := range rs {
		id := identity{r.UserID, r.LeaveTime.Unix()}
		w := b.rows[id]
		if w == nil {
			w = &row{}
			b.rows[id] = w
		}
		w.last = r
		w.live++
		r.row = w
	}
	b.byLeave.add(rs)
	b.byOperated.add(rs)
}

func (b *book) hide(r *record) {
	b.version++
	b.byLeave.remove(r)
	b.byOperated.remove(r)
	r.row.live--
}

// find is the newest record of id and the index where it was found.
func (b *book) find(id identity) (*record, *index) {
	for _, r := range slices.Backward(b.byLeave.between(id.leave, id.leave)) {
		if r.UserID == id.userID {
			return r, &b.byLeave
		}
	}
	for _, r := range slices.Backward(b.waiting.list) {
		if r.UserID == id.userID && r.LeaveTime.Unix() == id.leave {
			return r, &b.waiting
		}
	}
	return nil, nil
}

// latest is the record entered last among those that match, visible or not.
func (b *book) latest(match func(*record) bool) *record {
	var latest *record
	for _, list := range [][]*record{b.byLeave.list, b.waiting.list} {
		for _, r := range list {
			if match(r) && (latest == nil || r.seq > latest.seq) {
				latest = r
			}
		}
	}
	return latest
}

func (b *book) nextSeq() uint64 {
	b.seq++
	return b.seq
}

// index is records in order of key, then seq.
type index struct {
	key  func(*record) int64
	list []*record
}

// bulk is from how many new records on looking at everything is cheaper than inserting each.
const bulk = 64

// add sorts rs, and puts them where they belong.
func (x *index) add(rs []*record) {
	if len(rs) >= bulk {
		slices.SortFunc(rs, x.compare)
		x.merge(rs)
		return
	}
	for _, r := range rs {
		i, _ := slices.BinarySearchFunc(x.list, r, x.compare)
		x.list = slices.Insert(x.list, i, r)
	}
}

// merge adds records that are in order, from the last one on, until the rest stands where it stood.
func (x *index) merge(rs []*record) {
	old := len(x.list)
	x.list = append(x.list, rs...)
	for free := len(x.list); len(rs) > 0; free-- {
		last := len(rs) - 1
		if old > 0 && x.compare(x.list[old-1], rs[last]) > 0 {
			old--
			x.list[free-1] = x.list[old]
			continue
		}
		x.list[free-1], rs = rs[last], rs[:last]
	}
}

func (x *index) remove(r *record) {
	if i, ok := slices.BinarySearchFunc(x.list, r, x.compare); ok {
		x.list = slices.Delete(x.list, i, i+1)
	}
}

// between are the records with lo ≤ key ≤ hi: a part of the index itself, good until the next change.
func (x *index) between(lo, hi int64) []*record {
	search := func(key int64, after int) int {
		i, _ := slices.BinarySearchFunc(x.list, key, func(r *record, key int64) int {
			return cmp.Or(cmp.Compare(x.key(r), key), after)
		})
		return i
	}
	from, to := search(lo, +1), search(hi, -1)
	return x.list[from:max(from, to)]
}

func (x *index) compare(r, s *record) int {
	return cmp.Or(cmp.Compare(x.key(r), x.key(s)), cmp.Compare(r.seq, s.seq))
}
