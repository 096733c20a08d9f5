package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// Defaults of the credentials: they open nothing but a simulator.
const (
	defaultAddr      = "127.0.0.1:8787"
	defaultCorpID    = "dingsimulated"
	defaultAppKey    = "simulated-app"
	defaultAppSecret = "simulated-secret"
)

// defaultHistory is a little less than the 364 days (8736h) that a client may ask for, so that `departures run` with START=8736h,
// started later, still finds everybody.
const defaultHistory = 360 * 24 * time.Hour

// settings are what the flags say.
type settings struct {
	addr       string
	people     int
	history    time.Duration
	leaveEvery time.Duration
	lag        time.Duration
	faultRate  float64
	options    dingtalktest.Options
}

// parse reads the flags. Its errors, other than flag.ErrHelp, are wrong usage; the flag package has then told stderr.
func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	o := &s.options
	f := flag.NewFlagSet("dingtalksim", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.addr, "addr", defaultAddr, "`address` to listen on; beyond loopback everybody in reach may ask")
	f.StringVar(&o.CorpID, "corp-id", defaultCorpID, "the organisation's corpId")
	f.StringVar(&o.AppKey, "app-key", defaultAppKey, "the app's key")
	f.StringVar(&o.AppSecret, "app-secret", defaultAppSecret, "the app's secret")
	f.IntVar(&s.people, "people", 500, "how many have left before the start")
	f.DurationVar(&s.history, "history", defaultHistory, "over how long they left")
	f.DurationVar(&s.leaveEvery, "leave-every", 15*time.Second, "how often one more leaves; 0: nobody does")
	f.DurationVar(&s.lag, "lag", 0, "how long a departure takes to be visible, at most")
	f.Float64Var(&s.faultRate, "fault-rate", 0, "probability, 0 to 1, that a data call goes wrong")
	f.Uint64Var(&o.Seed, "seed", 1, "of everything left to chance")
	switchFlags(f, &o.Switches)
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if err := errors.Join(s.faults(f)...); err != nil {
		fmt.Fprintln(stderr, err)
		return s, err
	}
	return s, nil
}

// switchFlags are how DingTalk behaves.
func switchFlags(f *flag.FlagSet, sw *dingtalktest.Switches) {
	f.DurationVar(&sw.Latency, "latency", 0, "between a call and its answer")
	f.DurationVar(&sw.TokenTTL, "token-ttl", 0, "validity of an access token; 0: two hours")
	f.DurationVar(&sw.PageTokenTTL, "page-token-ttl", 0, "validity of a nextToken; 0: ten minutes")
	f.DurationVar(&sw.Skew, "skew", 0, "the server's clock minus ours")
	f.DurationVar(&sw.RequestOffset, "request-offset", 0, "read request times as clock time this far east of UTC, e.g. 8h")
	f.IntVar(&sw.QPS, "qps", 0, "calls a second for each API; 0: 20; below 0: no limit")
	choice(f, &sw.Order, "order", "of records", dingtalktest.Orders())
	choice(f, &sw.Paging, "paging", "what a nextToken stands for", dingtalktest.Pagings())
	choice(f, &sw.Bounds, "bounds", "which ends belong to a window", dingtalktest.AllBounds())
	choice(f, &sw.FilterField, "filter", "what a window is about", dingtalktest.FilterFields())
	choice(f, &sw.TimeFormat, "time-format", "text of leaveTime", dingtalktest.TimeFormats())
	choice(f, &sw.LastToken, "last-token", "nextToken of the last page", dingtalktest.LastTokens())
	choice(f, &sw.Name, "name", "the field in answers", dingtalktest.Presences())
	choice(f, &sw.Mobile, "mobile", "the field in answers", dingtalktest.Presences())
	f.BoolVar(&sw.ShortPages, "short-pages", false, "pages shorter than asked")
	f.BoolVar(&sw.EmptyPages, "empty-pages", false, "every other page empty")
	f.BoolVar(&sw.StrictHistory, "strict-history", false, "refuse a start older than 365 days even with an end")
	f.BoolVar(&sw.RefuseEndTime, "refuse-end-time", false, "refuse any endTime")
	f.BoolVar(&sw.English, "english", false, "error messages in English")
}

// choice is a flag with a closed set of values, the first of which is the default.
func choice[T ~string](f *flag.FlagSet, v *T, name, usage string, all []T) {
	*v = all[0]
	names := fmt.Sprint(all)
	f.Func(name, usage+": one of "+names[1:len(names)-1]+" (default "+string(all[0])+")", func(text string) error {
		if !slices.Contains(all, T(text)) {
			return fmt.Errorf("none of %s", names)
		}
		*v = T(text)
		return nil
	})
}

// faults is everything that is wrong with the flags together.
func (s settings) faults(f *flag.FlagSet) []error {
	var wrong []error
	refuse := func(is bool, text string) {
		if is {
			wrong = append(wrong, errors.New("dingtalksim: "+text))
		}
	}
	refuse(f.NArg() > 0, fmt.Sprintf("no arguments are taken, only flags: %q", f.Args()))
	_, _, err := net.SplitHostPort(s.addr)
	refuse(err != nil, "-addr is host:port")
	refuse(s.options.CorpID == "" || strings.Contains(s.options.CorpID, "/"), "-corp-id is a text without /")
	refuse(s.options.AppKey == "" || s.options.AppSecret == "", "-app-key and -app-secret are not empty")
	refuse(s.people < 0, "-people is not below 0")
	refuse(s.faultRate < 0 || s.faultRate > 1, "-fault-rate is from 0 to 1")
	for name, d := range map[string]time.Duration{
		"history": s.history, "leave-every": s.leaveEvery, "lag": s.lag, "latency": s.options.Switches.Latency,
		"token-ttl": s.options.Switches.TokenTTL, "page-token-ttl": s.options.Switches.PageTokenTTL,
	} {
		refuse(d < 0, "-"+name+" is not below 0")
	}
	return wrong
}
