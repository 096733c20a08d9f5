package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// sessionTimeout is how long the group waits for a member that died before it gives its partitions away.
	sessionTimeout = 15 * time.Second
	// heartbeatInterval, where Config.Heartbeat is 0, is how soon a member hears that another has left or joined. kgo's 3 s would be most of a hand-over.
	heartbeatInterval = 750 * time.Millisecond
	// handOverBound is how long a revocation waits for the work on the partitions to stop. What then still goes on is
	// fenced by the next owner's session.
	handOverBound = 5 * time.Second
	// rebalanceTimeout is how long the group waits in a rebalance for a member that it still counts as living, such as one whose answer
	// was lost, and, kgo's 10 s more, how long a member waits for the answer. By kgo's minute a rough network would hold everybody up for as long.
	rebalanceTimeout = handOverBound
	// groupPause is between two attempts to take part in a group that cannot be had. kgo's own grows to 5 s, by all failures since
	// the last rebalance, however long ago, and nothing is published meanwhile.
	groupPause = 500 * time.Millisecond
	// leaveBound bounds the goodbye to the group.
	leaveBound = time.Second
)

// Assigned joins the group and yields the whole set of state partitions that are this instance's to work on, sorted, first
// when the group has decided (an empty set is a standby) and then after each change.
//
// The body starts and stops work, waits until what it stopped has stopped, and comes back for the next element: that is
// the sign for which a revocation waits, 5 s at most. A set that only lost partitions because the group threw this member
// out is not waited for.
//
// When ctx ends, an empty set is yielded a last time if partitions were ours, and when the body comes back the group is
// left, so that another instance takes over at once. Breaking out of the loop leaves as well. An error is the last element:
// a *Refusal when only a person can help (another live instance has the same instance id, a right is missing, the broker
// does not allow our session timeout). What the group cannot do at the moment is logged once a kind, and tried for ever.
func (c *Cluster) Assigned(ctx context.Context) iter.Seq2[[]int32, error] {
	return func(yield func([]int32, error) bool) {
		m, err := c.join()
		if err != nil {
			yield(nil, err)
			return
		}
		defer m.leave()
		for {
			owned, version, err := m.next(ctx)
			switch {
			case err != nil:
				yield(nil, err)
				return
			case ctx.Err() != nil:
				if len(m.yielded) > 0 {
					yield([]int32{}, nil)
				}
				return
			case !yield(owned, nil):
				return
			}
			m.cameBack(version)
		}
	}
}

// GroupError is what keeps this instance from taking part in the group since it last did, nil while nothing does. Without the
// group an empty set of partitions is no standby.
func (c *Cluster) GroupError() error {
	if err := c.group.Load(); err != nil {
		return *err
	}
	return nil
}

// member is this instance in the group.
type member struct {
	cluster    *Cluster
	cl         *client
	partitions int           // of the state that are in use
	yielded    []int32       // what the body was given last, nil before the first; the iterator's own
	changed    chan struct{} // one token: something below has changed
	gone       chan struct{} // closed when the body will not come back any more

	mu      sync.Mutex
	owned   map[int32]bool
	joined  bool          // the group has decided at least once
	version int           // of owned, grows with every change
	done    int           // the version that the body has come back from
	back    chan struct{} // closed and replaced when done grows
	fault   error
	logged  map[string]bool // kinds of group errors since the group last worked
}

// join makes the client and lets it join. Records are never fetched: the group is used for the assignment alone.
func (c *Cluster) join() (*member, error) {
	topics := c.topics.Load()
	if topics == nil {
		return nil, errNotPrepared
	}
	m := &member{
		cluster: c, partitions: topics.Partitions,
		changed: make(chan struct{}, 1), gone: make(chan struct{}),
		owned: map[int32]bool{}, back: make(chan struct{}), logged: map[string]bool{},
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(c.cfg.Group),
		kgo.ConsumeTopics(c.cfg.StateTopic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtEnd()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(sessionTimeout),
		kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.HeartbeatInterval(cmp.Or(c.cfg.Heartbeat, heartbeatInterval)),
		kgo.RetryBackoffFn(func(int) time.Duration { return groupPause + rand.N(groupPause) }),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(m.onAssigned),
		kgo.OnPartitionsRevoked(m.onRevoked),
		kgo.OnPartitionsLost(m.onLost),
		kgo.WithHooks(m),
	}
	if c.cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.cfg.InstanceID))
	}
	var err error
	if m.cl, err = c.client(opts...); err != nil {
		return nil, err
	}
	m.cl.PauseFetchTopics(c.cfg.StateTopic)
	return m, nil
}

// next waits for a set that differs from the one yielded last, for an error that ends the sequence, or for the end of ctx.
func (m *member) next(ctx context.Context) (owned []int32, version int, err error) {
	for {
		m.mu.Lock()
		owned = append([]int32{}, slices.Sorted(maps.Keys(m.owned))...)
		version, err = m.version, m.fault
		joined := m.joined
		m.mu.Unlock()
		switch {
		case err != nil || ctx.Err() != nil:
			return nil, 0, err
		case joined && (m.yielded == nil || !slices.Equal(owned, m.yielded)):
			m.yielded = owned
			return slices.Clone(owned), version, nil
		}
		m.cameBack(version) // nothing in it for the body
		select {
		case <-m.changed:
		case <-ctx.Done():
		}
	}
}

// cameBack notes that the body has dealt with a version, and lets the revocations go on that wait for it.
func (m *member) cameBack(version int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version > m.done {
		m.done = version
		close(m.back)
		m.back = make(chan struct{})
	}
}

// change changes what is owned, wakes the iterator, and gives the new version.
func (m *member) change(f func()) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	m.version++
	select {
	case m.changed <- struct{}{}:
	default:
	}
	return m.version
}

// onAssigned is called with what is new, at every rebalance, often with nothing.
func (m *member) onAssigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	m.cluster.group.Store(nil)
	m.change(func() {
		m.joined = true
		clear(m.logged)
		for _, p := range added[m.cluster.cfg.StateTopic] {
			if int(p) < m.partitions { // the topic may have been enlarged; the state lives in the first ones
				m.owned[p] = true
			}
		}
	})
}

// onRevoked is called with what has to be handed over, often with nothing. It returns when the work on it has stopped.
func (m *member) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	m.await(m.take(revoked))
}

// onLost is called when the group has thrown this member out: others may own the partitions already, and only the fence
// holds. There is nothing to wait for.
func (m *member) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	m.take(lost)
}

// take removes partitions, and gives the version without them: 0 if none of them was owned.
func (m *member) take(partitions map[string][]int32) int {
	var had bool
	version := m.change(func() {
		for _, p := range partitions[m.cluster.cfg.StateTopic] {
			had = had || m.owned[p]
			delete(m.owned, p)
		}
	})
	if !had {
		return 0
	}
	return version
}

// await waits until the body has come back from a version, handOverBound at most: the group must not hang on us.
func (m *member) await(version int) {
	bound := time.NewTimer(handOverBound)
	defer bound.Stop()
	for {
		m.mu.Lock()
		done, back := m.done, m.back
		m.mu.Unlock()
		if done >= version {
			return
		}
		select {
		case <-back:
		case <-m.gone:
			return
		case <-bound.C:
			m.cluster.log.Warn("gave partitions up before the work on them had stopped", "waited", handOverBound)
			return
		}
	}
}

// OnGroupManageError is kgo's hook for what a client that never polls would not see otherwise.
func (m *member) OnGroupManageError(err error) {
	if fault := m.fatal(err); fault != "" {
		m.change(func() { m.fault = &Refusal{Faults: []string{fault}} })
		return
	}
	m.cluster.group.Store(&err)
	m.mu.Lock()
	kind := errorKind(err)
	seen := m.logged[kind]
	m.logged[kind] = true
	m.mu.Unlock()
	if !seen {
		m.cluster.log.Warn("group "+m.cluster.cfg.Group+": trying again until it works", "err", err)
	}
}

// fatal is the fault for a group error that trying again does not change.
func (m *member) fatal(err error) string {
	cfg := m.cluster.cfg
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		return fmt.Sprintf("group %s: %v: another live instance has the same KAFKA_INSTANCE_ID %s: give each instance its own, or leave it empty",
			cfg.Group, err, cfg.InstanceID)
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return fmt.Sprintf("group %s: %v: the broker does not allow %v: make group.min.session.timeout.ms and group.max.session.timeout.ms include it",
			cfg.Group, err, sessionTimeout)
	}
	return m.cluster.inWords("join group "+cfg.Group, err)
}

// errorKind is what makes two group errors the same to a reader of the log.
func errorKind(err error) string {
	if code, ok := errors.AsType[*kerr.Error](err); ok {
		return code.Message
	}
	return fmt.Sprintf("%T", errors.Unwrap(err))
}

// leave says goodbye, so that others need not wait for the session timeout. Bounded whatever the broker does.
func (m *member) leave() {
	close(m.gone)
	m.mu.Lock()
	failed, joined := m.fault != nil, m.joined
	m.mu.Unlock()
	if m.cluster.cfg.InstanceID == "" {
		ctx, cancel := context.WithTimeout(context.Background(), leaveBound)
		defer cancel()
		if err := m.cl.LeaveGroupContext(ctx); err != nil {
			m.cluster.log.Warn("could not leave the group: the partitions stay ours until the session timeout", "err", err)
		}
		m.cl.close()
		return
	}
	m.cl.close()
	if joined && !failed { // a fenced member's instance id is another's by now
		m.leaveStatic()
	}
}

// leaveStatic removes the static member that was just closed: kgo sends no leave for one. In the other order the member
// would notice and join again.
func (m *member) leaveStatic() {
	cl, err := m.cluster.client()
	if err != nil {
		return
	}
	defer cl.close()
	ctx, cancel := context.WithTimeout(context.Background(), leaveBound)
	defer cancel()
	defer cl.bind(ctx)()
	goodbye := kadm.LeaveGroup(m.cluster.cfg.Group).InstanceIDs(m.cluster.cfg.InstanceID).Reason("graceful stop")
	if _, err := kadm.NewClient(cl.Client).LeaveGroup(ctx, goodbye); err != nil {
		m.cluster.log.Warn("could not leave the group: the partitions stay ours until the session timeout", "err", err)
	}
}
