package main

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

// leastLife and mostLife bound how long an instance works before the next cut is laid.
const (
	leastLife = 700 * time.Millisecond
	mostLife  = 1700 * time.Millisecond
)

// cut is a way to cut the connector off: the request to Kafka at which its network ends, and whether that one still arrives.
type cut struct {
	keys    []int16 // api keys; the first request of any of them
	when    kafkatest.When
	opening bool   // while the instance opens its session; otherwise in a transaction with departures
	means   string // what state of things that leaves
}

var (
	endTxn = []int16{kmsg.EndTxn.Int16()}
	// firstInTxn is what makes the broker begin a transaction: up to Kafka 3 a request of its own, later the first produce.
	firstInTxn = []int16{kmsg.AddPartitionsToTxn.Int16(), kmsg.Produce.Int16()}
	produce    = []int16{kmsg.Produce.Int16()}
	fence      = []int16{kmsg.InitProducerID.Int16()}
)

// cuts are all the ways, the most instructive first: a commit that took place without its owner ever knowing.
var cuts = []cut{
	{endTxn, kafkatest.Applied, false, "the broker had applied it, the connector could not know"},
	{endTxn, kafkatest.NotApplied, false, "the broker never saw it, the transaction is left open"},
	{produce, kafkatest.Applied, false, "the events lie in the log, uncommitted"},
	{firstInTxn, kafkatest.NotApplied, false, "the broker never saw it"},
	{fence, kafkatest.Applied, true, "the new instance had just fenced the old one"},
}

// plot is an order in which the cuts come.
type plot struct {
	random *rand.Rand
	left   []cut
}

func newPlot(seed uint64) *plot {
	p := &plot{random: rand.New(rand.NewPCG(seed, 0xc7)), left: slices.Clone(cuts)}
	p.shuffle(p.left[1:])
	return p
}

// next is every cut once in each round, in an order left to chance, but the most instructive one before all others.
func (p *plot) next() cut {
	if len(p.left) == 0 {
		p.left = slices.Clone(cuts)
		p.shuffle(p.left)
	}
	c := p.left[0]
	p.left = p.left[1:]
	return c
}

// life is how long the next instance works undisturbed.
func (p *plot) life() time.Duration {
	return leastLife + time.Duration(p.random.Int64N(int64(mostLife-leastLife)))
}

func (p *plot) shuffle(cs []cut) {
	p.random.Shuffle(len(cs), func(i, j int) { cs[i], cs[j] = cs[j], cs[i] })
}
