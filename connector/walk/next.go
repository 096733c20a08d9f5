package walk

import (
	"time"

	"departures/schema"
)

// Next names the most urgent window; or, when wait is positive, says that nothing is due for that long. Asked again with
// the same checkpoint and progress it names the same walk, so a caller may give up a window at any moment.
//
// The order: while a head walk is unfinished, a fresh walk that is due, then the head's next window; otherwise a reconcile
// window that has its turn or no due head before it; then a due head.
func Next(cp schema.Checkpoint, pr Progress, c Clock, l Limits) (w Window, wait time.Duration) {
	w, wait = next(cp, pr, c, l)
	if w.first {
		w.since = c.Uptime
	}
	return w, wait
}

func next(cp schema.Checkpoint, pr Progress, c Clock, l Limits) (w Window, wait time.Duration) {
	now := second(c.Now)
	due := pr.due <= c.Uptime
	switch {
	case pr.head.unfinished(now) || pr.stuck:
		if due && wantsFresh(cp, pr, now, l) {
			return nextFresh(cp, pr, now, l), 0
		}
		return nextHead(cp, pr, now, l), 0
	case wantsReconcile(cp, pr, now, l) && (pr.headLast || !due):
		return nextReconcile(cp, pr, now, l), 0
	case due:
		return nextHead(cp, pr, now, l), 0
	}
	wait = pr.due - c.Uptime
	if l.ReconcileInterval > 0 {
		wait = min(wait, l.ReconcileInterval-max(0, now.Sub(cp.ReconciledThrough)))
	}
	return Window{}, wait
}

// nextHead is the next window of the head walk, clamped when DingTalk has refused its start often enough.
func nextHead(cp schema.Checkpoint, pr Progress, now time.Time, l Limits) Window {
	var since time.Time
	if pr.refusals >= patience {
		since = oldest(now).Add(clampMargin)
	}
	return standing(pr.head, headFrom(cp, now, l), since, now).window(since, now, pr.Longest(Head), l)
}

// headFrom is a new head walk.
func headFrom(cp schema.Checkpoint, now time.Time, l Limits) span {
	s := begin(Head, latest(cp.HighWaterMark.Add(-max(0, l.Overlap)), cp.Floor), now)
	if now.Sub(s.at) > MaxSpan {
		s.kind = CatchUp
	}
	return s
}

// wantsFresh reports whether a fresh walk may come before the next window of a head walk that is unfinished, or cannot be had.
func wantsFresh(cp schema.Checkpoint, pr Progress, now time.Time, l Limits) bool {
	head := standing(pr.head, headFrom(cp, now, l), time.Time{}, now)
	return !l.Endless && !pr.freshLast && now.Sub(head.at) > l.Overlap
}

// nextFresh is the next window of the fresh walk.
func nextFresh(cp schema.Checkpoint, pr Progress, now time.Time, l Limits) Window {
	anew := begin(Fresh, latest(now.Add(-l.Overlap), cp.Floor), now)
	return standing(pr.fresh, anew, oldest(now), now).window(oldest(now), now, pr.Longest(Fresh), l)
}

// wantsReconcile reports whether a reconcile walk is under way or due.
func wantsReconcile(cp schema.Checkpoint, pr Progress, now time.Time, l Limits) bool {
	if l.ReconcileInterval <= 0 {
		return false
	}
	return pr.reconcile.unfinished(now) || now.Sub(cp.ReconciledThrough) >= l.ReconcileInterval
}

// nextReconcile is the next window of the reconcile walk. It never begins further back than History, so it is never
// refused as too old, however long the walk stands.
func nextReconcile(cp schema.Checkpoint, pr Progress, now time.Time, l Limits) Window {
	anew := begin(Reconcile, latest(cp.ReconciledThrough.Add(-max(0, l.Lookback)), cp.Floor), now)
	return standing(pr.reconcile, anew, oldest(now), now).window(oldest(now), now, pr.Longest(Reconcile), l)
}

// standing is the walk to go on with: s, or a new one when s is over or since has overtaken it.
func standing(s, anew span, since, now time.Time) span {
	if s.unfinished(now) && !since.After(s.target) {
		return s
	}
	return anew
}
