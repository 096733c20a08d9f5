package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"departures/connector/kafka/kafkatest"
)

// frozen is an embedded broker in a process of its own, which can be stopped like any process: its connections stay open, new
// ones are accepted by the system, and nothing is answered.
type frozen struct {
	t   testing.TB
	cmd *exec.Cmd
	at  string
}

func hostedBroker(t testing.TB) *frozen {
	t.Helper()
	if kafkatest.Real() {
		t.Skip("only on kfake: a broker that others use must not be stopped")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &frozen{t: t, cmd: exec.Command(self)}
	f.cmd.Env = append(os.Environ(), hostEnv+"=1")
	f.cmd.Stderr = os.Stderr
	stdin, err := f.cmd.StdinPipe() // held open: the host ends with it
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = f.cmd.Process.Kill()
		_ = f.cmd.Wait() // it was killed
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the process that hosts a broker: %v", err)
	}
	f.at = strings.TrimSpace(line)
	return f
}

// freeze stops the broker in the middle of whatever it does, and waits until it has stopped.
func (f *frozen) freeze() {
	f.t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		f.t.Fatal(err)
	}
	var status syscall.WaitStatus
	for !status.Stopped() {
		_, err := syscall.Wait4(f.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			f.t.Fatal(err)
		}
	}
}

// thaw lets it go on.
func (f *frozen) thaw() {
	f.t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		f.t.Fatal(err)
	}
}

// silentBroker accepts connections, takes what comes and never answers.
func silentBroker(t testing.TB) (addr string, accepted <-chan struct{}) {
	l := listen(t)
	first := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}()
			select {
			case first <- struct{}{}:
			default:
			}
		}
	}()
	return l.Addr().String(), first
}

// closedPort is an address at which nobody listens.
func closedPort(t testing.TB) string {
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// happens waits for a sign.
func happens(t testing.TB, what string, sign <-chan struct{}) {
	t.Helper()
	select {
	case <-sign:
	case <-time.After(patience):
		t.Fatalf("waited too long for %s", what)
	}
}
