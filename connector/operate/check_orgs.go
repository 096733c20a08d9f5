package operate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"departures/connector"
	"departures/connector/dingtalk"
)

// spelledOut is up to how many organisations each has a section of its own, with all that was found. Of more it is said what is wrong with
// which, and which have nothing wrong: a fault must not hide among a thousand lines that all is well.
const spelledOut = 5

// gathering is findings about organisations: what is the same for several stands there once.
type gathering struct {
	found   []Finding
	corpIDs map[Finding][]string
}

func (g *gathering) add(corpID, subject string, l Level, format string, args ...any) {
	f := Finding{Subject: subject, Level: l, Text: fmt.Sprintf(format, args...)}
	if g.corpIDs == nil {
		g.corpIDs = map[Finding][]string{}
	}
	if g.corpIDs[f] == nil {
		g.found = append(g.found, f)
	}
	g.corpIDs[f] = append(g.corpIDs[f], corpID)
}

// findings names the organisations in the subject of each finding.
func (g *gathering) findings() (all []Finding) {
	for _, f := range g.found {
		subject := "organisation " + strings.Join(g.corpIDs[f], ", ")
		if f.Subject != "" {
			subject += ": " + f.Subject
		}
		all = append(all, Finding{Subject: subject, Level: f.Level, Text: f.Text})
	}
	return all
}

// together makes one section of those of many organisations.
func together(orgs []connector.Org, sections []Section) Section {
	s := Section{Title: fmt.Sprintf("DingTalk: %d organisations", len(orgs))}
	var wrong gathering
	var well []string
	for i, o := range orgs {
		before := len(well)
		well = append(well, o.CorpID)
		for _, f := range sections[i].Findings {
			if f.Level != Fine {
				well = well[:before]
				wrong.add(o.CorpID, f.Subject, f.Level, "%s", f.Text)
			}
		}
	}
	s.Findings = wrong.findings()
	if len(well) > 0 {
		s.add("nothing is wrong with "+counted(len(well), "organisation"), Fine, "%s", strings.Join(well, ", "))
	}
	s.Traits = tally(sections)
	return s
}

// tally makes one table of the traits of many organisations: what all of them show that show anything, and how many show what.
func tally(sections []Section) (all []dingtalk.Trait) {
	var counts []map[string]int // of each trait: how many organisations show what; "" cannot be told
	for _, s := range sections {
		for n, t := range s.Traits { // in one order always
			if n == len(all) {
				all, counts = append(all, dingtalk.Trait{Switch: t.Switch}), append(counts, map[string]int{})
			}
			counts[n][t.Seen]++
		}
	}
	for n, count := range counts {
		shown := slices.Sorted(maps.Keys(count))
		var how []string
		for _, seen := range shown {
			how = append(how, fmt.Sprintf("%s %d", cmp.Or(seen, "not told"), count[seen]))
		}
		all[n].How = "organisations: " + strings.Join(how, ", ")
		if told := slices.DeleteFunc(shown, func(seen string) bool { return seen == "" }); len(told) == 1 {
			all[n].Seen = told[0]
		}
	}
	return all
}
