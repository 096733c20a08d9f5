package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector"
	"departures/connector/kafka/kafkatest"
)

const (
	// restartAfter is how long a supervisor takes to see that a process is gone.
	restartAfter = 300 * time.Millisecond
	// look is how often we look whether an instance is at work.
	look = 5 * time.Millisecond
)

// crew is one instance of the connector after the other, each cut off in its turn.
type crew struct {
	cfg    connector.Config
	wire   connector.Wire
	screen *screen
	log    *slog.Logger
	plot   *plot
	dying  sync.WaitGroup // what was cut off, and still winds down without a network
	cuts   atomic.Int64
}

// instance is one run of the connector, on a network of its own to Kafka.
type instance struct {
	number  int
	began   time.Time
	runner  *connector.Runner
	network *kafkatest.Cutter
	cut     chan int16 // the api key of the request at which the network was cut
	cancel  context.CancelFunc
	done    chan struct{}
	err     error // once done is closed
}

// run keeps an instance alive until world ends, and cuts it off now and then until acts does. It returns an error when an
// instance gave up by itself, which needs a person.
func (c *crew) run(world, acts context.Context) error {
	defer c.dying.Wait()
	for n := 1; world.Err() == nil; n++ {
		if err := c.live(world, acts, n); err != nil {
			return err
		}
	}
	return nil
}

// live is the life of one instance, up to its end by a cut or by the end of the world.
func (c *crew) live(world, acts context.Context, n int) error {
	next := c.plot.next()
	i, err := c.prepare(n)
	if err != nil {
		return err
	}
	life, die := context.WithCancel(world)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer die()
	if next.opening && acts.Err() == nil {
		i.network.CutAt(1, next.when, next.keys...)
	}
	c.start(i)
	watching.Go(func() { c.watch(life, acts, i, next) })
	select {
	case key := <-i.cut:
		die()
		watching.Wait()
		c.kill(i, key, next)
		sleep(world, restartAfter)
		return nil
	case <-i.done:
		i.cancel()
		return fmt.Errorf("instance %d of the connector gave up: %w", n, reason(i.err))
	case <-world.Done():
		i.cancel()
		<-i.done // it leaves in good order
		return nil
	}
}

// prepare makes an instance that has not started.
func (c *crew) prepare(n int) (*instance, error) {
	i := &instance{number: n, network: &kafkatest.Cutter{}, cut: make(chan int16, 1), done: make(chan struct{})}
	i.network.OnCut(func(key int16) {
		select {
		case i.cut <- key:
		default:
		}
	})
	cfg, wire := c.cfg, c.wire
	cfg.Kafka.Instance = fmt.Sprintf("demo-instance-%d", n)
	wire.Kafka = i.network.Dial
	var err error
	i.runner, err = connector.New(cfg, wire, c.log.With("instance", n))
	return i, err
}

// start runs it. Nothing but a cut, or the end of the world, ends its context.
func (c *crew) start(i *instance) {
	ctx, cancel := context.WithCancel(context.Background())
	i.cancel, i.began = cancel, time.Now()
	c.screen.happening(green, "↻", "instance %d of the connector starts", i.number)
	go func() {
		defer close(i.done)
		i.err = i.runner.Run(ctx)
	}()
}

// watch says when the instance is at work, and lays the next cut some time later. A cut that was not reached when acts ends is
// taken back.
func (c *crew) watch(life, acts context.Context, i *instance, next cut) {
	if c.atWork(life, i) && !next.opening {
		c.layLater(life, acts, i, next)
	}
	select {
	case <-life.Done():
	case <-acts.Done():
		i.network.Heal()
	}
}

// atWork waits until the instance has opened its session and knows where to go on.
func (c *crew) atWork(life context.Context, i *instance) bool {
	for i.runner.Status().Orgs[corpID].Checkpoint.HighWaterMark.IsZero() {
		if !sleep(life, look) {
			return false
		}
	}
	if i.number > 1 {
		c.screen.happening(green, "✓", "instance %d has fenced whoever came before, read the ledger, and goes on (%.2f s)",
			i.number, time.Since(i.began).Seconds())
	}
	return true
}

func (c *crew) layLater(life, acts context.Context, i *instance, next cut) {
	stage, end := context.WithCancel(life)
	defer end()
	defer context.AfterFunc(acts, end)()
	if sleep(stage, c.plot.life()) {
		i.network.CutAt(1, next.when, next.keys...)
	}
}

// kill ends an instance whose network is gone, as kill -9 would: whatever it still tries reaches nobody.
func (c *crew) kill(i *instance, key int16, how cut) {
	i.network.Cut() // again: a Heal at the end of the acts may have crossed the cut
	i.cancel()
	c.dying.Go(func() { <-i.done })
	c.cuts.Add(1)
	c.screen.happening(red, "✂", "cut off at %s, %s", kmsg.NameForKey(key), how.means)
}

// reason is an error also where an instance ended without one.
func reason(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

// sleep waits, and says whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
