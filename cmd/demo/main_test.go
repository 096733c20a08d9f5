package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
)

// mostColumns is how wide the narrowest terminal is that the demo is made for.
const mostColumns = 100

var lastLine = regexp.MustCompile(`^departures (\d+) · events (\d+) · lost (\d+) · twice (\d+)$`)

// shortly are the arguments of a short run, on the test's Kafka.
func shortly(length string) []string {
	args := []string{"-for", length, "-every", "300ms", "-seed", "7"}
	if kafkatest.Real() {
		args = append(args, "-brokers", os.Getenv(kafkatest.Env))
	}
	return args
}

func TestAShortRunIsCutOffAndLosesNothing(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), shortly("4s"), &stdout, &stderr); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	screen := stdout.String()
	t.Log("\n" + screen)
	if stderr.Len() > 0 {
		t.Errorf("stderr: %s", stderr.String())
	}
	departures, events, lost, twice := counted(t, screen)
	if departures < 60 || departures != events || lost+twice != 0 {
		t.Errorf("departures %d, events %d, lost %d, twice %d", departures, events, lost, twice)
	}
	if cuts, starts := strings.Count(screen, "✂"), strings.Count(screen, "↻"); cuts == 0 || starts != cuts+1 {
		t.Errorf("%d cuts and %d starts", cuts, starts)
	}
	if !strings.Contains(screen, "cut off at EndTxn, the broker had applied it, the connector could not know") {
		t.Error("the most instructive cut was not made")
	}
	event := regexp.MustCompile(`(?m)^  \d\d:\d\d:\d\d\.\d  \S.* \S+\.\d{4} .* \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ .* (s|min|h|days)$`)
	if n := len(event.FindAllString(screen, -1)); n != events {
		t.Errorf("%d lines of events, want %d", n, events)
	}
	if strings.Contains(screen, "\x1b") {
		t.Error("an escape sequence where there is no terminal")
	}
	for _, line := range strings.Split(screen, "\n") {
		if columns(line) > mostColumns {
			t.Errorf("%d columns: %s", columns(line), line)
		}
	}
}

func TestASignalEndsTheShowWithItsCount(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var stdout bytes.Buffer
	began := time.Now()
	code := run(ctx, shortly("40s"), &onFirst{w: &stdout, text: "✓", then: interrupt}, io.Discard)
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if _, events, lost, _ := counted(t, stdout.String()); events == 0 || lost != 0 {
		t.Errorf("events %d, lost %d", events, lost)
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestACompanyThatLostMoreThanWasPublishedIsExitCode1(t *testing.T) {
	code, screen := cheat(t, func(truth []promisetest.Departure) []promisetest.Departure {
		return append(truth, promisetest.Departure{UserID: "nobody.1", LeaveTime: time.Now()})
	})
	if _, _, lost, _ := counted(t, screen); code != 1 || lost != 1 {
		t.Errorf("exit code %d, lost %d, want 1 and 1", code, lost)
	}
	if !strings.Contains(screen, "\nlost: dingdemo/nobody.1@") {
		t.Error("nothing says who was lost")
	}
}

func TestAnEventOfNobodyWhoLeftIsExitCode1(t *testing.T) {
	code, screen := cheat(t, func(truth []promisetest.Departure) []promisetest.Departure { return truth[1:] })
	if code != 1 || !strings.Contains(screen, "is an event of nobody who left") {
		t.Errorf("exit code %d, and the screen ends with:\n%s", code, screen[max(0, len(screen)-500):])
	}
}

// cheat is a very short run that counts against another truth.
func cheat(t *testing.T, truth func([]promisetest.Departure) []promisetest.Departure) (int, string) {
	t.Helper()
	set, err := parse(shortly("300ms"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	s, err := newShow(t.Context(), set, &stdout, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.cluster.close()
	s.crew.cfg.Orgs[0].DingTalk.Rate = 10_000
	s.truth = func() []promisetest.Departure { return truth(s.company.truth()) }
	c, err := s.perform(t.Context())
	s.cleanUp(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.conclude(c), stdout.String()
}

func TestWhatStandsTwiceIsNotKept(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := &kgo.Record{Topic: "events", Key: []byte(corpID + "/a.1@2026-01-02T03:04:05Z"), Value: []byte("{}")}
	c := countUp(&promisetest.Account{Events: []*kgo.Record{r, r}}, []promisetest.Departure{{UserID: "a.1", LeaveTime: at}})
	if got, want := c.String(), "departures 1 · events 2 · lost 0 · twice 1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if c.kept() {
		t.Error("and it is called kept")
	}
}

func TestNoEventAtAllIsNotKept(t *testing.T) {
	if countUp(&promisetest.Account{}, nil).kept() {
		t.Error("a demo that showed nothing proves nothing")
	}
}

func TestWrongFlagsAreExitCode2AndNameTheFlag(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"an unknown flag":             {[]string{"-fro", "20s"}, "-fro"},
		"no time at all":              {[]string{"-for", "0s"}, "-for"},
		"a pace below zero":           {[]string{"-every", "-1s"}, "-every"},
		"a broker without a port":     {[]string{"-brokers", "localhost"}, "-brokers"},
		"a spare comma":               {[]string{"-brokers", "localhost:9092,"}, "-brokers"},
		"keeping what was never made": {[]string{"-keep"}, "-keep"},
		"an argument":                 {[]string{"20s"}, "20s"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), c.args, &stdout, &stderr); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			if !strings.Contains(stderr.String(), c.says) || stdout.Len() > 0 {
				t.Errorf("stderr %q, stdout %q", stderr.String(), stdout.String())
			}
		})
	}
}

func TestAKafkaThatIsNotThereIsExitCode1(t *testing.T) {
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"-brokers", "127.0.0.1:1"}, io.Discard, &stderr); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(stderr.String(), "127.0.0.1:1") {
		t.Errorf("stderr does not name it: %s", stderr.String())
	}
}

func TestEveryCutComesOnceInEachRound(t *testing.T) {
	p := newPlot(1)
	if first := p.left[0]; first.means != cuts[0].means {
		t.Errorf("the first cut is %q", first.means)
	}
	for range 3 {
		seen := map[string]bool{}
		for range cuts {
			seen[p.next().means] = true
		}
		if len(seen) != len(cuts) {
			t.Errorf("a round of %d cuts has %d ways", len(cuts), len(seen))
		}
	}
}

func TestColumnsAreKeptWithChineseNames(t *testing.T) {
	for text, want := range map[string]string{
		"":        "      ",
		"Ada":     "Ada   ",
		"王伟":      "王伟  ",
		"欧阳志强":    "欧阳志",
		"a欧阳志":    "a欧阳 ",
		"Günther": "Günthe",
	} {
		if got := pad(text, 6); got != want {
			t.Errorf("pad(%q, 6) is %q, want %q", text, got, want)
		}
	}
}

// counted reads the last line of the screen.
func counted(t *testing.T, screen string) (departures, events, lost, twice int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(screen, "\n"), "\n")
	m := lastLine.FindStringSubmatch(lines[len(lines)-1])
	if m == nil {
		t.Fatalf("the last line is %q", lines[len(lines)-1])
	}
	var n [4]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1])
	}
	return n[0], n[1], n[2], n[3]
}

// columns is how many columns of a terminal a line takes.
func columns(line string) (n int) {
	for _, r := range line {
		n += width(r)
	}
	return n
}

// onFirst does something when a text is first written.
type onFirst struct {
	w    io.Writer
	text string
	then func()
}

func (o *onFirst) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(o.text)) {
		o.then()
	}
	return o.w.Write(p)
}
