package walk

import (
	"cmp"
	"slices"
	"time"
)

// Progress is where the walks of one organisation stand within a session. Its zero value is a session just opened. It is
// a value: a copy is independent of the original.
type Progress struct {
	head, fresh, reconcile span

	due       time.Duration           // uptime at which the next poll is due
	refusals  int                     // how often in a row the head's present start was refused as too old
	freshLast bool                    // a fresh walk was completed and nothing walked since: another window comes first
	headLast  bool                    // a head window was walked since the last turn of reconcile
	stuck     bool                    // the head's next window was given up: fresh walks come between, even if no head walk is under way
	lengths   [numKinds]time.Duration // of the windows to come of each walk, as learned from those that were walked; 0 is MaxSpan
}

// Due is the uptime at which the next poll is due.
func (p Progress) Due() time.Duration { return p.due }

// Longest is how long a window of a kind may be: as long as the last ones of its walk proved right.
func (p Progress) Longest(k Kind) time.Duration {
	return min(cmp.Or(p.lengths[k.walk()], MaxSpan), MaxSpan)
}

// learn makes the windows to come so long that each shows about a fifth of what it may: by w, which showed so many records. Several of
// them then fit into memory, and into a transaction. From one window to the next they grow or shrink by a factor of two at most, and grow by
// four where nobody is shown.
func (p *Progress) learn(w Window, shown int, l Limits) {
	if l.Endless {
		return
	}
	fitting, factor := float64(l.fullAt())/5, 4.0
	if shown > 0 {
		factor = min(max(fitting/float64(shown), 0.5), 2)
	}
	learned := max(time.Duration(factor*float64(w.End.Sub(w.Start))).Truncate(time.Second), time.Second)
	if factor >= 1 {
		learned = max(learned, p.Longest(w.Kind)) // w may have been short for another reason
	}
	p.lengths[w.Kind.walk()] = min(learned, MaxSpan)
}

// span is one walk: what it still has to cover. Head, fresh and reconcile walks are all of this kind. Its zero value is no
// walk.
type span struct {
	kind   Kind
	begun  bool          // at least one of its windows was walked, cut or refused
	at     time.Time     // next second to cover
	ends   []time.Time   // where its windows end before their time, having been cut; shared by copies, so never written to
	target time.Time     // last second to cover: the now of its begin
	since  time.Duration // uptime of its begin
}

// begin is a walk from a moment through now. A moment ahead of now is taken as now: there is always a window to ask for.
func begin(k Kind, from, now time.Time) span {
	return span{kind: k, at: earliest(second(from), now), target: now}
}

// over reports that no walk is under way.
func (s span) over() bool { return s.target.IsZero() }

// unfinished reports whether s has seconds to cover that now has reached.
func (s span) unfinished(now time.Time) bool {
	return !s.over() && !s.at.After(now)
}

// window is the next window of s, beginning not before since and not longer than longest.
func (s span) window(since, now time.Time, longest time.Duration, l Limits) Window {
	s.target = earliest(s.target, now)
	if l.Endless {
		s.target = now
	}
	start := latest(s.at, since)
	end := s.end(start, longest, l)
	return Window{
		Kind: s.kind, Start: start, End: end,
		AskStart: latest(start.Add(-time.Second), epoch), AskEnd: earliest(end.Add(time.Second), now),
		first: !s.begun, from: s.at, target: s.target, since: s.since,
	}
}

// end is where a window that begins at start ends: at the nearest cut, the target, or when it is as long as it may be.
func (s span) end(start time.Time, longest time.Duration, l Limits) time.Time {
	if l.Endless {
		return s.target
	}
	end := earliest(s.target, start.Add(longest))
	for _, e := range s.ends {
		if !e.Before(start) {
			end = earliest(end, e)
		}
	}
	return end
}

// join is the walk that w belongs to, s or a new one; ok is false when w neither begins a walk nor goes on with s.
func (s span) join(w Window) (walk span, ok bool) {
	if w.first {
		return span{kind: w.Kind, begun: true, at: second(w.from), target: w.target, since: w.since}, true
	}
	ok = !s.over() && s.at.Equal(w.from)
	s.target = w.target
	return s, ok
}

// past is s when everything through end is covered: no walk at all when that was the last of it.
func (s span) past(end time.Time) span {
	s.at = end.Add(time.Second)
	if s.at.After(s.target) {
		return span{}
	}
	return s
}

// cut is s with a window that ends at end divided after at. What is left of the cuts already passed does no harm, and goes
// with the walk.
func (s span) cut(end, at time.Time) span {
	s.ends = append(slices.Clip(s.ends), end, at)
	return s
}

// of is the walk of a kind of window.
func (p *Progress) of(k Kind) *span {
	switch k {
	case Head, CatchUp:
		return &p.head
	case Fresh:
		return &p.fresh
	case Reconcile:
		return &p.reconcile
	}
	return new(span)
}

// Cut is the progress after w was abandoned because its tally t is full: Next then offers its first part, later the second, and both, and
// what follows, in windows no longer than what t showed so densely, until they prove too short. An endless window, or one of a single
// second, cannot be cut and stays.
func Cut(pr Progress, w Window, t *Tally) Progress {
	w = w.settled(Clock{})
	if t == nil || t.limits.Endless || !w.End.After(w.Start) {
		return pr
	}
	walk, ok := pr.of(w.Kind).join(w)
	if !ok {
		return pr
	}
	*pr.of(w.Kind) = walk.cut(w.End, t.cut(w))
	pr.lengths[w.Kind.walk()] = min(t.length(), w.End.Sub(w.Start))
	if w.Kind == Reconcile {
		pr.headLast = false // a hundred pages were its turn: a due head comes next
	}
	return pr
}

// Refused is the progress after DingTalk refused w, which is Old, as too old. Refused twice with the same start, Next offers
// the window clamped to History; refused as well, the start was not what was wrong and comes again. To be refused was a
// turn: neither fresh walks nor heads wait for a window that cannot be had.
//
// Only a head walk is ever clamped. The others begin within History.
func Refused(pr Progress, w Window, c Clock) Progress {
	w = w.settled(c)
	pr.freshLast, pr.headLast = false, false
	if pr.of(w.Kind) != &pr.head || !w.Old(c) {
		return pr
	}
	walk, ok := pr.head.join(w)
	if !ok {
		return pr
	}
	pr.head = walk
	switch clamped := w.Start.After(w.from); {
	case clamped:
		pr.refusals = 0
	case w.first:
		pr.refusals = 1
	default:
		pr.refusals++
	}
	return pr
}

// Shared is the progress after the other walks have had as much of the rate as the last fresh walk: the next may come when it is due.
func Shared(pr Progress) Progress {
	pr.freshLast = false
	return pr
}

// GivenUp is the progress after w was tried for long and could not be walked whole: that was its turn, and whatever else is due
// comes before it is tried again. What it showed is void. A fresh walk is given up altogether: the head walk covers the same.
func GivenUp(pr Progress, w Window) Progress {
	pr.freshLast, pr.headLast = w.Kind == Fresh, false
	switch pr.of(w.Kind) {
	case &pr.fresh:
		pr.fresh = span{}
	case &pr.head:
		pr.stuck = true
	}
	return pr
}
