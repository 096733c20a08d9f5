package dingtalk

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// never is a turn that does not come, now one that is there.
func never() <-chan struct{} { return make(chan struct{}) }

func now() <-chan struct{} { return nil }

// crowd makes calls until ctx ends, so that there is always one that waits and does not yield.
func crowd(ctx context.Context, group *sync.WaitGroup, l *Limiter) {
	for range 2 {
		group.Go(func() {
			for l.wait(ctx) == nil {
			}
		})
	}
	synctest.Wait()
}

func TestCallsThatYieldAreMadeWhenNoOtherIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		began := time.Now()
		after := func(ctx context.Context) time.Duration {
			if err := l.wait(ctx); err != nil {
				t.Error(err)
			}
			return time.Since(began).Round(10 * time.Millisecond)
		}
		yielding, not := Yielding(t.Context(), never), Yielding(t.Context(), now)
		equal(t, "the first call of all", after(not), 0)
		var group sync.WaitGroup
		later := make([]time.Duration, 8)
		for i := range later {
			group.Go(func() { later[i] = after(yielding) })
		}
		synctest.Wait()
		for n := range 3 {
			equal(t, "one that does not yield", after([]context.Context{not, t.Context(), urgent(yielding)}[n]), time.Duration(n+1)*time.Second)
		}
		group.Wait()
		slices.Sort(later)
		for n, at := range later {
			equal(t, "one that yields", at, time.Duration(4+n)*time.Second)
		}
	})
}

func TestACallYieldsNoLongerThanItHasTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		crowd(ctx, &group, l)
		turn := make(chan struct{})
		began := time.Now()
		var made atomic.Int64
		for range 2 { // one waits for a place, the other for the one
			group.Go(func() {
				_ = l.wait(Yielding(ctx, func() <-chan struct{} { return turn }))
				made.Add(int64(time.Since(began)))
			})
		}
		time.Sleep(20*time.Second + 500*time.Millisecond)
		equal(t, "made before their turn", made.Load(), 0)
		close(turn)
		time.Sleep(10 * time.Second)
		if each := time.Duration(made.Load() / 2); each < 20*time.Second || 26*time.Second < each {
			t.Errorf("made %v after they began to wait, their turn came after 20.5 s", each)
		}
		cancel()
		group.Wait()
	})
}

// TestATokenIsFetchedWithoutYielding: others wait behind the call that fetches it.
func TestATokenIsFetchedWithoutYielding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		crowd(ctx, &group, l)
		i := &issuer{token: numbered(7200)}
		client := newClient(i, func(c *Config) { c.Limiter = l })
		group.Go(func() { collectContext(Yielding(ctx, never), client, 1) })
		time.Sleep(10 * time.Second)
		cancel()
		group.Wait()
		equal(t, "token calls", i.calls, 1)
		equal(t, "data calls", len(i.data), 0)
	})
}

func TestACallThatYieldsCanBeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(0.001)
		yields := Yielding(t.Context(), never)
		_ = l.wait(yields)
		ctx, cancel := context.WithCancel(yields)
		var group sync.WaitGroup
		for range 2 { // one waits for its turn, the other for the one
			group.Go(func() { equal(t, "error", l.wait(ctx), context.Canceled) })
		}
		synctest.Wait()
		cancel()
		group.Wait()
	})
}

func TestNoCallIsMadeWhileAClientIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		client := newClient(&dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
			calls++
			_, _ = io.WriteString(w, `{"records":[]}`)
		}}, func(c *Config) { c.Rate = 1 })
		collect(client, 1)
		made := calls
		held := make(chan error, 1)
		go func() { held <- collectErr(client) }()
		synctest.Wait() // it waits for its turn
		client.Hold(time.Now().Add(time.Minute))
		if err := <-held; !errors.Is(err, ErrHeld) || calls != made {
			t.Errorf("%v after %d calls", err, calls-made)
		}
		time.Sleep(time.Minute)
		if err := collectErr(client); err != nil || calls == made {
			t.Errorf("a minute later: %v after %d calls", err, calls-made)
		}
		client.Hold(time.Now().Add(time.Minute))
		client.Hold(time.Time{})
		if err := collectErr(client); err != nil {
			t.Errorf("no longer held: %v", err)
		}
	})
}

// collectErr is how asking for one page ends.
func collectErr(c *Client) error {
	for _, err := range c.LeaveRecords(context.Background(), time.Now(), time.Now()) {
		return err
	}
	return nil
}
