package connector_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"departures/connector"
)

var update = flag.Bool("update", false, "write the README's table of variables anew")

// TestTheREADMEListsEveryVariable holds the README's table against the variables that the program knows, in the same order.
func TestTheREADMEListsEveryVariable(t *testing.T) {
	const path, head, tail = "../README.md", "## Configuration\n", "\n## "
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), head)
	section, after, ended := strings.Cut(rest, tail)
	i := strings.Index(section, "| variable |")
	if !found || !ended || i < 0 {
		t.Fatal("the README has no table of variables")
	}
	var want strings.Builder
	want.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	for _, v := range connector.Variables() {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", v.Name, v.Default, v.Meaning)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+head+section[:i]+want.String()+tail+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := section[i:]; got != want.String() {
		t.Errorf("the README's table is not that of the program:\n%s\nwant\n%s", got, want.String())
	}
}

// TestTheREADMETellsEveryTrouble holds the README's table of troubles against the verdicts.
func TestTheREADMETellsEveryTrouble(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range slices.Concat(table(), tokenTable(), []row{{says: walkBegunAgain}}) {
		if !strings.Contains(string(b), "\n| `"+r.says+"` | ") {
			t.Errorf("the README does not tell of %q", r.says)
		}
	}
}
