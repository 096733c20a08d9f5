package connector_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// benchPatience is for what a child should have done long before.
const benchPatience = 10 * time.Minute

// child is this test binary run again, with a role.
type child struct {
	b       *testing.B
	cmd     *exec.Cmd
	ask     io.WriteCloser
	answers chan usage
	gone    chan struct{} // closed when it has ended
	said    string        // the file of its standard error
	began   time.Time
}

// launchChild starts a child with nothing in its environment but env. The benchmark's end ends it.
func launchChild(b *testing.B, env map[string]string) *child {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := &child{
		b: b, cmd: exec.Command(self), answers: make(chan usage, 9), gone: make(chan struct{}),
		said: filepath.Join(b.TempDir(), "stderr"),
	}
	for name, value := range env {
		if value != "" {
			c.cmd.Env = append(c.cmd.Env, name+"="+value)
		}
	}
	stderr, err := os.Create(c.said)
	if err != nil {
		b.Fatal(err)
	}
	defer stderr.Close()
	c.cmd.Stderr = stderr
	answers, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if c.ask, err = c.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	c.began = time.Now()
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go c.listen(answers)
	b.Cleanup(c.stop)
	return c
}

// listen passes on what the child says of itself, until its end.
func (c *child) listen(said io.Reader) {
	defer close(c.gone)
	for answers := json.NewDecoder(said); ; {
		var u usage
		if answers.Decode(&u) != nil {
			break
		}
		c.answers <- u
	}
	_ = c.cmd.Wait() // its state tells
}

// used is what the child has used up to now.
func (c *child) used() usage {
	c.b.Helper()
	if _, err := c.ask.Write([]byte("\n")); err != nil {
		c.b.Fatalf("the child cannot be asked: %v\n%s", err, c.tail())
	}
	return c.next()
}

// done waits for the end of a role that ends by itself.
func (c *child) done() usage {
	c.b.Helper()
	for {
		if u := c.next(); u.Done {
			return u
		}
	}
}

func (c *child) next() usage {
	c.b.Helper()
	select {
	case u := <-c.answers:
		return u
	case <-c.gone:
		c.b.Fatalf("the child ended\n%s", c.tail())
	case <-time.After(benchPatience):
		c.b.Fatalf("the child says nothing\n%s", c.tail())
	}
	return usage{}
}

// await waits until the child has brought something about.
func (c *child) await(what string, came func() bool) {
	c.b.Helper()
	for deadline := time.Now().Add(benchPatience); !came(); time.Sleep(time.Millisecond) {
		select {
		case <-c.gone:
			c.b.Fatalf("the child ended before %s\n%s", what, c.tail())
		default:
		}
		if time.Now().After(deadline) {
			c.b.Fatalf("waited too long until %s\n%s", what, c.tail())
		}
	}
}

// stop ends the child, as a signal would, and takes no other end than a good one.
func (c *child) stop() {
	c.b.Helper()
	c.ask.Close()
	late := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	<-c.gone
	late.Stop()
	if !c.cmd.ProcessState.Success() {
		c.b.Errorf("the child: %v\n%s", c.cmd.ProcessState, c.tail())
	}
}

// tail is the last of what the child said.
func (c *child) tail() string {
	text, _ := os.ReadFile(c.said)
	return string(text[max(0, len(text)-4000):])
}
