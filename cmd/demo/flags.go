package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	defaultLength = 20 * time.Second
	defaultEvery  = time.Second
)

// settings are what the flags say.
type settings struct {
	length  time.Duration
	every   time.Duration // on average, how often somebody leaves
	brokers []string      // of a real Kafka; none: one in this process
	keep    bool          // leave the topics on the real Kafka
	verbose bool
	seed    uint64
}

// parse reads the flags. Its errors, other than flag.ErrHelp, are wrong usage; stderr has then been told.
func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.DurationVar(&s.length, "for", defaultLength, "how long people leave and the connector is cut off")
	f.DurationVar(&s.every, "every", defaultEvery, "how often somebody leaves, on average")
	brokers := f.String("brokers", "", "a real Kafka, as `host:port[,…]`, instead of one in this process; on topics of its own")
	f.BoolVar(&s.keep, "keep", false, "with -brokers: do not delete the topics at the end")
	f.BoolVar(&s.verbose, "v", false, "the connector's log on standard error")
	f.Uint64Var(&s.seed, "seed", 0, "of everything left to chance; 0: another one each time")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if *brokers != "" {
		s.brokers = strings.Split(*brokers, ",")
	}
	if s.seed == 0 {
		s.seed = rand.Uint64N(9_999) + 1 // short enough to be typed again
	}
	if err := errors.Join(s.faults(f)...); err != nil {
		fmt.Fprintln(stderr, err)
		return s, err
	}
	return s, nil
}

// faults is everything that is wrong with the flags together.
func (s settings) faults(f *flag.FlagSet) []error {
	var wrong []error
	refuse := func(is bool, text string) {
		if is {
			wrong = append(wrong, errors.New("demo: "+text))
		}
	}
	refuse(f.NArg() > 0, fmt.Sprintf("no arguments are taken, only flags: %q", f.Args()))
	refuse(s.length <= 0, "-for is above 0")
	refuse(s.every < time.Millisecond, "-every is at least 1ms")
	refuse(s.keep && len(s.brokers) == 0, "-keep needs -brokers: a Kafka in memory keeps nothing")
	for _, b := range s.brokers {
		host, port, err := net.SplitHostPort(b)
		number, wrong := strconv.ParseUint(port, 10, 16)
		refuse(err != nil || host == "" || wrong != nil || number == 0, "-brokers is host:port, comma separated")
	}
	return wrong
}
