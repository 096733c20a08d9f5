package kafkatest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// frame is the frame of a request with nothing but its header, as far as a Cutter reads it.
func frame(key int16, correlation int32) []byte {
	b := binary.BigEndian.AppendUint32(nil, 8)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, 0)
	return binary.BigEndian.AppendUint32(b, uint32(correlation))
}

// echo is a broker that answers every request with its correlation id, after it has told of it.
func echo(t *testing.T) (addr string, seen chan int16) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	seen = make(chan int16, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var b [12]byte
				for {
					if _, err := io.ReadFull(c, b[:]); err != nil {
						return
					}
					seen <- int16(binary.BigEndian.Uint16(b[4:]))
					answer := append([]byte{0, 0, 0, 4}, b[8:]...)
					// in two pieces, so that a frame has to be put together
					c.Write(answer[:5])
					c.Write(answer[5:])
				}
			}()
		}
	}()
	return l.Addr().String(), seen
}

func dial(t *testing.T, c *Cutter, addr string) net.Conn {
	t.Helper()
	conn, err := c.Dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	return conn
}

// answer reads one answer's correlation id.
func answer(conn net.Conn) (int32, error) {
	var b [8]byte
	_, err := io.ReadFull(conn, b[:])
	return int32(binary.BigEndian.Uint32(b[4:])), err
}

func TestCutterReadsFrames(t *testing.T) {
	addr, seen := echo(t)
	var c Cutter
	conn := dial(t, &c, addr)
	two := append(frame(3, 1), frame(0, 2)...)
	for _, piece := range [][]byte{two[:7], two[7:20], two[20:], append(frame(3, 3), frame(0, 4)...)} {
		if _, err := conn.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	for want := int32(1); want <= 4; want++ {
		if got, err := answer(conn); got != want || err != nil {
			t.Errorf("answer %d, want %d (%v)", got, want, err)
		}
	}
	if c.Requests() != 4 || len(seen) != 4 {
		t.Errorf("%d requests counted, %d seen by the broker, 4 were sent", c.Requests(), len(seen))
	}
}

func TestCutter(t *testing.T) {
	for _, when := range []When{NotApplied, Applied} {
		t.Run(when.String(), func(t *testing.T) {
			addr, seen := echo(t)
			var c Cutter
			cutAt := make(chan int16, 9)
			c.OnCut(func(key int16) { cutAt <- key })
			first, second := dial(t, &c, addr), dial(t, &c, addr)
			c.CutAt(2, when, 26)
			first.Write(append(append(frame(3, 1), frame(26, 2)...), frame(3, 3)...))
			for want := int32(1); want <= 3; want++ {
				if got, err := answer(first); got != want || err != nil {
					t.Fatalf("before the cut: answer %d, want %d (%v)", got, want, err)
				}
			}
			go first.Write(append(frame(26, 4), frame(3, 5)...)) // the second waits for the cut
			if got, err := answer(first); err == nil {
				t.Errorf("answer %d came after the cut", got)
			}
			if _, err := answer(second); err == nil {
				t.Error("the other connection lived on")
			}
			want := 3
			if when == Applied {
				want = 4
			}
			if len(seen) != want {
				t.Errorf("the broker saw %d requests, want %d", len(seen), want)
			}
			if key := <-cutAt; key != 26 || len(cutAt) > 0 {
				t.Errorf("cut at %d, and %d times more", key, len(cutAt))
			}
			if _, err := c.Dial(t.Context(), "tcp", addr); err == nil {
				t.Error("a connection was opened after the cut")
			}
			c.Heal()
			third := dial(t, &c, addr)
			third.Write(frame(26, 6))
			if got, err := answer(third); got != 6 || err != nil {
				t.Errorf("after healing: answer %d (%v)", got, err)
			}
		})
	}
}

func TestFreeze(t *testing.T) {
	addr, seen := echo(t)
	var c Cutter
	conn := dial(t, &c, addr)
	c.Freeze()
	late := dial(t, &c, addr)
	for _, k := range []net.Conn{conn, late} {
		if _, err := k.Write(frame(3, 1)); err != nil {
			t.Errorf("a half-open connection said so: %v", err)
		}
		k.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := answer(k); err == nil || !err.(net.Error).Timeout() {
			t.Errorf("got %v", err)
		}
	}
	if len(seen) != 0 {
		t.Errorf("the broker saw %d requests", len(seen))
	}
	c.Heal()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := answer(conn); err == nil || err.(net.Error).Timeout() {
		t.Errorf("a connection that lost bytes goes on: %v", err)
	}
}

// TestCutterUnderKgo counts at the broker what a real client got through.
func TestCutterUnderKgo(t *testing.T) {
	for _, when := range []When{NotApplied, Applied} {
		t.Run(when.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			fake := Fake(t, "requests are counted at the broker", kfake.SeedTopics(1, "topic"))
			var c Cutter
			cl, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.DisableClientMetrics(), kgo.Dialer(c.Dial))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			stopped, stop := context.WithCancel(ctx)
			defer stop()
			c.OnCut(func(int16) { stop() })
			c.CutAt(3, when, int16(kmsg.Produce))
			for stopped.Err() == nil { // not ProduceSync: it outlives its context
				done := make(chan struct{})
				cl.Produce(stopped, &kgo.Record{Topic: "topic", Value: []byte("v")}, func(*kgo.Record, error) { close(done) })
				select {
				case <-done:
				case <-stopped.Done():
				}
			}
			records, err := ReadCommitted(ctx, fake.ListenAddrs(), "topic")
			want := 2
			if when == Applied {
				want = 3
			}
			if err != nil || len(records) != want {
				t.Errorf("%d records got through, want %d (%v)", len(records), want, err)
			}
		})
	}
}
