package main

import (
	"fmt"

	"departures/connector/promisetest"
)

// mostNamed is how many keys are printed where the count is not what it should be.
const mostNamed = 10

// count is what stands in Kafka, held against everybody who left.
type count struct {
	departures, events, attempts int
	lost, twice                  []string // keys
	breaches                     []string // of the rest of the promise, events of nobody among them
}

func countUp(a *promisetest.Account, truth []promisetest.Departure) count {
	c := count{departures: len(truth), events: len(a.Events), attempts: len(a.Attempts), breaches: a.Check()}
	var extra []string
	c.lost, c.twice, extra = a.Count(corpID, truth)
	for _, key := range extra {
		c.breaches = append(c.breaches, key+" is an event of nobody who left")
	}
	return c
}

// kept says whether the promise was kept, and put to the test at all.
func (c count) kept() bool {
	return c.events > 0 && len(c.lost)+len(c.twice)+len(c.breaches) == 0
}

// String is the demo's last line.
func (c count) String() string {
	return fmt.Sprintf("departures %d · events %d · lost %d · twice %d", c.departures, c.events, len(c.lost), len(c.twice))
}

// faults is a line for each thing that is wrong, not too many of a kind.
func (c count) faults() []string {
	var lines []string
	for _, kind := range []struct {
		name string
		all  []string
	}{{"lost", c.lost}, {"twice", c.twice}, {"broken", c.breaches}} {
		for i, text := range kind.all {
			if i == mostNamed {
				lines = append(lines, fmt.Sprintf("%s: … and %d more", kind.name, len(kind.all)-i))
				break
			}
			lines = append(lines, kind.name+": "+text)
		}
	}
	return lines
}
