package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"departures/connector/dingtalk/dingtalktest"
)

// width is how long a line of the help is, for a terminal of 80 columns.
const width = 79

const aboutSwitches = "The switches choose between plausible behaviours of DingTalk, where nothing public settles which one is " +
	"real. Each says the doubt that it stands for. S2 to S25 are the rules in the package comment of dingtalktest."

// usage is the help: first the flags of the command itself, then every switch under its rule, then the names of faults.
func usage(w io.Writer, f *flag.FlagSet) {
	switches := map[string]bool{}
	for _, x := range dingtalktest.AllSwitches() {
		switches[x.Name] = true
	}
	fmt.Fprint(w, "dingtalksim serves a simulated DingTalk with invented people.\n\n")
	f.VisitAll(func(g *flag.Flag) {
		if !switches[g.Name] {
			takes, text := flag.UnquoteUsage(g)
			if g.DefValue != "" && g.DefValue != "0" && g.DefValue != "0s" {
				text += " (default " + g.DefValue + ")"
			}
			tell(w, strings.TrimSpace("-"+g.Name+" "+takes), text)
		}
	})
	paragraph(w, "\n", aboutSwitches)
	rule := ""
	for _, x := range dingtalktest.AllSwitches() {
		if x.Rule != rule {
			rule = x.Rule
			fmt.Fprintf(w, "\n%s %s\n", rule, x.Subject)
		}
		tell(w, "-"+x.Name+" "+takes(x), x.Doubt)
	}
	var names []string
	for _, fault := range dingtalktest.Faults() {
		names = append(names, fault.Slug())
	}
	fmt.Fprint(w, "\nFaults, for -fault and the admin API\n")
	paragraph(w, "    ", strings.Join(names, ", "))
}

// takes is what a switch is set to, its default told.
func takes(x dingtalktest.Switch) string {
	switch {
	case x.IsBool():
		return ""
	case x.Kinds != nil:
		return strings.Join(x.Kinds, "|") + " (default " + x.Default + ")"
	case x.Default == "0" || x.Default == "0s":
		return x.Takes()
	}
	return x.Takes() + " (default " + x.Default + ")"
}

// tell is a flag and, under it, what it is for.
func tell(w io.Writer, name, text string) {
	fmt.Fprintln(w, "  "+strings.TrimSpace(name))
	paragraph(w, "        ", text)
}

// paragraph breaks text into lines that begin with indent.
func paragraph(w io.Writer, indent, text string) {
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > width && strings.TrimSpace(line) != "" {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = strings.TrimLeft(indent, "\n")
		}
		line += word + " "
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}
