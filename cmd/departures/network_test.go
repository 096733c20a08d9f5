package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"departures/connector/kafka/kafkatest"
)

var roughFlag = flag.Duration("rough", time.Minute, "how long the network to the brokers is rough; 30m every night")

// goesOn is how soon after the network is well again all who left meanwhile are published.
const goesOn = 10 * time.Second

// TestARoughNetworkToTheBrokers cuts connections, lets them go silent and be slow while two instances work, and lets all be well again after
// each spell of that.
func TestARoughNetworkToTheBrokers(t *testing.T) {
	t.Parallel()
	length, spell := *roughFlag, 20*time.Second
	if testing.Short() {
		length, spell = 10*time.Second, 10*time.Second
	}
	seed := drawnSeed()
	defer sayAgain(t, seed)
	draw := rand.New(rand.NewPCG(seed, 0))
	n := &roughNetwork{conns: map[*roughConn]bool{}}
	f := newFleet(t, kafkatest.Fake(t, "its network is made rough", kfake.ListenFn(n.listen)).ListenAddrs(), 2, 3)
	f.env["OVERLAP"] = "1m"
	for slot := range f.slots {
		f.board(slot)
	}
	f.shared()
	var longest time.Duration
	for began, round := time.Now(), 0; time.Since(began) < length; round++ {
		told := f.bears(n, draw, spell)
		n.heal()
		f.leaveEverywhere(fmt.Sprintf("healed-%d", round))
		took := f.published()
		longest = max(longest, took)
		if took > goesOn {
			t.Errorf("round %d: who left was published %v after the network was well again; before: %s\n%s",
				round, took, strings.Join(told, "; "), f.logs())
		}
	}
	t.Logf("it went on after %v at most", longest.Round(time.Millisecond))
	f.lands()
	f.check()
}

// bears lets a spell of rough network go by while people leave, and tells what happened.
func (f *fleet) bears(n *roughNetwork, draw *rand.Rand, spell time.Duration) (told []string) {
	stopLeaving := f.leavers(200 * time.Millisecond)
	defer stopLeaving()
	for began := time.Now(); time.Since(began) < spell; {
		what := []string{"cut", "silent", "slow", "well"}[draw.IntN(4)]
		switch what {
		case "cut":
			n.eachConn(draw, func(c *roughConn) { c.Conn.Close() })
		case "silent":
			n.eachConn(draw, func(c *roughConn) { c.deaf = true })
		case "slow":
			n.delay(500 * time.Millisecond)
		case "well":
			n.heal()
		}
		told = append(told, fmt.Sprintf("%v %s", time.Since(began).Round(time.Millisecond), what))
		<-time.After(time.Duration(draw.Int64N(int64(3 * time.Second))))
	}
	return told
}

// roughNetwork is what lies between a broker and whoever speaks to it.
type roughNetwork struct {
	net.Listener

	mu    sync.Mutex
	slow  time.Duration // the longest that anything is held up
	conns map[*roughConn]bool
}

func (n *roughNetwork) listen(network, address string) (net.Listener, error) {
	var err error
	n.Listener, err = net.Listen(network, address)
	return n, err
}

// Accept takes a connection, and remembers it.
func (n *roughNetwork) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &roughConn{Conn: conn, network: n}
	n.conns[c] = true
	return c, nil
}

// eachConn does something to every second connection, or so.
func (n *roughNetwork) eachConn(draw *rand.Rand, do func(*roughConn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if draw.IntN(2) == 0 {
			do(c)
		}
	}
}

func (n *roughNetwork) delay(most time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow = most
}

// heal makes all well again. Connections on which something was swallowed are reset.
func (n *roughNetwork) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow = 0
	for c := range n.conns {
		if c.deaf {
			c.Conn.Close()
		}
	}
}

// roughConn is a connection as the broker has it.
type roughConn struct {
	net.Conn
	network *roughNetwork
	deaf    bool // half-open: what is sent either way is swallowed; under network.mu
}

// weather holds what is sent up, and says whether it is swallowed.
func (c *roughConn) weather() (swallowed bool) {
	c.network.mu.Lock()
	slow := c.network.slow
	c.network.mu.Unlock()
	if slow > 0 {
		<-time.After(rand.N(slow))
	}
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	return c.deaf
}

func (c *roughConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.weather() {
			return n, err
		}
	}
}

func (c *roughConn) Write(p []byte) (int, error) {
	if c.weather() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// Close forgets the connection.
func (c *roughConn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}
