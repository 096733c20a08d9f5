package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"departures/connector/kafka/kafkatest"
)

// hostEnv makes this test binary, run once more, a process that only hosts an embedded broker: one that can be stopped with a
// signal, as a broker that hangs.
const hostEnv = "DEPARTURES_TEST_HOSTS_A_BROKER"

// program is the path of the real program, built once.
var program string

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the random kills; 0 draws one")
	killsFlag = flag.Int("kills", 0, "how often the program is killed at random, or a broker; 0: as often as every change needs")
)

// TestMain builds the program, and runs more tests at once than there are cores, since they wait most of the time.
func TestMain(m *testing.M) {
	if os.Getenv(hostEnv) != "" {
		hostBroker()
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(withProgram(m.Run))
}

func withProgram(run func() int) int {
	dir, err := os.MkdirTemp("", "departures")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "departures")
	if said, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, said)
		return 1
	}
	return run()
}

// hostBroker prints the address of an embedded broker and keeps it up until standard input ends, which it does with the test.
func hostBroker() {
	c, err := kafkatest.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer c.Close()
	fmt.Println(c.ListenAddrs()[0])
	_, _ = io.Copy(io.Discard, os.Stdin)
}
