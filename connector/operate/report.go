package operate

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"departures/connector/dingtalk"
	"departures/connector/kafka"
)

// Finding is one thing that was looked at, at any neighbour.
type Finding = kafka.Finding

// Level says how much a finding matters.
type Level = kafka.Level

// The levels, from the best to the worst.
const (
	Fine    = kafka.Fine    // needs nobody
	Warning = kafka.Warning // worth a thought: the connector works all the same
	Fault   = kafka.Fault   // keeps the connector from its work until a person mends it
)

// labels are the levels as they stand in a report: a fault has to be found at a glance.
var labels = map[Level]string{Fine: "ok", Warning: "warning", Fault: "FAULT"}

// Section is what was found at one neighbour; of DingTalk for one organisation, or for many.
type Section struct {
	Title    string
	Findings []Finding
	Traits   []dingtalk.Trait // of DingTalk only
}

func (s *Section) add(subject string, l Level, format string, args ...any) {
	s.Findings = append(s.Findings, Finding{Subject: subject, Level: l, Text: fmt.Sprintf(format, args...)})
}

// Report is everything that a check found.
type Report struct{ Sections []Section }

// Count is how many findings have a level.
func (r Report) Count(l Level) (n int) {
	for _, s := range r.Sections {
		for _, f := range s.Findings {
			if f.Level == l {
				n++
			}
		}
	}
	return n
}

// Write prints the report for people: a section after the other, a line for each finding and its text below if that is long, and the sum
// in the last line.
func (r Report) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, s := range r.Sections {
		fmt.Fprintln(out, s.Title)
		for _, f := range s.Findings {
			writeFinding(out, f)
		}
		writeTraits(out, s.Traits)
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%s, %s\n", counted(r.Count(Fault), "fault"), counted(r.Count(Warning), "warning"))
	return out.Flush() // whatever went wrong before
}

// lineWidth is how long a line of the report becomes, where words allow it.
const lineWidth = 110

func writeFinding(w io.Writer, f Finding) {
	const margin = "          "
	label := fmt.Sprintf("  %-7s ", labels[f.Level])
	line := label
	for word := range strings.FieldsSeq(f.Subject + ": " + f.Text) {
		if len(line)+1+len(word) > lineWidth && line != margin && line != label {
			fmt.Fprintln(w, line)
			line = margin
		}
		line += " " + word
	}
	fmt.Fprintln(w, line)
}

// writeTraits prints the table that is worth reporting, and how to have the same behaviour at home.
func writeTraits(w io.Writer, traits []dingtalk.Trait) {
	if len(traits) == 0 {
		return
	}
	fmt.Fprintf(w, "\n  What no document says, and DingTalk shows here (worth a report to the makers of departures):\n\n")
	fmt.Fprintf(w, "  %-22s  %-10s  %s\n", "switch", "seen", "how")
	var flags []string
	for _, t := range traits {
		fmt.Fprintf(w, "  %-22s  %-10s  %s\n", t.Switch, cmp.Or(t.Seen, "?"), t.How)
		if t.Seen != "" {
			flags = append(flags, "-"+t.Switch+"="+t.Seen)
		}
	}
	if len(flags) > 0 {
		fmt.Fprintf(w, "\n  The simulated DingTalk behaves so with: dingtalksim %s\n", strings.Join(flags, " "))
	}
}

func counted(n int, thing string) string {
	switch n {
	case 0:
		return "no " + thing
	case 1:
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
