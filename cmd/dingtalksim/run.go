package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// Exit codes.
const (
	exitClean = 0
	exitError = 1
	exitUsage = 2
)

// stopTimeout is how long a call may still take once we stop. Hanging calls never end, so it is short.
const stopTimeout = time.Second

// newcomers is how many people are invented for leaving while we run; the list then begins again, and they leave once more.
const newcomers = 10_000

// mishaps are what -fault-rate draws from. None lasts longer than a few seconds.
func mishaps() []dingtalktest.Fault {
	return []dingtalktest.Fault{
		dingtalktest.SystemError, dingtalktest.SystemErrorAs400, dingtalktest.UnknownError, dingtalktest.BadGateway,
		dingtalktest.ServiceTimeout, dingtalktest.EmptyForbidden, dingtalktest.Throttled, dingtalktest.Truncated,
		dingtalktest.ResetInBody, dingtalktest.ResetBefore, dingtalktest.NoRecords,
		{Name: "slow", Delay: 3 * time.Second},
	}
}

// run serves until ctx ends and gives the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitClean
	case err != nil:
		return exitUsage
	}
	sim := begin(s)
	doors, err := open(s, sim)
	if err != nil {
		fmt.Fprintln(stderr, "dingtalksim:", err)
		return exitError
	}
	welcome(stdout, s, doors)
	if err := serve(ctx, doors, func() { leave(ctx, stdout, s, sim) }); err != nil {
		fmt.Fprintln(stderr, "dingtalksim:", err)
		return exitError
	}
	return exitClean
}

// begin is the simulator as the flags want it, its script begun.
func begin(s settings) *dingtalktest.Server {
	now := time.Now()
	sim := dingtalktest.New(s.options)
	sim.Leave(dingtalktest.Corpus(s.options.Seed, s.people, now.Add(-s.history), now)...)
	sim.FailAtRandom(s.faultRate, mishaps()...)
	for _, f := range s.faults {
		_ = sim.Do(dingtalktest.Command{Fail: &f}) // checked by parse, as the script is
	}
	_ = sim.Play(s.script)
	return sim
}

// door is one address and what answers there.
type door struct {
	name     string
	listener net.Listener
	handler  http.Handler
}

// The names of doors.
const (
	doorAPI       = "api"
	doorElsewhere = "elsewhere"
	doorAdmin     = "admin"
)

// open listens on every address that is asked for, the API's first. On an error none is left open.
func open(s settings, sim *dingtalktest.Server) ([]door, error) {
	var doors []door
	for _, d := range []struct {
		name, addr string
		handler    http.Handler
	}{{doorAPI, s.addr, sim}, {doorElsewhere, s.elsewhere, sim.Elsewhere()}, {doorAdmin, s.admin, sim.Admin()}} {
		if d.addr == "" {
			continue
		}
		listener, err := net.Listen("tcp", d.addr)
		if err != nil {
			for _, opened := range doors {
				_ = opened.listener.Close()
			}
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		doors = append(doors, door{d.name, listener, d.handler})
	}
	return doors, nil
}

// serve answers calls at every door while story runs, which has to end with ctx, and until all are over.
func serve(ctx context.Context, doors []door, story func()) error {
	served := make(chan error, len(doors))
	servers := make([]*http.Server, len(doors))
	for i, d := range doors {
		servers[i] = &http.Server{Handler: d.handler, ReadHeaderTimeout: 10 * time.Second}
		go func() { served <- servers[i].Serve(d.listener) }()
	}
	told := make(chan struct{})
	go func() { defer close(told); story() }()

	select {
	case err := <-served:
		return err // a listener broke; the process ends, and the story with it
	case <-told:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	for _, server := range servers {
		if server.Shutdown(stop) != nil {
			_ = server.Close() // what still hangs is cut
		}
	}
	for range servers {
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	return nil
}

// welcome prints what to paste in front of `departures run`, and where the other doors are.
func welcome(w io.Writer, s settings, doors []door) {
	for _, d := range doors[1:] {
		switch d.name {
		case doorElsewhere:
			fmt.Fprintf(w, "# The other deployment: http://%s\n", reachable(d.listener.Addr()))
		case doorAdmin:
			fmt.Fprintf(w, "# The admin API: http://%s\n", reachable(d.listener.Addr()))
		}
	}
	fmt.Fprintf(w, "# %d people left in the last %s. For departures run:\n", s.people, s.history)
	fmt.Fprintf(w, "export DINGTALK_BASE_URL=http://%s\n", reachable(doors[0].listener.Addr()))
	fmt.Fprintf(w, "export DINGTALK_CORP_ID=%s\n", quote(s.options.CorpID))
	fmt.Fprintf(w, "export DINGTALK_APP_KEY=%s\n", quote(s.options.AppKey))
	fmt.Fprintf(w, "export DINGTALK_APP_SECRET=%s\n", quote(s.options.AppSecret))
}

// reachable is addr as a client on this host writes it: an unspecified address is loopback.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr.String()
}

// quote is s as a POSIX shell reads it back.
func quote(s string) string {
	plain := func(r rune) bool {
		return r == '-' || r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// leave lets one after the other leave until ctx ends.
func leave(ctx context.Context, w io.Writer, s settings, sim *dingtalktest.Server) {
	if s.leaveEvery == 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(s.leaveEvery)
	defer tick.Stop()
	now := time.Now()
	people := dingtalktest.Corpus(s.options.Seed+1, newcomers, now, now)
	random := rand.New(rand.NewPCG(s.options.Seed, 1))
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l := people[i%len(people)]
			l.LeaveTime = now.UTC().Truncate(time.Second)
			l.VisibleAt = now
			if s.lag > 0 {
				l.VisibleAt = now.Add(time.Duration(random.Int64N(int64(s.lag))))
			}
			sim.Leave(l)
			fmt.Fprintln(w, line(l))
		}
	}
}

// line tells of one departure.
func line(l dingtalktest.Leaver) string {
	text := fmt.Sprintf("%s left: userId %q, name %q, reason %s", l.LeaveTime.Format(time.RFC3339), l.UserID, *l.Name, l.LeaveReason)
	if l.VisibleAt.Sub(l.LeaveTime) >= time.Second {
		text += ", visible at " + l.VisibleAt.UTC().Format(time.RFC3339)
	}
	return text
}
