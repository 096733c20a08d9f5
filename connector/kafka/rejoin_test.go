package kafka

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// cable is a network in simulated time that can be cut.
type cable struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	mu   sync.Mutex
	down bool
	ends []net.Conn
}

func (c *cable) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("the cable is cut")}
	}
	conn, err := c.dial(ctx, network, addr)
	if err == nil {
		c.ends = append(c.ends, conn)
	}
	return conn, err
}

func (c *cable) cut(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
	for _, conn := range c.ends {
		conn.Close()
	}
	c.ends = nil
}

// TestTheGroupIsSoonJoinedAgain after its brokers were gone, however long and however often.
func TestTheGroupIsSoonJoinedAgain(t *testing.T) {
	t.Parallel()
	onSimulatedTime(t, 0, func(t *testing.T, cfg Config) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		network := &cable{dial: cfg.Dial}
		cfg.Dial = network.Dial
		a := own(t, ctx, prepared(t, ctx, cfg), nil)
		defer a.leaves()
		for n := range 10 {
			eventually(t, ctx, "it owns everything", func() bool { return shared(a) })
			network.cut(true)
			time.Sleep(time.Minute + time.Duration(n)*777*time.Millisecond)
			network.cut(false)
			back := time.Now()
			eventually(t, ctx, "it owns everything again", func() bool { return shared(a) })
			if took := time.Since(back); took > 1500*time.Millisecond {
				t.Errorf("outage %d: the group was joined %v after the brokers' return", n, took)
			}
		}
	})
}
