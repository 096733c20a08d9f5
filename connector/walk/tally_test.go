package walk

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestTally(t *testing.T) {
	w := Window{Start: noon.Add(-hour), End: noon}
	tally := func(s *session, w Window, n int, leaveTime func(i int) time.Time) *Tally {
		t := NewTally(w, s.l)
		for i := range n {
			t.Add(leaveTime(i))
		}
		return t
	}
	spread := func(i int) time.Time { return w.Start.Add(time.Duration(i%3600) * time.Second) }
	each(t, map[string]func(*session){
		"it is full above 5,000 records beside the fullest second": func(s *session) {
			s.same("full", tally(s, w, 5002, spread).Full(), false) // two in the fullest
			s.same("full", tally(s, w, 5003, spread).Full(), true)
		},
		"a bulk delete in one second never makes a window full": func(s *session) {
			s.same("full", tally(s, w, 10_000, func(int) time.Time { return noon.Add(-time.Minute) }).Full(), false)
		},
		"a second bulk delete does": func(s *session) {
			s.same("full", tally(s, w, 10_002, func(i int) time.Time { return noon.Add(-time.Duration(i%2) * time.Minute) }).Full(), true)
		},
		"what is in the seconds that are asked for but not covered does not count": func(s *session) {
			margin := []time.Time{w.Start.Add(-time.Second), w.End.Add(time.Second)}
			s.same("full", tally(s, w, 20_000, func(i int) time.Time { return margin[i%2] }).Full(), false)
		},
		"what is further outside does": func(s *session) {
			outside := []time.Time{w.Start.Add(-2 * time.Second), w.End.Add(2 * time.Second)}
			s.same("full", tally(s, w, 20_000, func(i int) time.Time { return outside[i%2] }).Full(), true)
		},
		"unreadable records count": func(s *session) {
			s.same("full", tally(s, w, 5000, func(int) time.Time { return time.Time{} }).Full(), false)
			s.same("full", tally(s, w, 5001, func(int) time.Time { return time.Time{} }).Full(), true)
		},
		"a window of one second is never full": func(s *session) {
			s.same("full", tally(s, Window{Start: noon, End: noon}, 20_000, func(int) time.Time { return time.Time{} }).Full(), false)
		},
		"without an end in the request it is full above 200,000, whatever they are": func(s *session) {
			s.l.Endless = true
			s.same("full", tally(s, w, 200_000, spread).Full(), false)
			s.same("full", tally(s, w, 200_001, func(int) time.Time { return noon }).Full(), true)
			s.same("full", tally(s, Window{Start: noon, End: noon}, 200_001, spread).Full(), true)
		},
		"the cut is the median of what counts": func(s *session) {
			seconds := []int{10, 10, 10, 10, 20, 30, 40, 50, 60}
			t := tally(s, w, len(seconds), func(i int) time.Time { return w.Start.Add(time.Duration(seconds[i]) * time.Second) })
			s.same("cut", t.cut(w), w.Start.Add(40*time.Second))
		},
		"the cut leaves something after it": func(s *session) {
			s.same("cut", tally(s, w, 9, func(i int) time.Time { return w.End.Add(-time.Duration(i%2) * time.Second) }).cut(w), w.End.Add(-time.Second))
		},
		"with a median outside the window the cut is its middle": func(s *session) {
			s.same("cut", tally(s, w, 9, func(i int) time.Time { return w.Start.Add(-time.Duration(2+i) * hour) }).cut(w), w.Start.Add(hour/2))
			s.same("cut", tally(s, w, 9, func(i int) time.Time { return w.End.Add(time.Duration(2+i) * hour) }).cut(w), w.Start.Add(hour/2))
			s.same("cut", tally(s, w, 9, func(int) time.Time { return time.Time{} }).cut(w), w.Start.Add(hour/2))
		},
	})
}

// TestPages counts the pages of 50 that a catch-up of 28 days costs against a server that shows what crowds in it in each
// order.
func TestPages(t *testing.T) {
	second := noon.Add(-10 * days)
	var bulk, twoBulks, crowd []time.Time
	for i := range 6000 {
		bulk = append(bulk, second)
		twoBulks = append(twoBulks, second, second.Add(time.Hour))
		crowd = append(crowd, second.Add(time.Duration(i*7%9000)*time.Second))
	}
	for i := range 4000 {
		bulk = append(bulk, noon.Add(-time.Duration(i)*10*time.Minute))
	}
	for sentence, c := range map[string]struct {
		left []time.Time
		most float64 // times their pages
	}{
		"6,000 in one second of a busy month are taken whole":      {bulk, 1.1},
		"6,000 in each of two seconds cost at most four times":     {twoBulks, 4},
		"6,000 within three hours cost at most twice their pages":  {crowd, 2.1},
		"all of them together cost at most four times their pages": {slices.Concat(bulk, twoBulks, crowd), 4},
	} {
		for name, order := range map[string]func(left []time.Time){
			"ascending":  func(left []time.Time) { slices.SortFunc(left, time.Time.Compare) },
			"descending": func(left []time.Time) { slices.SortFunc(left, func(a, b time.Time) int { return b.Compare(a) }) },
			"arbitrary": func(left []time.Time) {
				r := rand.New(rand.NewPCG(1, 2))
				r.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
			},
		} {
			t.Run(sentence+", "+name, func(t *testing.T) {
				left := slices.Clone(c.left)
				order(left)
				s := newSession(t)
				s.cp.HighWaterMark = noon.Add(-27 * days)
				s.l.PollInterval = 1000 * hour
				pages := 0
				for {
					w, wait := Next(s.cp, s.pr, s.c, s.l)
					if wait > 0 || w.Kind == Reconcile {
						break
					}
					tally, n := NewTally(w, s.l), 0
					for _, at := range left {
						if tally.Full() {
							break
						}
						if !at.Before(w.AskStart) && !at.After(w.AskEnd) {
							n++
							tally.Add(at)
						}
					}
					pages += n/50 + 1
					if tally.Full() {
						s.pr = Cut(s.pr, w, tally)
						continue
					}
					s.advance(w)
				}
				s.same("mark", s.cp.HighWaterMark, noon)
				if times := float64(pages) * 50 / float64(len(left)); times > c.most {
					t.Errorf("%d pages for %d records: %.1f times their pages, want at most %.1f", pages, len(left), times, c.most)
				} else {
					t.Logf("%d pages for %d records: %.1f times their pages", pages, len(left), times)
				}
			})
		}
	}
}
