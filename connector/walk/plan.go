package walk

import (
	"slices"
	"time"

	"departures/schema"
)

// MaxAhead is how many windows are fetched at once, the one whose turn it is included.
const MaxAhead = 8

// Plan names the windows to fetch now: first the one that Next names, then those that will have their turn after it if all goes well.
// Of the windows that are being fetched already those keep their bounds that still have a place; the others are void. When wait is
// positive nothing is due for that long, and the plan is empty.
//
// Only windows that go on with a walk are fetched ahead of their turn: a new walk reaches to the now of its begin, and shall begin
// late. Nothing is fetched beyond a window that may be refused as too old, for then another follows.
func Plan(cp schema.Checkpoint, pr Progress, c Clock, l Limits, fetching []Window) (plan []Window, wait time.Duration) {
	s := Step{Checkpoint: cp, Progress: pr}
	for range 2 * MaxAhead { // a new walk that is passed over takes a turn too
		w, pause := Next(s.Checkpoint, s.Progress, c, l)
		if pause > 0 {
			if len(plan) == 0 {
				wait = pause
			}
			break
		}
		begun := slices.IndexFunc(fetching, w.Same)
		if begun >= 0 {
			w = fetching[begun]
		}
		if begun >= 0 || !w.first || len(plan) == 0 {
			plan = append(plan, w)
		}
		if len(plan) == MaxAhead || w.Old(c) || !s.move(w, second(c.Now), c.Uptime+l.PollInterval) {
			break
		}
	}
	return plan, wait
}
