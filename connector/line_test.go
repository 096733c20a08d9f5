package connector_test

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// line is one instance's network to the brokers. What leads to each of them can be cut or go silent, and all of it can be slow.
type line struct {
	dialer func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	slow  time.Duration    // the longest that a write, or what is read, is held up
	state map[string]state // by a broker's address; of the others it is reachable
	wires map[*wire]bool
}

// state is that of a line to a broker.
type state int

const (
	reachable state = iota
	cutOff          // connections are reset, new ones refused
	silent          // whatever is sent is swallowed and nothing comes back: connections look open, new ones are never answered
)

// String is how a failure tells it.
func (s state) String() string { return [...]string{"reachable", "cut off", "silent"}[s] }

func newLine(dialer func(ctx context.Context, network, address string) (net.Conn, error)) *line {
	return &line{dialer: dialer, state: map[string]state{}, wires: map[*wire]bool{}}
}

// dial opens a connection, if the line lets it.
func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	switch l.to(address) {
	case cutOff:
		return nil, refused
	case silent:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	conn, err := l.dialer(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state[address] == cutOff {
		conn.Close()
		return nil, refused
	}
	w := &wire{Conn: conn, line: l, address: address, deaf: l.state[address] == silent}
	l.wires[w] = true
	return w, nil
}

func (l *line) to(address string) state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state[address]
}

// become puts what leads to some brokers into a state. Connections on which bytes were swallowed are reset when it is reachable again: they
// would go on in the middle of a request.
func (l *line) become(s state, addresses ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, address := range addresses {
		l.state[address] = s
		for w := range l.wires {
			switch {
			case w.address != address:
			case s == silent:
				w.deaf = true
			case s == cutOff, w.deaf:
				w.broken = true
				w.Conn.Close()
			}
		}
	}
}

// forget makes every connection that there is go silent for good, as a firewall does that no longer knows them. New ones are whole.
func (l *line) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.wires {
		w.deaf = true
	}
}

// delay holds every write, and all that is read, up by as much as most.
func (l *line) delay(most time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = most
}

// hold is how long the next bytes are held up.
func (l *line) hold() {
	l.mu.Lock()
	most := l.slow
	l.mu.Unlock()
	if most > 0 {
		time.Sleep(rand.N(most))
	}
}

// wire is one connection over a line.
type wire struct {
	net.Conn
	line    *line
	address string
	deaf    bool // under line.mu
	broken  bool // by the line, not by the one who uses it; under line.mu
}

func (w *wire) state() (deaf, broken bool) {
	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	return w.deaf, w.broken
}

func (w *wire) Write(p []byte) (int, error) {
	w.line.hold()
	deaf, broken := w.state()
	switch {
	case broken:
		return 0, reset("write")
	case deaf:
		return len(p), nil
	}
	return w.Conn.Write(p)
}

func (w *wire) Read(p []byte) (int, error) {
	for {
		n, err := w.Conn.Read(p)
		if n > 0 {
			w.line.hold()
		}
		switch deaf, broken := w.state(); {
		case broken:
			return 0, reset("read")
		case !deaf || err != nil:
			return n, err
		}
	}
}

// reset is the error of a connection that the network has dropped.
func reset(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, syscall.ECONNRESET)}
}

func (w *wire) Close() error {
	w.line.mu.Lock()
	delete(w.line.wires, w)
	w.line.mu.Unlock()
	return w.Conn.Close()
}

// gate is one instance's network to DingTalk. It notes when each organisation was asked for leave records.
type gate struct {
	calls http.RoundTripper

	mu    sync.Mutex
	shut  bool
	asked map[string][]time.Time // by host
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	shut := g.shut
	if !shut && strings.HasSuffix(r.URL.Path, "/empLeaveRecords") {
		g.asked[r.URL.Host] = append(g.asked[r.URL.Host], time.Now())
	}
	g.mu.Unlock()
	if shut {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
	}
	return g.calls.RoundTrip(r)
}

func (g *gate) become(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
}

// since are the times at which a host was asked, from a time on.
func (g *gate) since(host string, from time.Time) (times []time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, at := range g.asked[host] {
		if !at.Before(from) {
			times = append(times, at)
		}
	}
	return times
}
