package kafka

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"departures/connector/kafka/kafkatest"
)

// owner goes through Assigned as the connector does, and tells what it owns.
type owner struct {
	mu     sync.Mutex
	owned  []int32
	sets   int
	err    error
	stop   context.CancelFunc
	ended  chan struct{}
	onEach func(owned []int32) // the body
}

func own(t *testing.T, ctx context.Context, c *Cluster, body func(owned []int32)) *owner {
	ctx, stop := context.WithCancel(ctx)
	o := &owner{stop: stop, ended: make(chan struct{}), onEach: body}
	go o.run(c.Assigned(ctx))
	t.Cleanup(func() {
		stop()
		<-o.ended
	})
	return o
}

func (o *owner) run(assigned iter.Seq2[[]int32, error]) {
	defer close(o.ended)
	for owned, err := range assigned {
		o.mu.Lock()
		o.owned, o.err = owned, err
		o.sets++
		o.mu.Unlock()
		if o.onEach != nil {
			o.onEach(owned)
		}
	}
}

func (o *owner) has() []int32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.owned)
}

func (o *owner) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// leaves stops the owner and waits.
func (o *owner) leaves() {
	o.stop()
	<-o.ended
}

var all12 = []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}

// shared says whether the owners have all partitions between them, each one once, and each owner its part.
func shared(owners ...*owner) bool {
	var all []int32
	for _, o := range owners {
		part := o.has()
		if len(part) != 12/len(owners) {
			return false
		}
		all = append(all, part...)
	}
	slices.Sort(all)
	return slices.Equal(all, all12)
}

func TestOwnership(t *testing.T) {
	t.Parallel()
	ctx := within(t, 40*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	a := own(t, ctx, c, nil)
	eventually(t, ctx, "one instance owns everything", func() bool { return shared(a) })
	b := own(t, ctx, c, nil)
	eventually(t, ctx, "two instances share", func() bool { return shared(a, b) })

	began := time.Now()
	b.leaves()
	eventually(t, ctx, "a graceful stop hands over", func() bool { return shared(a) })
	took := time.Since(began) // a heartbeat and a rebalance: well under a second on an idle machine
	t.Logf("handing over took %v", took.Round(time.Millisecond))
	if took > 2*time.Second {
		t.Errorf("handing over took %v", took)
	}
	if got := b.has(); len(got) > 0 {
		t.Errorf("the body was not told that %v are no longer ours", got)
	}
}

// TestSuccessorTakesOverAtOnce: nobody else is in the group, and the partitions are not held back until the session timeout.
func TestSuccessorTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	for name, instanceID := range map[string]string{"dynamic member": "", "static member": "pod-0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			cfg := config(t, kafkatest.Brokers(t))
			cfg.InstanceID = instanceID
			c := prepared(t, ctx, cfg)
			a := own(t, ctx, c, nil)
			eventually(t, ctx, "the first owns everything", func() bool { return shared(a) })
			a.leaves()
			described, err := admin(t, cfg).DescribeGroups(ctx, cfg.Group)
			if err != nil || len(described[cfg.Group].Members) > 0 {
				t.Errorf("after a graceful stop the group still has %d members (%v)", len(described[cfg.Group].Members), err)
			}
			cfg.InstanceID = ""
			began := time.Now()
			b := own(t, ctx, prepared(t, ctx, cfg), nil)
			eventually(t, ctx, "the second owns everything", func() bool { return shared(b) })
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("taking over took %v", took)
			}
		})
	}
}

// TestStaticMemberTakesItsPartitionsBack: killed, and started again with the same instance id.
func TestStaticMemberTakesItsPartitionsBack(t *testing.T) {
	t.Parallel()
	ctx := within(t, 40*time.Second)
	var cutter kafkatest.Cutter
	cfg := config(t, kafkatest.Brokers(t))
	other := own(t, ctx, prepared(t, ctx, cfg), nil)
	cfg.InstanceID = "pod-0"
	killed := cfg
	killed.Dial = cutter.Dial
	a := own(t, ctx, prepared(t, ctx, killed), nil)
	eventually(t, ctx, "two instances share", func() bool { return shared(a, other) })
	before, sets := a.has(), other.sets
	cutter.Cut()
	a.leaves()
	began := time.Now()
	b := own(t, ctx, prepared(t, ctx, cfg), nil)
	eventually(t, ctx, "it has its partitions back", func() bool { return slices.Equal(b.has(), before) })
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("that took %v", took)
	}
	if other.sets != sets {
		t.Errorf("the other instance saw %d changes", other.sets-sets)
	}
}

func TestTwoLiveInstancesWithOneID(t *testing.T) {
	t.Parallel()
	ctx := within(t, 40*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	cfg.InstanceID = "pod-0"
	c := prepared(t, ctx, cfg)
	older := own(t, ctx, c, nil)
	eventually(t, ctx, "the older owns everything", func() bool { return shared(older) })
	newer := own(t, ctx, prepared(t, ctx, cfg), nil)
	eventually(t, ctx, "the newer owns everything", func() bool { return shared(newer) })
	select {
	case <-older.ended:
	case <-ctx.Done():
		t.Fatal("the older goes on")
	}
	refusedFor(t, older.failure(), "KAFKA_INSTANCE_ID", "pod-0", cfg.Group)
	// It did not throw the newer one out when it went.
	described, err := admin(t, cfg).DescribeGroups(ctx, cfg.Group)
	if err != nil || len(described[cfg.Group].Members) != 1 {
		t.Errorf("the group has %d members (%v)", len(described[cfg.Group].Members), err)
	}
}

// TestRevocationWaitsForTheBody: a partition is not given to another before the work on it has stopped.
func TestRevocationWaitsForTheBody(t *testing.T) {
	t.Parallel()
	ctx := within(t, 40*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	var mu sync.Mutex
	working := map[int32]string{} // who works on a partition
	body := func(who string, pause time.Duration) func([]int32) {
		return func(owned []int32) {
			mu.Lock()
			var stopping []int32
			for p, by := range working {
				if by == who && !slices.Contains(owned, p) {
					stopping = append(stopping, p)
				}
			}
			mu.Unlock()
			if len(stopping) > 0 {
				<-time.After(pause) // the work takes that long to stop
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range stopping {
				delete(working, p)
			}
			for _, p := range owned {
				if by := working[p]; by != "" && by != who {
					t.Errorf("%s was given partition %d while %s still worked on it", who, p, by)
				}
				working[p] = who
			}
		}
	}
	a := own(t, ctx, c, body("a", 700*time.Millisecond))
	eventually(t, ctx, "one instance owns everything", func() bool { return shared(a) })
	b := own(t, ctx, c, body("b", 0))
	eventually(t, ctx, "two instances share", func() bool { return shared(a, b) })
	a.leaves()
	eventually(t, ctx, "the other owns everything", func() bool { return shared(b) })
}

func TestBreakingOutLeaves(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	for range 2 {
		for owned, err := range c.Assigned(ctx) {
			if err != nil || !slices.Equal(owned, all12) {
				t.Errorf("got %v, %v", owned, err)
			}
			break
		}
	}
}

// TestPartitionsBeyondMeta: the topic was enlarged; what was added holds no organisation.
func TestPartitionsBeyondMeta(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	cfg := config(t, kafkatest.Brokers(t))
	c := prepared(t, ctx, cfg)
	topics := *c.topics.Load()
	topics.Partitions = 5
	c.topics.Store(&topics)
	a := own(t, ctx, c, nil)
	eventually(t, ctx, "partitions are assigned", func() bool { return len(a.has()) > 0 })
	if got := a.has(); !slices.Equal(got, []int32{0, 1, 2, 3, 4}) {
		t.Errorf("got %v", got)
	}
}

func TestSessionTimeoutThatTheBrokerDoesNotAllow(t *testing.T) {
	t.Parallel()
	ctx := within(t, 20*time.Second)
	fake := kafkatest.Fake(t, "a broker setting", kfake.GroupMinSessionTimeout(30*time.Second))
	a := own(t, ctx, prepared(t, ctx, config(t, fake.ListenAddrs())), nil)
	<-a.ended
	refusedFor(t, a.failure(), "group.min.session.timeout.ms")
}

// TestGroupErrorsAreLoggedOnceAKind: a coordinator that cannot be reached is no reason to stop, nor to fill the log.
func TestGroupErrorsAreLoggedOnceAKind(t *testing.T) {
	log := &testLog{}
	m := &member{cluster: &Cluster{log: log.logger()}, logged: map[string]bool{}}
	for range 5 {
		m.OnGroupManageError(errors.New("dial: refused"))
	}
	if got := log.lines("trying again"); got != 1 || m.fault != nil {
		t.Errorf("%d lines, %v", got, m.fault)
	}
}
