package dingtalk

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// Limiter bounds the calls of one app. Calls that yield are made when no other wants to be made at that moment.
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
	if turn := yields(ctx); turn != nil {
		if mayGo, err := l.yield(ctx, turn); mayGo || err != nil {
			return err
		}
	}
	if l.rate.Wait(ctx) != nil {
		// Wait fails at once when ctx will end before the call's turn; ctx is let end, so that there is one error for it.
		<-ctx.Done()
	}
	return ctx.Err()
}

// yield is wait for a call that yields until its turn comes; then it is false. Such calls queue; the first of them takes the next place
// that nobody has taken before it comes.
func (l *Limiter) yield(ctx context.Context, turn <-chan struct{}) (mayGo bool, err error) {
	select {
	case l.queue <- struct{}{}:
		defer func() { <-l.queue }()
	case <-turn:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
	for !l.rate.Allow() {
		missing := max(1-l.rate.Tokens(), 0.001) / float64(l.rate.Limit())
		select {
		case <-time.After(time.Duration(missing * float64(time.Second))):
		case <-turn:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return true, nil
}

type yieldsKey struct{}

// Yielding is a context whose calls let others of the same app go first until the channel that turn gives is closed; nil: they do not. It
// is asked before each call.
func Yielding(ctx context.Context, turn func() <-chan struct{}) context.Context {
	return context.WithValue(ctx, yieldsKey{}, turn)
}

// urgent is ctx for a call on which others wait.
func urgent(ctx context.Context) context.Context { return context.WithValue(ctx, yieldsKey{}, nil) }

// yields is closed when a call with this context need not yield any more, nil if it need not now.
func yields(ctx context.Context) <-chan struct{} {
	if turn, ok := ctx.Value(yieldsKey{}).(func() <-chan struct{}); ok {
		return turn()
	}
	return nil
}
