package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// patience is for what should happen soon, on a machine that does much else besides.
	patience = 45 * time.Second
	// stopBound is how long a stop may take, whatever hangs.
	stopBound = 5 * time.Second
)

// process is one run of the real program.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout logbook
	stderr logbook
	pages  logbook       // what its admin server answered
	exited chan struct{} // closed when it has ended
	code   int           // its exit code once exited is closed; -1: killed by a signal
}

// launch runs the program with arguments and nothing in its environment but env. The test's end kills it.
func launch(t testing.TB, args, env []string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		var failed *exec.ExitError
		if err := p.cmd.Wait(); err != nil && !errors.As(err, &failed) {
			t.Errorf("wait for the program: %v", err)
		}
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(p.kill)
	return p
}

// kill is SIGKILL, and waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%v cannot be sent: %v\n%s", s, err, p.tail())
	}
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// ends waits for the program's end and checks its exit code.
func (p *process) ends(within time.Duration, code int) {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		p.t.Fatalf("still running after %v\n%s", within, p.tail())
	}
	if p.code != code {
		p.t.Errorf("exit code %d, want %d\n%s", p.code, code, p.tail())
	}
}

// await polls what an outsider can see of a living process.
func (p *process) await(what string, condition func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if !p.alive() {
			p.t.Fatalf("ended with %d before %s\n%s", p.code, what, p.tail())
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited too long for %s\n%s", what, p.tail())
		}
	}
}

// says waits until the program has said a text.
func (p *process) says(text string) {
	p.t.Helper()
	p.await("it says "+text, func() bool { return p.stderr.contains(text) })
}

// lines are the log lines with a message, oldest first.
func (p *process) lines(message string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(p.stderr.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			found = append(found, fields)
		}
	}
	return found
}

// get asks the admin server; status 0 is no answer.
func (p *process) get(path string) (status int, body string) {
	p.t.Helper()
	p.says(`"msg":"started"`)
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + p.lines("started")[0]["admin"].(string) + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.TeeReader(resp.Body, &p.pages)) // the status alone counts, if it breaks off
	return resp.StatusCode, string(b)
}

// isReady waits until /readyz is 200.
func (p *process) isReady() {
	p.t.Helper()
	p.await("/readyz is 200", func() bool {
		status, _ := p.get("/readyz")
		return status == http.StatusOK
	})
}

// isNotReady waits until /readyz is 503 and gives every reason among its texts; /healthz has to be 200 all the while.
func (p *process) isNotReady(reasons ...string) {
	p.t.Helper()
	p.await("/readyz is 503 with "+strings.Join(reasons, ", "), func() bool {
		if status, body := p.get("/healthz"); status != http.StatusOK {
			p.t.Fatalf("/healthz is %d: %s", status, body)
		}
		status, body := p.get("/readyz")
		return status == http.StatusServiceUnavailable && containsAll(body, reasons)
	})
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// tail is the last of what it said, for a failure's message.
func (p *process) tail() string {
	s := p.stdout.String() + p.stderr.String()
	return s[max(0, len(s)-6000):]
}

// logbook keeps what was written to it.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.text.Bytes(), []byte(s))
}
