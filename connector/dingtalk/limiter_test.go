package dingtalk

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestACallThatDoesNotYieldWaitsBehindOneOfThoseThatDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const yielding = 8
		l := NewLimiter(1)
		if err := l.wait(t.Context()); err != nil { // the first call of all waits for nothing
			t.Fatal(err)
		}
		began := time.Now()
		after := func(ctx context.Context) time.Duration {
			if err := l.wait(ctx); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		var group sync.WaitGroup
		later := make([]time.Duration, yielding)
		for i := range yielding {
			group.Go(func() { later[i] = after(Yielding(t.Context(), func() bool { return true })) })
		}
		synctest.Wait()
		equal(t, "urgent", after(Yielding(t.Context(), func() bool { return false })), 2*time.Second)
		equal(t, "urgent although its context yields", after(urgent(Yielding(t.Context(), func() bool { return true }))), 4*time.Second)
		group.Wait()
		equal(t, "the last of all", slices.Max(later), (yielding+2)*time.Second)
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
