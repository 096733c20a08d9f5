package kafkatest

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// When says whether the request at which the network is cut still reaches the broker.
type When int

const (
	// NotApplied cuts before the request is sent: the broker never sees it.
	NotApplied When = iota
	// Applied sends the request, waits for the broker's answer, and cuts before the client sees it.
	Applied
)

// String is the case's name in a test: "not applied" or "applied".
func (w When) String() string {
	if w == Applied {
		return "applied"
	}
	return "not applied"
}

// holdBound is how long requests after the last one wait for the cut, should its answer never come.
const holdBound = 10 * time.Second

// Cutter is a network to brokers that can be cut at a chosen request, or frozen. The zero value passes everything on. It
// reads Kafka's framing, so it has to stand where bytes are plain: inside TLS nothing is counted or cut. The TLS of a secured side it
// makes itself.
//
// Every Kafka request is <size int32> <api key int16> <version int16> <correlation id int32> …, every answer <size int32>
// <correlation id int32> …; correlation ids belong to their connection.
type Cutter struct {
	mu       sync.Mutex
	conns    map[*conn]bool
	requests int
	armed    *cut          // the next cut, nil if none
	pending  chan struct{} // not nil: the last request is out and its answer awaited; closed with the cut
	down     bool
	frozen   bool
	onCut    func(key int16)
}

type cut struct {
	left int
	when When
	keys []int16
}

// Dial opens a connection through the cutter; it fits kafka.Config.Dial and kgo.Dialer.
func (c *Cutter) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	c.mu.Lock()
	down := c.down
	c.mu.Unlock()
	if down {
		return nil, refused
	}
	inner, err := Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		inner.Close()
		return nil, refused
	}
	k := &conn{Conn: inner, cutter: c, closed: make(chan struct{})}
	if c.conns == nil {
		c.conns = map[*conn]bool{}
	}
	c.conns[k] = true
	return k, nil
}

// CutAt arms the cutter: the nth request from now on (1 is the next), counting only the given api keys if there are any, is
// the last one. With it every connection is closed, and none opens until Heal. Requests that follow an Applied one wait for
// the cut.
func (c *Cutter) CutAt(n int, when When, keys ...int16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = &cut{n, when, keys}
}

// OnCut sets a function to be called after each cut, with the api key of the request that was cut at, -1 for Cut.
func (c *Cutter) OnCut(f func(key int16)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onCut = f
}

// Requests is how many requests clients have written since the cutter was made.
func (c *Cutter) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// Cut closes every connection now, and none opens until Heal.
func (c *Cutter) Cut() { c.cut(-1) }

// Freeze makes the network half-open: what is sent is swallowed, nothing comes back, and no connection is closed.
func (c *Cutter) Freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = true
}

// Heal ends a cut or a freeze, and disarms. Connections that were frozen are closed: their bytes are lost.
func (c *Cutter) Heal() {
	c.mu.Lock()
	var broken []*conn
	if c.frozen {
		broken = c.takeConns()
	}
	c.down, c.frozen, c.armed = false, false, nil
	c.release()
	c.mu.Unlock()
	for _, k := range broken {
		k.Close()
	}
}

// cut closes everything.
func (c *Cutter) cut(key int16) {
	c.mu.Lock()
	if c.down {
		c.mu.Unlock()
		return
	}
	broken := c.takeConns()
	c.down, c.armed = true, nil
	c.release()
	onCut := c.onCut
	c.mu.Unlock()
	for _, k := range broken {
		k.Close()
	}
	if onCut != nil {
		onCut(key)
	}
}

// takeConns empties the set of connections; c.mu is held.
func (c *Cutter) takeConns() []*conn {
	var all []*conn
	for k := range c.conns {
		all = append(all, k)
	}
	clear(c.conns)
	return all
}

// release lets the requests go on that wait for the cut; c.mu is held.
func (c *Cutter) release() {
	if c.pending != nil {
		close(c.pending)
		c.pending = nil
	}
}

// fate is what becomes of a request.
type fate int

const (
	pass fate = iota
	swallow
	cutBefore
	cutAfter
	tooLate // the cut has come meanwhile
)

// count decides on one more request, or gives a channel to wait on before asking again.
func (c *Cutter) count(key int16) (fate, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return tooLate, nil
	}
	if c.pending != nil {
		return pass, c.pending
	}
	c.requests++
	switch {
	case c.frozen:
		return swallow, nil
	case c.armed == nil || len(c.armed.keys) > 0 && !slices.Contains(c.armed.keys, key):
		return pass, nil
	}
	if c.armed.left--; c.armed.left > 0 {
		return pass, nil
	}
	if c.armed.when == NotApplied {
		return cutBefore, nil
	}
	c.armed = nil
	c.pending = make(chan struct{})
	return cutAfter, nil
}

func (c *Cutter) isFrozen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frozen
}

func (c *Cutter) forget(k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, k)
}
