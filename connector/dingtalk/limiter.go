package dingtalk

import (
	"context"

	"golang.org/x/time/rate"
)

// Limiter bounds the calls of one app. Calls that yield wait for each other first, so that one which does not waits behind a single
// one of them, however many there are.
type Limiter struct {
	rate  *rate.Limiter
	queue chan struct{} // holds one element while a call that yields waits for its turn
}

// NewLimiter is a limiter for all clients of one app, of so many calls a second, without a burst; 0: [DefaultRate].
func NewLimiter(perSecond float64) *Limiter {
	if perSecond <= 0 {
		perSecond = DefaultRate
	}
	return &Limiter{rate: rate.NewLimiter(rate.Limit(perSecond), 1), queue: make(chan struct{}, 1)}
}

// wait returns when a call may be made, or ctx's error.
func (l *Limiter) wait(ctx context.Context) error {
	if yields(ctx) {
		select {
		case l.queue <- struct{}{}:
			defer func() { <-l.queue }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if l.rate.Wait(ctx) != nil {
		// Wait fails at once when ctx will end before the call's turn; ctx is let end, so that there is one error for it.
		<-ctx.Done()
	}
	return ctx.Err()
}

type yieldsKey struct{}

// Yielding is a context whose calls let others of the same app go first for as long as now says so. It is asked before each call.
func Yielding(ctx context.Context, now func() bool) context.Context {
	return context.WithValue(ctx, yieldsKey{}, now)
}

// urgent is ctx for a call on which others wait.
func urgent(ctx context.Context) context.Context { return context.WithValue(ctx, yieldsKey{}, nil) }

func yields(ctx context.Context) bool {
	now, ok := ctx.Value(yieldsKey{}).(func() bool)
	return ok && now()
}
