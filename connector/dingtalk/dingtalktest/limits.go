package dingtalktest

import (
	"net/http"
	"slices"
	"time"
)

// monthlyQuota is S23: it refuses what goes beyond the quota. count does the counting, later, since a throttled call is not counted.
func (s *Server) monthlyQuota(c *call) *answer {
	if c.sw.QuotaExhausted || s.quota.spent(c.clock(), c.sw.MonthlyQuota, c.sw.QuotaGrace) {
		return refuse(c, http.StatusForbidden, codeQuota, "")
	}
	return nil
}

// count counts a call that no limit refused.
func (s *Server) count(*call) *answer {
	s.quota.used++
	return nil
}

// quota counts the data calls of the organisation in the present calendar month, in UTC.
type quota struct {
	month     string
	used      int
	exhausted time.Time // when a call was first one too many; zero: not yet
}

// spent reports whether one more call is refused. A limit of 0 or less is none.
func (q *quota) spent(now time.Time, limit int, grace time.Duration) bool {
	if month := now.UTC().Format("2006-01"); month != q.month {
		*q = quota{month: month}
	}
	if limit <= 0 || q.used < limit {
		q.exhausted = time.Time{}
		return false
	}
	if q.exhausted.IsZero() {
		q.exhausted = now
	}
	return now.Sub(q.exhausted) >= grace
}

// rate is S22. Only data calls meet the global limit.
func (s *Server) rate(c *call) *answer {
	if c.api.target == DataCalls && c.clock().Sub(c.clock().Truncate(30*time.Minute)) < c.sw.BusyHalfHours {
		return refuse(c, http.StatusForbidden, codeQPSGlobal, "")
	}
	key := gate{c.api.name, c.foreign}
	m := s.meters[key]
	if m == nil {
		m = &meter{}
		s.meters[key] = m
	}
	if code := m.take(c.clock(), c.sw.QPS, c.sw.QPM); code != "" {
		return refuse(c, http.StatusForbidden, code, "")
	}
	return nil
}

// gate is where calls are counted: an API or an address, on one of the deployments.
type gate struct {
	name    string
	foreign bool
}

// meter counts the calls let through to one API in the present second and minute.
type meter struct {
	second, minute             int64
	withinSecond, withinMinute int
}

// take counts one call, or gives the code that refuses it. A limit of 0 or less is none.
func (m *meter) take(now time.Time, perSecond, perMinute int) string {
	if second := now.Unix(); second != m.second {
		m.second, m.withinSecond = second, 0
	}
	if minute := now.Unix() / 60; minute != m.minute {
		m.minute, m.withinMinute = minute, 0
	}
	switch {
	case perSecond > 0 && m.withinSecond >= perSecond:
		return codeQPS
	case perMinute > 0 && m.withinMinute >= perMinute:
		return codeQPM
	}
	m.withinSecond++
	m.withinMinute++
	return ""
}

// The limit of S24, documented.
const (
	blockAbove  = 10_000
	blockWithin = 20 * time.Second
)

// blockLimit is how many calls in blockWithin an address may make; 0 or less: any number. A server without a rate limit has none here
// either, unless it is told so.
func (s Switches) blockLimit() int {
	if s.BlockAbove == 0 && s.QPS >= 0 {
		return blockAbove
	}
	return s.BlockAbove
}

// callers are the addresses that called lately.
type callers map[gate]*caller

// maxCallers is how many addresses are watched; 80 kB each by the documented limit.
const maxCallers = 1000

// caller is one address: when it made its last calls, as many as it may make, and until when it is blocked.
type caller struct {
	times []int64 // Unix nanoseconds; a ring, as long as the limit once it is full
	next  int     // where the next call goes: the place of the oldest
	until time.Time
}

// watch counts one call from an address of any path, and blocks the address when it is one too many. A call made while the
// address is blocked does not count (assumed).
func (s *Server) watch(c *call) {
	limit := c.sw.blockLimit()
	if limit <= 0 {
		return
	}
	key := gate{c.address, c.foreign}
	w := s.callers[key]
	if w == nil {
		s.callers.forget(c.now)
		w = &caller{}
		s.callers[key] = w
	}
	if c.now.Before(w.until) {
		return
	}
	if w.count(c.now.UnixNano(), limit) {
		*w = caller{until: c.now.Add(c.sw.BlockFor)}
	}
}

// count reports whether the call is one too many.
func (w *caller) count(now int64, limit int) bool {
	if len(w.times) != limit && w.next > 0 { // the limit was changed
		w.times, w.next = slices.Concat(w.times[w.next:], w.times[:w.next]), 0
	}
	w.times = w.times[max(len(w.times)-limit, 0):]
	if len(w.times) < limit {
		w.times = append(w.times, now)
		return false
	}
	oldest := w.times[w.next]
	w.times[w.next] = now
	w.next = (w.next + 1) % limit
	return now-oldest < int64(blockWithin)
}

// forget makes room for another address: those go that made no call lately and are not blocked.
func (cs callers) forget(now time.Time) {
	if len(cs) < maxCallers {
		return
	}
	for key, w := range cs {
		last := w.until
		if n := len(w.times); n > 0 {
			last = time.Unix(0, w.times[(w.next+n-1)%n]).Add(blockWithin)
		}
		if !now.Before(last) {
			delete(cs, key)
		}
	}
}

// blockPages are what a blocked address is answered, by switch.
var blockPages = map[BlockPage]Fault{
	BlockHTML403: IPBlockHTML403, BlockHTML200: IPBlockHTML200, BlockJSON200: IPBlockJSON,
}

// ipBlock is a block of every address, as long as it is on demand.
type ipBlock struct {
	fault Fault
	until time.Time
}

// BlockIP answers every call, of any path and from any address, with f for so long: a block as DingTalk does it lasts 5 minutes and is
// one of [IPBlockHTML403], [IPBlockHTML200], [IPBlockJSON]. A fault of the queue comes first. Without it an address is blocked for
// too many calls only ([Switches].BlockAbove).
func (s *Server) BlockIP(f Fault, d time.Duration) {
	now := s.enter()
	defer s.mu.Unlock()
	s.block = ipBlock{f, now.Add(d)}
}

// ipBlocked is S24.
func (s *Server) ipBlocked(c *call) *answer {
	f := blockPages[c.sw.BlockPage]
	switch w := s.callers[gate{c.address, c.foreign}]; {
	case c.now.Before(s.block.until):
		f = s.block.fault
	case w == nil || !c.now.Before(w.until):
		return nil
	}
	a := f.answer(c)
	a.fault = f.Name
	return a
}
