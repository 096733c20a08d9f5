package connector

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// weather remembers how long one kind of trouble has lasted, and so how long the next pause is.
type weather struct {
	ruling  *ruling
	inARow  int
	backoff *backoff.ExponentialBackOff
}

// pause is how long to wait now, and whether this trouble is new. A pause that the server asked for counts when it is longer
// than the ruling's first.
func (w *weather) pause(r *ruling, asked time.Duration) (d time.Duration, first bool) {
	first = w.ruling != r
	if first {
		*w = weather{ruling: r, backoff: doubling(r.pause, r.most)}
	}
	w.inARow++
	d = w.backoff.NextBackOff()
	if w.inARow <= r.steady {
		w.backoff.Reset()
	}
	if asked > 0 {
		d = max(asked, r.pause)
	}
	return d, first
}

// doubling gives pauses from first to most, each twice the one before and up to a quarter longer by chance, never shorter. It
// never gives up.
func doubling(first, most time.Duration) *backoff.ExponentialBackOff {
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
