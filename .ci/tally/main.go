// Command tally makes the output of go test -json readable again, and counts.
//
//	go test -json ./... | tally LABEL FILE
//
// On standard output stands what go test without -v prints: the closing line of each package, and the whole output of
// every test that failed or never ended. The counts go to the end of FILE as one line that begins with LABEL. A test
// with subtests is not counted, its subtests are. Tests that call t.Attr("broker", name), or have a parent that does,
// are counted a second time, by that name.
//
// The exit code is 1 when anything failed, and also when no test passed: a run without tests proves nothing.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// event is a line of go test -json, as `go doc test2json` describes it.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Key     string // of an attribute
	Value   string
}

// run is what is known of one package until it ends.
type run struct {
	events  []event             // those with output, in order
	ended   map[string]string   // test → pass, fail or skip
	parents map[string]struct{} // tests that have subtests
	brokers map[string]string   // test → broker
}

// counts adds up the packages that ended.
type counts struct {
	passed, failed, skipped int
	broken                  int // packages that failed, whatever their tests did
	brokers                 map[string]int
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go test -json ./... | tally LABEL FILE")
		os.Exit(2)
	}
	c, err := tally(os.Stdin, os.Stdout)
	if err == nil {
		err = note(os.Args[2], os.Args[1]+": "+c.String())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
	if c.failed > 0 || c.broken > 0 || c.passed == 0 {
		os.Exit(1)
	}
}

// tally reads events to their end and shows what a person wants to see of them.
func tally(in io.Reader, out io.Writer) (counts, error) {
	c := counts{brokers: map[string]int{}}
	runs := map[string]*run{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			c.take(line, runs, out)
		}
		if err == io.EOF {
			return c.rest(runs, out), nil
		}
		if err != nil {
			return c, err
		}
	}
}

// take adds one line. What is no event (go itself had something to say) is shown as it is.
func (c *counts) take(line string, runs map[string]*run, out io.Writer) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(out, line)
		return
	}
	if e.Action == "build-output" {
		fmt.Fprint(out, e.Output)
	}
	if e.Package == "" {
		return
	}
	r := runs[e.Package]
	if r == nil {
		r = &run{ended: map[string]string{}, parents: map[string]struct{}{}, brokers: map[string]string{}}
		runs[e.Package] = r
	}
	r.add(e)
	if e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
		c.close(r, e.Action == "fail", out)
		delete(runs, e.Package)
	}
}

// rest closes the packages whose end never came: go test was killed.
func (c counts) rest(runs map[string]*run, out io.Writer) counts {
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		fmt.Fprintf(out, "%s did not end\n", name)
		c.close(runs[name], true, out)
	}
	return c
}

func (r *run) add(e event) {
	switch e.Action {
	case "output":
		r.events = append(r.events, e)
	case "run":
		for parent := above(e.Test); parent != ""; parent = above(parent) {
			r.parents[parent] = struct{}{}
		}
	case "attr":
		if e.Key == "broker" {
			r.brokers[e.Test] = e.Value
		}
	case "pass", "fail", "skip":
		if e.Test != "" {
			r.ended[e.Test] = e.Action
		}
	}
}

// close shows a package that has ended, and counts its tests.
func (c *counts) close(r *run, failed bool, out io.Writer) {
	for _, e := range r.events {
		if r.worth(e, failed) {
			fmt.Fprint(out, e.Output)
		}
	}
	if failed {
		c.broken++
	}
	for test, action := range r.ended {
		if _, isParent := r.parents[test]; isParent {
			continue
		}
		switch action {
		case "pass":
			c.passed++
		case "fail":
			c.failed++
		case "skip":
			c.skipped++
			continue
		}
		if broker := r.broker(test); broker != "" {
			c.brokers[broker]++
		}
	}
}

// worth tells whether a line of output is shown. Of a package that passed only its closing line is, of one that failed
// everything except the output of tests that passed.
func (r *run) worth(e event, failed bool) bool {
	if failed {
		return e.Test == "" || r.ended[e.Test] != "pass" && r.ended[e.Test] != "skip"
	}
	return e.Test == "" && (strings.HasPrefix(e.Output, "ok  \t") || strings.HasPrefix(e.Output, "?   \t"))
}

// broker is the broker of a test or of the nearest parent that names one.
func (r *run) broker(test string) string {
	for ; test != ""; test = above(test) {
		if b, ok := r.brokers[test]; ok {
			return b
		}
	}
	return ""
}

func (c counts) String() string {
	s := fmt.Sprintf("%d tests passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
	if c.broken > 0 {
		s += fmt.Sprintf(", %d packages failed", c.broken)
	}
	for _, name := range slices.Sorted(maps.Keys(c.brokers)) {
		s += fmt.Sprintf("; %d of them met %s", c.brokers[name], name)
	}
	return s
}

// above is the name of the test that a subtest belongs to, "" for a test that is none. A name with a slash of its own
// gives names of tests that do not exist, which nobody asks for.
func above(test string) string {
	i := strings.LastIndexByte(test, '/')
	if i < 0 {
		return ""
	}
	return test[:i]
}

// note appends a line to a file.
func note(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}
