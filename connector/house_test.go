package connector_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheHouseStandsAsDrawn holds the import rules: which wing may know which, that the core is pure, and that the program
// which ships links no fake.
func TestTheHouseStandsAsDrawn(t *testing.T) {
	for _, rule := range []struct {
		name, pkg string
		never     []string // import paths, or prefixes that end in "/"
	}{
		{
			"schema needs the standard library only", "departures/schema",
			[]string{"github.com/", "golang.org/", "departures/connector/", "net", "departures/connector"},
		},
		{
			"the encodings dial nothing", "departures/schema/avro",
			[]string{"departures/connector", "departures/schema/registry", "net/http"},
		},
		{
			"the encodings dial nothing", "departures/schema/protobuf",
			[]string{"departures/connector", "departures/schema/registry", "net/http"},
		},
		{
			"the registry's client knows neither events nor Kafka", "departures/schema/registry",
			[]string{"departures/schema", "departures/connector", "departures/connector/kafka", "github.com/twmb/franz-go/pkg/kgo"},
		},
		{
			"the example reads by the contract alone", "departures/schema/examples/watermark",
			[]string{"departures/schema", "departures/connector", "departures/connector/"},
		},
		{
			"walk is pure: no context, network, Kafka or operating system of its own", "departures/connector/walk",
			[]string{"context", "net", "net/http", "log/slog", "github.com/", "golang.org/", "departures/connector", "departures/connector/kafka", "departures/connector/dingtalk"},
		},
		{
			"the DingTalk wing knows nothing of Kafka", "departures/connector/dingtalk",
			[]string{"github.com/twmb/", "departures/schema", "departures/connector", "departures/connector/walk", "departures/connector/kafka"},
		},
		{
			"the Kafka wing knows nothing of DingTalk", "departures/connector/kafka",
			[]string{"departures/connector/dingtalk", "departures/connector", "departures/connector/walk", "github.com/twmb/franz-go/pkg/kfake"},
		},
		{
			"the hall knows nothing of those who ask it", "departures/connector",
			[]string{"departures/connector/operate", "departures/connector/admin"},
		},
		{
			"the program links no fake", "departures/cmd/departures",
			[]string{"github.com/twmb/franz-go/pkg/kfake", "departures/connector/dingtalk/dingtalktest", "departures/connector/kafka/kafkatest", "departures/connector/promisetest", "testing"},
		},
		{
			"the simulator knows nothing of its client", "departures/connector/dingtalk/dingtalktest",
			[]string{"departures/connector/dingtalk", "departures/connector", "departures/schema", "github.com/twmb/"},
		},
		{
			"the reader that checks the promise knows nothing of the connector", "departures/connector/promisetest",
			[]string{"departures/connector", "departures/connector/kafka", "departures/connector/dingtalk", "departures/connector/walk", "departures/schema"},
		},
	} {
		t.Run(rule.name, func(t *testing.T) {
			for _, dep := range deps(t, rule.pkg) {
				if dep == rule.pkg {
					continue
				}
				for _, never := range rule.never {
					if dep == never || strings.HasSuffix(never, "/") && strings.HasPrefix(dep, never) {
						t.Errorf("%s depends on %s", rule.pkg, dep)
					}
				}
			}
		})
	}
}

// deps are the packages that pkg is built from, itself included.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", pkg).Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", pkg, err)
	}
	return strings.Fields(string(out))
}

// TestWalkHasNoClockAndNoErrors reads the core's source: no function of it may ask the time or return an error.
func TestWalkHasNoClockAndNoErrors(t *testing.T) {
	files, err := filepath.Glob("walk/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				pkg, ok := n.X.(*ast.Ident)
				if ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep", "NewTimer", "Tick", "NewTicker"}, n.Sel.Name) {
					t.Errorf("%s asks the time: time.%s", file, n.Sel.Name)
				}
			case *ast.Ident:
				if n.Name == "error" {
					t.Errorf("%s speaks of errors", file)
				}
			}
			return true
		})
	}
}

// TestTheTopLevelHoldsNothingElse keeps the top of the repository as small as it is drawn. The programs that go build leaves there are
// named in .gitignore.
func TestTheTopLevelHoldsNothingElse(t *testing.T) {
	allowed := []string{"go.mod", "go.sum", "cmd", "connector", "schema", "deploy", "docker-compose.yml", "README.md"}
	ignored, err := os.ReadFile("../.gitignore")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(ignored)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "/"); ok {
			allowed = append(allowed, name)
		}
	}
	entries, err := fs.ReadDir(os.DirFS(".."), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong there", e.Name())
		}
	}
}
