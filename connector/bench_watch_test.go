package connector_test

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// watchWait bounds a fetch that finds nothing: the most by which a reader may see an event later than it could.
const watchWait = 10 * time.Millisecond

// tides looks how far a topic can be read at read_committed, while somebody writes. A reader would take a tenth of the two cores that
// the writer shares with everything else.
type tides struct {
	mu          sync.Mutex
	end         int64     // of all partitions, the markers of transactions included
	first, last time.Time // when it moved
}

// stillness is for how long a topic's end does not move once everybody has written what there is.
const stillness = time.Second

// newTides looks until the benchmark's end.
func newTides(b *testing.B, brokers []string, topic string) *tides {
	b.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics())
	if err != nil {
		b.Fatal(err)
	}
	var looking sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(func() {
		cancel()
		looking.Wait()
		cl.Close()
	})
	t := new(tides)
	looking.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(watchWait) {
			var sum int64
			ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
			if err == nil && ends.Error() == nil {
				ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
				t.see(sum, time.Now())
			}
		}
	})
	return t
}

func (t *tides) see(end int64, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if end <= t.end {
		return
	}
	t.end, t.last = end, at
	if t.first.IsZero() {
		t.first = at
	}
}

// moved is when the end moved first, and when last.
func (t *tides) moved() (first, last time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first, t.last
}

// still says whether so many records can be there, and no more come.
func (t *tides) still(records int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end >= int64(records) && time.Since(t.last) >= stillness
}

// watch reads the events topic at read_committed, from its beginning, while somebody writes.
type watch struct {
	b      *testing.B
	want   int // keys
	events atomic.Int64
	first  atomic.Pointer[time.Time] // when the first event was read; nil: not yet
	all    atomic.Pointer[time.Time] // when every key had come
	keys   map[uint64]struct{}       // by their hash; once it has ended
	end    func()                    // returns when nothing more is read
}

// newWatch starts to read. each, if it is not nil, is called for every event, by one goroutine.
func newWatch(b *testing.B, brokers []string, topic string, want int, each func(key string, at time.Time)) *watch {
	b.Helper()
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(watchWait),
		kgo.DisableClientMetrics(),
	)
	if err != nil {
		b.Fatal(err)
	}
	w := &watch{b: b, want: want, keys: make(map[uint64]struct{}, want)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cl.Close()
		for seed := maphash.MakeSeed(); ctx.Err() == nil; {
			fetches := cl.PollFetches(ctx)
			at := time.Now()
			fetches.EachRecord(func(r *kgo.Record) {
				w.keys[maphash.Bytes(seed, r.Key)] = struct{}{}
				w.events.Add(1)
				if each != nil {
					each(string(r.Key), at)
				}
			})
			w.tell(at)
		}
	}()
	w.end = func() {
		cancel()
		<-ended
	}
	b.Cleanup(w.end)
	return w
}

// tell notes what has come by now.
func (w *watch) tell(at time.Time) {
	if w.events.Load() > 0 {
		w.first.CompareAndSwap(nil, &at)
	}
	if len(w.keys) >= w.want {
		w.all.CompareAndSwap(nil, &at)
	}
}

// begun says whether an event was read, and complete whether all of them were.
func (w *watch) begun() bool    { return w.first.Load() != nil }
func (w *watch) complete() bool { return w.all.Load() != nil }

// check ends the reading, and takes nothing but every key once: a wrong run must not look fast.
func (w *watch) check() {
	w.b.Helper()
	w.end()
	if n := int(w.events.Load()); n != w.want || len(w.keys) != w.want {
		w.b.Fatalf("%d events with %d keys, want %d of each", n, len(w.keys), w.want)
	}
}
