package walk

import (
	"slices"
	"time"

	"departures/schema"
)

// MaxAhead is how many windows are fetched at once, the one whose turn it is included.
const MaxAhead = 8

// maxAge is how much further back than History a window may reach that was begun when it did not: half of what is left until DingTalk
// refuses it.
const maxAge = History + 12*time.Hour

// Plan names the windows to fetch now: first the one that Next names, then those that will have their turn after it if all goes well.
// Of the windows that are being fetched already those keep their bounds that still have a place; the others are void. When wait is
// positive nothing is due for that long, and the plan is empty.
//
// A plan has MaxAhead windows, and more only if they are being fetched already: a fresh walk of many windows does not void what has been
// fetched of the walk that it interrupts.
//
// Only windows that go on with a walk are fetched ahead of their turn: a new walk reaches to the now of its begin, and shall begin
// late. Nothing is fetched beyond a window that may be refused as too old, for then another follows.
func Plan(cp schema.Checkpoint, pr Progress, c Clock, l Limits, fetching []Window) (plan []Window, wait time.Duration) {
	s := Step{Checkpoint: cp, Progress: pr}
	var later [numKinds]bool      // walks that begin when their turn comes, by kind
	var placed [2 * MaxAhead]bool // of fetching: a walk after the one it belongs to is another
	for range 3 * MaxAhead {      // a new walk that is passed over takes a turn too
		w, pause := Next(s.Checkpoint, s.Progress, c, l)
		if pause > 0 {
			if len(plan) == 0 {
				wait = pause
			}
			break
		}
		begun := -1
		for i, f := range fetching[:min(len(fetching), 2*MaxAhead)] {
			if !placed[i] && w.Same(f) && !f.outgrown(w, second(c.Now)) {
				begun, w, placed[i] = i, f, true
				break
			}
		}
		later[w.Kind] = later[w.Kind] || w.first && begun < 0 && len(plan) > 0
		if begun >= 0 || !later[w.Kind] && len(plan) < MaxAhead {
			plan = append(plan, w)
		}
		full := len(plan) >= MaxAhead
		if len(plan) == 2*MaxAhead || full && allPlaced(placed[:min(len(fetching), 2*MaxAhead)]) || w.Old(c) {
			break
		}
		if full && w.Kind == Fresh {
			s.Progress = GivenUp(s.Progress, w) // the rest of it does not matter: what it interrupts comes after it
		} else if !s.move(w, c, l) {
			break
		}
	}
	return plan, wait
}

func allPlaced(placed []bool) bool { return !slices.Contains(placed, false) }

// outgrown reports whether w has been fetched for so long that it would be refused by now, and next, which Next names in its place, would
// not.
func (w Window) outgrown(next Window, now time.Time) bool {
	return w.Start.Before(now.Add(-maxAge)) && next.Start.After(w.Start)
}
