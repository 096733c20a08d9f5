package kafkatest

import (
	"encoding/binary"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// conn is one connection through a Cutter. A client may write several requests at once, or one in pieces: both directions
// are cut into frames first, and only whole frames go on.
type conn struct {
	net.Conn
	cutter *Cutter
	once   sync.Once
	closed chan struct{}

	writing sync.Mutex
	out     []byte // an incomplete request

	reading sync.Mutex
	in      []byte // an incomplete answer
	ready   []byte // whole answers for the client

	mu      sync.Mutex
	awaited *request // the request whose answer brings the cut
}

type request struct {
	key         int16
	correlation int32
}

// Close closes the connection. If it held the last request, whose answer has not come, the cut comes now.
func (k *conn) Close() error {
	err := net.ErrClosed
	k.once.Do(func() {
		close(k.closed)
		err = k.Conn.Close()
		k.cutter.forget(k)
		k.mu.Lock()
		last := k.awaited
		k.awaited = nil
		k.mu.Unlock()
		if last != nil {
			k.cutter.cut(last.key)
		}
	})
	return err
}

// Write sends the whole requests among what was written so far.
func (k *conn) Write(p []byte) (int, error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.out = append(k.out, p...)
	for {
		frame, rest, ok := nextFrame(k.out)
		if !ok {
			return len(p), nil
		}
		if err := k.send(frame); err != nil {
			return 0, err
		}
		k.out = rest
	}
}

// send sends one request, or does to it what the cutter says.
func (k *conn) send(frame []byte) error {
	r := request{int16(binary.BigEndian.Uint16(frame[4:])), int32(binary.BigEndian.Uint32(frame[8:]))}
	what, wait := k.cutter.count(r.key)
	for wait != nil {
		select {
		case <-wait:
		case <-k.closed:
			return reset("write")
		case <-time.After(holdBound):
			k.cutter.cut(-1)
		}
		what, wait = k.cutter.count(r.key)
	}
	switch what {
	case swallow:
		return nil
	case tooLate:
		return reset("write")
	case cutBefore:
		k.cutter.cut(r.key)
		return reset("write")
	case cutAfter:
		k.mu.Lock()
		k.awaited = &r
		k.mu.Unlock()
	}
	_, err := k.Conn.Write(frame)
	return err
}

// Read gives the client what whole answers have come.
func (k *conn) Read(p []byte) (int, error) {
	k.reading.Lock()
	defer k.reading.Unlock()
	var buf [16 << 10]byte
	for len(k.ready) == 0 {
		n, err := k.Conn.Read(buf[:])
		if k.cutter.isFrozen() {
			n = 0
		}
		k.in = append(k.in, buf[:n]...)
		if !k.receive() {
			return 0, reset("read")
		}
		if err != nil && len(k.ready) == 0 {
			return 0, err
		}
	}
	n := copy(p, k.ready)
	k.ready = k.ready[n:]
	return n, nil
}

// receive moves whole answers to ready; false if one of them was the last.
func (k *conn) receive() bool {
	for {
		frame, rest, ok := nextFrame(k.in)
		if !ok {
			return true
		}
		k.mu.Lock()
		last := k.awaited
		if last != nil && last.correlation == int32(binary.BigEndian.Uint32(frame[4:])) {
			k.awaited = nil
			k.mu.Unlock()
			k.cutter.cut(last.key)
			return false
		}
		k.mu.Unlock()
		k.ready = append(k.ready, frame...)
		k.in = rest
	}
}

// nextFrame splits the first whole frame off: its size, and as many bytes.
func nextFrame(b []byte) (frame, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, b, false
	}
	size := 4 + int(binary.BigEndian.Uint32(b))
	if len(b) < size || size < 8 {
		return nil, b, false
	}
	return b[:size], b[size:], true
}

// reset is the error of a connection that the other side, or the network, has dropped.
func reset(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, syscall.ECONNRESET)}
}
