package dingtalktest

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// DefaultKeepCalls is how many calls [Server.Calls] remembers, about 30 MB of them, unless Options.KeepCalls says otherwise.
const DefaultKeepCalls = 100_000

// Options are the organisation and its one app, and how the simulation runs.
type Options struct {
	CorpID, AppKey, AppSecret string
	Deployment                Deployment       // where the organisation lives; "": DotIO
	Now                       func() time.Time // nil: time.Now
	Seed                      uint64           // of everything that is left to chance
	KeepCalls                 int              // how many calls the access log holds; 0: DefaultKeepCalls
	Switches                  Switches
}

// Server is a simulated DingTalk with one organisation. It is an http.Handler and safe for concurrent use. It starts no
// goroutine and needs no closing.
type Server struct {
	corpID string
	appKey string
	home   Deployment
	now    func() time.Time
	seed   uint64

	mu       sync.Mutex
	secret   string
	switches Switches
	random   *rand.Rand
	book     book
	walks    walks
	app      issuer
	corp     issuer
	issued   issued
	meters   map[gate]*meter
	quota    quota
	callers  callers
	block    ipBlock
	faults   faults
	script   script
	invented uint64 // how many times people were invented
	log      accessLog
}

// New is a DingTalk where nobody has left yet. Unknown values of switches panic.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.KeepCalls == 0 {
		o.KeepCalls = DefaultKeepCalls
	}
	return &Server{
		corpID:   o.CorpID,
		appKey:   o.AppKey,
		home:     o.Deployment.orDefault(),
		secret:   o.AppSecret,
		now:      o.Now,
		seed:     o.Seed,
		switches: o.Switches.complete(),
		random:   rand.New(rand.NewPCG(o.Seed, 0xd1916)),
		book:     newBook(),
		walks:    newWalks(),
		meters:   map[gate]*meter{},
		callers:  callers{},
		log:      accessLog{keep: o.KeepCalls},
	}
}

// Set changes switches while the server runs. change sees the present switches with their defaults filled in. A walk that has begun
// keeps its order, paging, bounds and field.
func (s *Server) Set(change func(*Switches)) {
	s.enter()
	defer s.mu.Unlock()
	sw := s.switches
	change(&sw)
	s.switches = sw.complete()
}

// SetSecret rotates the app's secret. Tokens stay valid.
func (s *Server) SetSecret(secret string) {
	s.enter()
	defer s.mu.Unlock()
	s.secret = secret
}

// Leave adds departures to the list. They show at once, or from Leaver.VisibleAt on. The same userId and leaveTime given twice
// is shown twice.
func (s *Server) Leave(ls ...Leaver) {
	now := s.enter()
	defer s.mu.Unlock()
	s.book.leave(now, ls)
}

// Edit changes the record with this userId and leaveTime, visible or not, and reports whether there is one. A changed LeaveTime or
// UserID makes another departure of it: the old one counts as removed.
func (s *Server) Edit(userID string, leaveTime time.Time, change func(*Leaver)) bool {
	now := s.enter()
	defer s.mu.Unlock()
	return s.book.edit(now, identity{userID, leaveTime.Unix()}, change)
}

// Remove withdraws the record with this userId and leaveTime, and reports whether there was one.
func (s *Server) Remove(userID string, leaveTime time.Time) bool {
	s.enter()
	defer s.mu.Unlock()
	return s.book.remove(identity{userID, leaveTime.Unix()})
}

// Truth is every departure that is or ever was visible, in order of leaveTime, then userId: what a client has to have found, but for
// those Removed before it could.
func (s *Server) Truth() []Departure {
	s.enter()
	defer s.mu.Unlock()
	return s.book.departures(func(*row) bool { return true })
}

// Shown is every departure that stood at least once in a page that was served whole, in order of leaveTime, then userId.
func (s *Server) Shown() []Departure {
	s.enter()
	defer s.mu.Unlock()
	return s.book.departures(func(w *row) bool { return w.shown })
}

// call is one request on its way through the checks.
type call struct {
	method   string
	path     string
	query    url.Values
	token    string // of the header, "" if it is absent
	json     bool   // the content type is JSON
	body     []byte
	acceptGz bool
	address  string // of the caller, without a port; "" in process
	foreign  bool   // it met the deployment where the organisation does not live

	now   time.Time // Options.Now
	sw    Switches
	api   api
	id    string // request id
	place *place // the page asked for, once the parameters are judged
}

// clock is the server's own clock.
func (c *call) clock() time.Time { return c.now.Add(c.sw.Skew) }

// api is one of the calls that the server knows.
type api struct {
	name   string
	target Target
	checks []check
}

// route finds the API by method and path; an unknown one has no name.
func (s *Server) route(method, path string) api {
	switch {
	case method == http.MethodGet && path == pathRecords:
		return api{"empLeaveRecords", DataCalls, dataChecks}
	case method == http.MethodPost && path == pathAppToken:
		return api{"accessToken", TokenCalls, appTokenChecks}
	case method == http.MethodPost && strings.HasPrefix(path, prefixCorpToken) && strings.HasSuffix(path, suffixCorpToken):
		return api{"token", TokenCalls, corpTokenChecks}
	}
	return api{"", noCalls, unknownChecks}
}

// Paths of S1.
const (
	pathRecords     = "/v1.0/contact/empLeaveRecords"
	pathAppToken    = "/v1.0/oauth2/accessToken"
	prefixCorpToken = "/v1.0/oauth2/"
	suffixCorpToken = "/token"
)

// enter locks the server, brings it up to the present time, and gives that.
func (s *Server) enter() time.Time {
	s.mu.Lock()
	now := s.now()
	s.play(now)
	s.book.ripen(now)
	return now
}

// serve is the one place where a call becomes an answer. It waits for nothing: delays are in the answer.
func (s *Server) serve(c *call) *answer {
	a := s.decide(c)
	a.finish(c)
	return a
}

// decide is all of serve that needs the lock.
func (s *Server) decide(c *call) *answer {
	c.now = s.enter()
	defer s.mu.Unlock()
	c.sw = s.switches
	c.api = s.route(c.method, c.path)
	c.id = s.requestID()
	entry := Call{Time: c.now, Method: c.method, Path: c.path, Query: s.redact(c.query), TokenID: s.issued.id(c.token), Foreign: c.foreign}

	fault, broken := s.faults.next(c.api.target, entry, s.random)
	if fault.Wire.arrives() {
		s.watch(c)
	}
	var a *answer
	if broken && (fault.Status != 0 || !fault.Wire.arrives()) {
		a = fault.answer(c)
	} else {
		a = s.judge(c)
	}
	if broken {
		a.fault, a.wire, a.pause = fault.Name, fault.Wire, fault.Delay
	}
	a.delay = c.sw.Latency

	entry.Status, entry.Code, entry.Fault, entry.RequestID = a.status, a.code, a.fault, c.id
	if !a.wire.Answers() {
		entry.Status, entry.Code = 0, ""
	}
	s.log.add(entry)
	return a
}

func (s *Server) judge(c *call) *answer {
	for _, check := range c.api.checks {
		if a := check(s, c); a != nil {
			return a
		}
	}
	return refuse(c, 500, codeSystem, "")
}

// delivered marks the departures of a page that reached the client whole.
func (s *Server) delivered(a *answer) {
	if len(a.shown) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range a.shown {
		r.row.shown = true
	}
}
