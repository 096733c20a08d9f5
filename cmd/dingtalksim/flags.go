package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
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
	elsewhere  string // "": not served
	admin      string // "": none
	people     int
	history    time.Duration
	leaveEvery time.Duration
	lag        time.Duration
	faultRate  float64
	faults     []dingtalktest.Failing
	script     dingtalktest.Script
	options    dingtalktest.Options
}

// parse reads the flags. Its errors are flag.ErrHelp, then stdout has the help, or wrong usage, then stderr says what is wrong.
func parse(args []string, stdout, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("dingtalksim", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {} // the help has 170 lines: under them an error would not be seen
	s.register(f)
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(stdout, f)
		return s, err
	case err == nil:
		if err = errors.Join(s.wrong(f)...); err == nil {
			return s, nil
		}
		fmt.Fprintln(stderr, err)
	}
	fmt.Fprintln(stderr, "dingtalksim -help lists the flags")
	return s, err
}

func (s *settings) register(f *flag.FlagSet) {
	o := &s.options
	f.StringVar(&s.addr, "addr", defaultAddr, "`host:port` to listen on; beyond loopback everybody in reach may ask")
	f.StringVar(&s.elsewhere, "elsewhere", "", "`host:port` of the other deployment, which knows neither the app nor the organisation")
	f.StringVar(&s.admin, "admin", "", "`host:port` of the admin API, e.g. 127.0.0.1:8788; beyond loopback everybody in reach may use it")
	f.StringVar(&o.CorpID, "corp-id", defaultCorpID, "the organisation's corpId")
	f.StringVar(&o.AppKey, "app-key", defaultAppKey, "the app's key")
	f.StringVar(&o.AppSecret, "app-secret", defaultAppSecret, "the app's secret")
	f.Func("deployment", "`where` the organisation lives, io or com (default io); the other one refuses its credentials", s.setDeployment)
	f.IntVar(&s.people, "people", 500, "how many have left before the start")
	f.DurationVar(&s.history, "history", defaultHistory, "over how long they left")
	f.DurationVar(&s.leaveEvery, "leave-every", 15*time.Second, "how often one more leaves; 0: nobody does")
	f.DurationVar(&s.lag, "lag", 0, "how long a departure takes to be visible, at most")
	f.Float64Var(&s.faultRate, "fault-rate", 0, "probability, 0 to 1, that a data call goes wrong")
	f.Func("fault", "`name:times`, or name:times:data, :token or :all: so many of the next calls go wrong; may be given again", s.addFault)
	f.Func("script", "`file` with what happens later: a JSON list of {\"after\": \"30s\", …command}", s.readScript)
	f.Uint64Var(&o.Seed, "seed", 1, "of everything left to chance")
	for _, x := range dingtalktest.AllSwitches() {
		f.Var(switchFlag{x, &o.Switches}, x.Name, x.Doubt)
	}
}

// switchFlag is a switch as a flag.
type switchFlag struct {
	dingtalktest.Switch
	on *dingtalktest.Switches
}

// Set reads the flag's value.
func (f switchFlag) Set(text string) error { return f.Switch.Set(f.on, text) }

// String is the present value. The flag package asks it of a zero switchFlag too.
func (f switchFlag) String() string {
	if f.on == nil {
		return ""
	}
	return f.Text(*f.on)
}

// IsBoolFlag lets -short-pages stand for -short-pages=true.
func (f switchFlag) IsBoolFlag() bool { return f.IsBool() }

func (s *settings) setDeployment(text string) error {
	for _, d := range dingtalktest.Deployments() {
		if text == string(d) {
			s.options.Deployment = d
			return nil
		}
	}
	return fmt.Errorf("none of %s", dingtalktest.Deployments())
}

func (s *settings) addFault(text string) error {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return errors.New("neither name:times nor name:times:target")
	}
	times, err := strconv.Atoi(parts[1])
	if err != nil || times < 1 {
		return fmt.Errorf("times %q: no whole number above 0", parts[1])
	}
	f := dingtalktest.Failing{Fault: parts[0], Times: times, On: strings.Join(parts[2:], "")}
	s.faults = append(s.faults, f)
	return dingtalktest.Command{Fail: &f}.Check()
}

func (s *settings) readScript(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if s.script, err = dingtalktest.ReadScript(file); err != nil {
		return err
	}
	return s.script.Check()
}

// wrong is everything that is wrong with the flags together.
func (s *settings) wrong(f *flag.FlagSet) []error {
	var wrong []error
	refuse := func(is bool, text string) {
		if is {
			wrong = append(wrong, errors.New("dingtalksim: "+text))
		}
	}
	refuse(f.NArg() > 0, fmt.Sprintf("no arguments are taken, only flags: %q", f.Args()))
	for name, addr := range map[string]string{"addr": s.addr, "elsewhere": s.elsewhere, "admin": s.admin} {
		_, _, err := net.SplitHostPort(addr)
		refuse(err != nil && (addr != "" || name == "addr"), "-"+name+" is host:port")
	}
	refuse(s.options.CorpID == "" || strings.Contains(s.options.CorpID, "/"), "-corp-id is a text without /")
	refuse(s.options.AppKey == "" || s.options.AppSecret == "", "-app-key and -app-secret are not empty")
	refuse(s.people < 0 || s.people > dingtalktest.MaxInvented, fmt.Sprintf("-people is from 0 to %d", dingtalktest.MaxInvented))
	refuse(!(s.faultRate >= 0 && s.faultRate <= 1), "-fault-rate is from 0 to 1") // NaN is not either
	for name, d := range map[string]time.Duration{"history": s.history, "leave-every": s.leaveEvery, "lag": s.lag} {
		refuse(d < 0, "-"+name+" is not below 0")
	}
	return wrong
}
