package connector

import (
	"maps"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// sayAfter is how long a pause has to be for a trouble to be worth a warning at once. A shorter one is said when it comes twice in a
// row: one call in twenty may fail on a good day.
const sayAfter = 10 * time.Second

// reminder is how often a trouble that lasts is said again.
const reminder = 10 * time.Minute

// weather remembers the troubles of one organisation's calls: how long each has lasted, and so how long the next pause is. It outlives
// sessions, since what DingTalk holds against us has nothing to do with Kafka.
type weather struct {
	spells  map[*ruling]*spell
	worseAt time.Time // when a trouble of all calls was last noted: what was asked before says nothing of it
	noted   *ruling   // which it was
	clearAt time.Time // no call is made before
	trouble string    // for people, empty when all is well
	saidAt  time.Time // when somebody was warned last, zero when nobody was
}

// spell is one trouble that came once or more often since all was well.
type spell struct {
	times   int
	said    bool // to people
	backoff backoff.BackOff
}

// worsen notes one more trouble. It gives the pause before the next call, and whether this trouble is news to people. A pause that
// DingTalk asked for counts when it is longer than ours.
func (w *weather) worsen(r *ruling, asked time.Duration) (pause time.Duration, news bool) {
	if w.spells == nil {
		w.spells = map[*ruling]*spell{}
	}
	s := w.spells[r]
	if s == nil {
		s = &spell{backoff: doubling(r.pause, r.most)}
		w.spells[r] = s
	}
	s.times++
	pause = max(s.backoff.NextBackOff(), asked)
	if s.times <= r.steady {
		s.backoff.Reset()
	}
	if !r.alone {
		w.worseAt, w.noted = time.Now(), r
	}
	news = !s.said && (pause >= sayAfter || s.times > 1) || s.said && time.Since(w.saidAt) >= reminder
	if news {
		s.said, w.saidAt = true, time.Now()
	}
	return pause, news
}

// brighten says that a page came, or a whole window, and gives whether that ended a trouble, and whether people should hear of it. That
// a walk had to begin again is not forgotten before a window is whole: its first page always comes.
func (w *weather) brighten(whole bool) (cleared, news bool) {
	if again := w.spells[nextToken]; again != nil && !whole {
		w.spells = map[*ruling]*spell{nextToken: again}
		return false, false
	}
	cleared, news = w.trouble != "", !w.saidAt.IsZero()
	*w = weather{}
	return cleared, news
}

// lesser reports whether the trouble that was noted last asks for a shorter pause than another one of the same moment.
func (w *weather) lesser(r *ruling, asked time.Duration) bool {
	pause := max(r.pause, asked)
	if r == w.noted {
		pause = asked
	}
	return time.Now().Add(pause).After(w.clearAt)
}

// general reports whether there is a trouble that concerns all calls.
func (w *weather) general() bool {
	for r := range w.spells {
		if !r.alone {
			return true
		}
	}
	return false
}

// lift says that a page came of a window whose turn it is not, which ends the troubles that concern all calls; and gives whether there is
// none left, and whether people should hear of it.
func (w *weather) lift() (cleared, news bool) {
	before := len(w.spells)
	maps.DeleteFunc(w.spells, func(r *ruling, _ *spell) bool { return !r.alone })
	if len(w.spells) == before {
		return false, false
	}
	w.clearAt = time.Time{}
	if len(w.spells) > 0 {
		return false, false
	}
	return w.brighten(true)
}

// doubling gives pauses from first to most, each twice the one before and up to a quarter longer by chance, never shorter; where first
// is most already, it is that and no longer. It never gives up.
func doubling(first, most time.Duration) backoff.BackOff {
	if first == most {
		return backoff.NewConstantBackOff(first)
	}
	const spread = 1.0 / 9 // of a middle 9/8 as long: from 1 to 1.25
	middle := func(d time.Duration) time.Duration { return d + d/8 }
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(middle(first)),
		backoff.WithMaxInterval(middle(most)),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(spread),
		backoff.WithMaxElapsedTime(0),
	)
	b.Reset()
	return b
}
