package connector_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"departures/connector"
)

var progressLine = regexp.MustCompile(`msg="catching up" .*through=\S+ until=\S+ percent=[0-9.]+ records_per_second=[0-9.]+ left=\S+`)

func TestHowACatchUpGetsOnIsSaid(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.rate(20)
		start := r.since(360 * day)
		r.crowd("p-", start.Add(time.Second), time.Now(), 360*40)
		began := time.Now()
		i := r.start(nil)
		status := func() *connector.CatchUp { return i.runner.Status().Orgs["dingtest"].CatchUp }
		time.Sleep(100 * time.Millisecond)
		var said []connector.CatchUp
		for c := status(); c != nil; c = status() {
			if n := len(said); n == 0 || *c != said[n-1] {
				said = append(said, *c)
			}
			if mark := i.runner.Status().Orgs["dingtest"].Checkpoint.HighWaterMark; c.Through.After(mark.Add(7*day+time.Minute)) || c.Until.After(began) {
				t.Errorf("%+v, and the mark stands at %s", *c, mark)
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("not caught up: %+v", *c)
			}
			time.Sleep(time.Second)
		}
		took := time.Since(began)
		r.rightlySaid(said, start, took)
		if at := r.log.at(`msg="caught up"`); len(at) != 1 || at[0].Sub(began) > took || at[0].Sub(began) < took-2*time.Second {
			t.Errorf("caught up after %s, and said so at %v", took, at)
		}
		time.Sleep(10 * time.Minute) // of polls
		if c := status(); c != nil || r.log.count("catching up") != len(said) {
			t.Errorf("after it: %v\n%s", c, strings.Join(r.log.lines("catching up"), ""))
		}
		r.stop(i)
		r.complete()
	})
}

// rightlySaid checks what was said of a catch-up from start on that took so long: first where it begins, then a line every five seconds.
func (r *rig) rightlySaid(said []connector.CatchUp, start time.Time, took time.Duration) {
	r.t.Helper()
	at, lines := r.log.at(`msg="catching up"`), r.log.lines(`msg="catching up"`)
	if len(said) != len(lines) || len(said) != 1+int(took/(5*time.Second)) {
		r.t.Fatalf("%d lines and %d times in the status, in %s\n%s", len(lines), len(said), took, strings.Join(lines, ""))
	}
	for n, c := range said[1:] {
		if apart := at[n+1].Sub(at[n]); apart < 5*time.Second || apart > 6*time.Second || !strings.Contains(lines[n+1], "level=INFO") || !progressLine.MatchString(lines[n+1]) {
			r.t.Errorf("%s after the one before: %s", apart, lines[n+1])
		}
		if through := "through=" + c.Through.Format("2006-01-02T15:04:05.000Z"); !strings.Contains(lines[n+1], through) {
			r.t.Errorf("the status says %s, the log %s", through, lines[n+1])
		}
		elapsed := time.Duration(n+1) * 5 * time.Second
		percent := 100 * float64(c.Through.Sub(start)) / float64(c.Until.Sub(start))
		if c.Percent < percent-0.1 || c.Percent > percent+0.1 || c.Percent < 80*float64(elapsed)/float64(took) {
			r.t.Errorf("%.1f percent after %s of %s", c.Percent, elapsed, took)
		}
		if c.PerSecond < 800 || c.PerSecond > 1000 { // 20 pages of 50, most of them full
			r.t.Errorf("%.1f records a second", c.PerSecond)
		}
		if all := elapsed + c.Left; all < took*3/4 || all > took*3/2 {
			r.t.Errorf("after %s another %s; it took %s", elapsed, c.Left, took)
		}
	}
}

func TestNoProgressIsSaidOfAnOrdinaryPoll(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		start := r.since(6 * day)
		r.crowd("p-", start, time.Now(), 2000)
		r.rate(1)
		i := r.start(nil)
		for range 20 {
			time.Sleep(5 * time.Second)
			if c := i.runner.Status().Orgs["dingtest"].CatchUp; c != nil {
				t.Errorf("%+v", c)
			}
		}
		r.stop(i)
		r.check()
		if r.log.contains("catching up") || r.log.contains("caught up") {
			t.Error("a catch-up was said")
		}
	})
}
