package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"departures/connector"
	"departures/connector/promisetest"
)

const (
	exitKept  = 0
	exitFault = 1
	exitUsage = 2
)

const (
	// settleWithin is how long what has left may take to be published once people stop leaving: an instance may just have been
	// cut off, and a departure not be visible yet.
	settleWithin = 10 * time.Second
	// readWithin bounds the reading of the topics for the count.
	readWithin = 30 * time.Second
)

// run is the program: flags, the show, an exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	set, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitKept
	case err != nil:
		return exitUsage
	}
	s, err := newShow(ctx, set, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return exitFault
	}
	defer s.cluster.close()
	c, err := s.perform(ctx)
	s.cleanUp(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return exitFault
	}
	return s.conclude(c)
}

// show is everything on the stage.
type show struct {
	set      settings
	screen   *screen
	cluster  *cluster
	company  *company
	consumer *consumer
	crew     *crew
	truth    func() []promisetest.Departure // who left, for the count
}

// newShow builds the stage; nothing moves yet.
func newShow(ctx context.Context, set settings, stdout, stderr io.Writer) (*show, error) {
	log := slog.New(slog.DiscardHandler)
	if set.verbose {
		log = slog.New(slog.NewTextHandler(stderr, nil))
	}
	now := time.Now()
	kafka, err := openCluster(ctx, set.brokers)
	if err != nil {
		return nil, err
	}
	s := &show{set: set, screen: newScreen(stdout), cluster: kafka, company: newCompany(set.seed, set.every, now)}
	s.truth = s.company.truth
	s.crew = &crew{
		cfg:    configFor(kafka, connector.StartAt(now.Add(-history))),
		wire:   connector.Wire{DingTalk: s.company.sim.Transport()},
		screen: s.screen,
		log:    log,
		plot:   newPlot(set.seed),
	}
	if s.consumer, err = newConsumer(kafka.brokers, kafka.topics.Events, s.screen, log); err != nil {
		kafka.close()
		return nil, err
	}
	return s, nil
}

// perform shows it all, and counts.
func (s *show) perform(ctx context.Context) (count, error) {
	s.introduce()
	// Kafka, the connector and the consumer live on after ctx: what has left by then is still to be published.
	world, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	acts, curtain := context.WithTimeout(world, s.set.length)
	defer curtain()
	defer context.AfterFunc(ctx, curtain)()
	var playing sync.WaitGroup
	playing.Go(func() { s.consumer.run(world) })
	playing.Go(func() {
		if err := s.crew.run(world, acts); err != nil {
			end(err)
		}
	})
	s.company.run(acts)
	s.settle(world)
	fault := context.Cause(world)
	end(nil)
	playing.Wait()
	if fault != nil {
		return count{}, fault
	}
	read, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWithin)
	defer cancel()
	account, err := promisetest.Read(read, s.cluster.brokers, s.cluster.topics)
	if err != nil {
		return count{}, fmt.Errorf("count: %w", err)
	}
	return countUp(account, s.truth()), nil
}

func (s *show) introduce() {
	where := "Kafka in memory"
	if s.cluster.memory == nil {
		where = "your Kafka"
	}
	s.screen.line(bold, "departures: a simulated DingTalk → the connector → %s → a consumer at read_committed", where)
	s.screen.line(plain, "A year of departures, then people leave for %v. The connector is cut off again and again.", s.set.length)
	s.screen.line(plain, "Ctrl-C ends it early, with its count. Seed %d.", s.set.seed)
	if s.cluster.memory == nil {
		fate := "deleted at the end"
		if s.set.keep {
			fate = "they stay"
		}
		t := s.cluster.topics
		s.screen.line(plain, "Topics on %s, %s:\n  %s\n  %s\n  %s", strings.Join(s.cluster.brokers, ","), fate, t.Events, t.Quarantine, t.State)
	}
	s.screen.line(plain, "")
	s.screen.heading()
}

// settle waits until the consumer has seen as many departures as there were.
func (s *show) settle(world context.Context) {
	s.screen.happening(yellow, "·", "nobody leaves any more, nothing is cut any more; what is under way may arrive")
	bounded, cancel := context.WithTimeout(world, settleWithin)
	defer cancel()
	for int(s.consumer.distinct.Load()) < s.company.departures() && sleep(bounded, look) {
	}
}

// cleanUp removes what was made on a real Kafka.
func (s *show) cleanUp(ctx context.Context) {
	if s.cluster.memory != nil || s.set.keep {
		return
	}
	if err := s.cluster.remove(context.WithoutCancel(ctx)); err != nil {
		s.screen.line(yellow, "The topics could not be deleted: %v", err)
	}
}

// conclude ends with the count, and gives the exit code.
func (s *show) conclude(c count) int {
	s.screen.line(plain, "\nThe connector was cut off %d times. Records written to the events topic: %d; taken back with\naborted transactions, and seen by no consumer at read_committed: %d.",
		s.crew.cuts.Load(), c.attempts, c.attempts-c.events)
	for _, fault := range c.faults() {
		s.screen.line(red, "%s", fault)
	}
	if !c.kept() {
		s.screen.line(red, "%v", c)
		return exitFault
	}
	s.screen.line(bold, "%v", c)
	return exitKept
}
