package kafka

import (
	"fmt"
	"strings"
)

// Level says how bad a Finding is.
type Level int

// The levels, from the best to the worst.
const (
	Fine    Level = iota // as it should be
	Warning              // works, but weaker than it could be, or could not be told
	Fault                // the connector would not work, or refuse to
)

// String is "fine", "warning" or "fault".
func (l Level) String() string { return [...]string{"fine", "warning", "fault"}[l] }

// Finding is one thing that [Cluster.Inspect] looked at.
type Finding struct {
	Subject string // brokers, transactions, topic <name>, state, group <name>; kafka, if it was ended before all was seen
	Level   Level
	Text    string // what was found; of a fault, and of most warnings, also the way out
}

// findings are what was found so far.
type findings []Finding

func (f *findings) fine(subject, format string, args ...any) { f.add(subject, Fine, format, args) }
func (f *findings) warn(subject, format string, args ...any) { f.add(subject, Warning, format, args) }

func (f *findings) fault(subject, format string, args ...any) {
	f.add(subject, Fault, format, args)
}

// add takes a text that is complete as it is when there are no arguments for it.
func (f *findings) add(subject string, level Level, text string, args []any) {
	if len(args) > 0 {
		text = fmt.Sprintf(text, args...)
	}
	*f = append(*f, Finding{subject, level, strings.TrimPrefix(text, "kafka: ")})
}

// texts are the texts of one level.
func (f findings) texts(level Level) []string {
	var texts []string
	for _, found := range f {
		if found.Level == level {
			texts = append(texts, found.Text)
		}
	}
	return texts
}

// faulty says whether a subject has a fault.
func (f findings) faulty(subject string) bool { return f.worst(subject) == Fault }

// worst is the worst that was found of a subject; Fine where nothing was.
func (f findings) worst(subject string) Level {
	worst := Fine
	for _, found := range f {
		if found.Subject == subject {
			worst = max(worst, found.Level)
		}
	}
	return worst
}
