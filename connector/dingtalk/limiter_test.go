package dingtalk

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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
		yielding, not := Yielding(t.Context(), func() bool { return true }), Yielding(t.Context(), func() bool { return false })
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

func TestACallThatYieldsCanBeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(0.001)
		yields := Yielding(t.Context(), func() bool { return true })
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
