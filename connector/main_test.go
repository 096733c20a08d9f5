package connector_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs more tests at once than there are cores, since they wait for Kafka most of the time, and fails when a goroutine is
// left behind (I9). Run again by a benchmark, this binary is the program that is measured.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(play(role))
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "a goroutine was left behind:", err)
		code = 1
	}
	os.Exit(code)
}
