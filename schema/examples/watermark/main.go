// Command watermark says how far the events topic of departures is complete. It is an example of a consumer of the checkpoints: it knows
// Kafka, the names of two topics and checkpoint.schema.json, and nothing else of the program that writes them. What may be concluded from a
// checkpoint stands in schema/README.md, "How far the topic is complete".
//
//	watermark                         a line for every organisation, and one more whenever something changes
//	watermark -day 2024-05-06 -zone Asia/Shanghai -wait 6h && kcat -C -b localhost:9092 -t employee-left -o beginning -e -q …
//
// A line is
//
//	ding8f2: complete through 2024-05-06T16:00:04Z, observed at 2024-05-06T16:00:05.312Z (21s ago)
//
// and goes on where there is more to say: a gap; "nothing observed", where checkpoints come and DingTalk's answers do not; "silent", where no
// checkpoint comes.
//
// With -day it ends with 0 as soon as the day is closed for every organisation that has a checkpoint, or for those that -corp names, and
// the events topic shows it: whoever then reads that topic at read_committed to its end has everything that the day's checkpoints speak of.
// It ends with 1 if the day cannot be closed (a gap touches it, or it begins before START), when -wait has passed, and when Kafka cannot be
// read; and with 2 for wrong flags. A silent organisation is waited for.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // zones, also where the system has none
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings are what the flags say.
type settings struct {
	brokers []string
	state   string
	events  string
	corpIDs []string // empty: every organisation that has a checkpoint
	silent  time.Duration
	day     *day // nil: none was asked for
	wait    time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if s.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.wait)
		defer cancel()
	}
	if err := follow(ctx, s, stdout); err != nil {
		fmt.Fprintln(stderr, "watermark:", err)
		return 1
	}
	return 0
}

// follow prints what is to be said until the day is closed, or ctx ends.
func follow(ctx context.Context, s settings, stdout io.Writer) error {
	r, err := newReader(ctx, s)
	if err != nil {
		return err
	}
	defer r.client.Close()
	said := map[string]string{} // of each organisation last, but for how long ago
	for {
		whole, err := r.read(ctx, min(time.Second, s.silent/2))
		if ctx.Err() != nil {
			return unclosed(ctx, s, r.orgs)
		}
		if err != nil {
			return err
		}
		if !whole {
			continue // what was read so far may have been superseded long ago
		}
		now := time.Now()
		for _, o := range r.chosen(s.corpIDs) {
			stands, more := o.stands(), o.more(s.silent, now)
			if said[o.corpID] != stands+more {
				said[o.corpID] = stands + more
				fmt.Fprintf(stdout, "%s: %s (%v ago)%s\n", o.corpID, stands, now.Sub(o.ObservedAt).Round(time.Second), more)
			}
		}
		if s.day == nil {
			continue
		}
		if err := s.day.prevented(r.chosen(s.corpIDs)); err != nil {
			return err
		}
		if s.day.missing(r.orgs, s.corpIDs) == "" {
			return r.shown(ctx, s.events)
		}
	}
}

// unclosed is why a day that was asked for is not closed when time is up.
func unclosed(ctx context.Context, s settings, orgs map[string]*organisation) error {
	if s.day == nil {
		return nil
	}
	why := cmp.Or(s.day.missing(orgs, s.corpIDs), "topic "+s.state+" was not read to its end")
	return fmt.Errorf("%v: %s is not closed: %s", context.Cause(ctx), s.day, why)
}

// parse reads the flags. Its errors, other than flag.ErrHelp, are wrong usage; stderr has then been told.
func parse(args []string, stderr io.Writer) (s settings, err error) {
	f := flag.NewFlagSet("watermark", flag.ContinueOnError)
	f.SetOutput(stderr)
	brokers := f.String("brokers", "127.0.0.1:9092", "`host:port[,…]` of Kafka")
	f.StringVar(&s.state, "state", "employee-left-state", "the `topic` that STATE_TOPIC names")
	f.StringVar(&s.events, "events", "employee-left", "the `topic` that EVENTS_TOPIC names; read with -day alone")
	corps := f.String("corp", "", "`corpId[,…]` of the organisations to look at; empty: all that have a checkpoint")
	f.DurationVar(&s.silent, "silent", 3*time.Minute,
		"how long without a checkpoint, or without DingTalk's answers in them, is worth a word; longer than POLL_INTERVAL")
	date := f.String("day", "", "`date` to wait for, such as 2024-05-06")
	zone := f.String("zone", "UTC", "time `zone` that -day is a day of, such as Asia/Shanghai")
	f.DurationVar(&s.wait, "wait", 0, "with -day, how long to wait for it; 0: as long as it takes")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.brokers = strings.Split(*brokers, ",")
	if *corps != "" {
		s.corpIDs = strings.Split(*corps, ",")
	}
	s.day, err = parseDay(*date, *zone)
	switch {
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("no arguments are taken, only flags: %q", f.Args())
	case s.silent <= 0:
		err = errors.New("-silent is above 0")
	case s.wait < 0 || s.wait > 0 && s.day == nil:
		err = errors.New("-wait is above 0, and goes with -day")
	}
	if err != nil {
		fmt.Fprintln(stderr, "watermark:", err)
	}
	return s, err
}
