package dingtalktest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Target is the calls that a fault may hit.
type Target string

// The kinds of Target.
const (
	DataCalls  Target = ""
	TokenCalls Target = "token"
	AllCalls   Target = "all"

	noCalls Target = "none" // unknown paths
)

// Wire is what happens to an answer on its way.
type Wire string

// The kinds of Wire. Over a real network those without an answer all look like [Reset], but for [Hang]; and net/http asks once more
// by itself when an idle connection is reset before the first byte.
const (
	Intact           Wire = ""
	Hang             Wire = "hang"              // no byte comes until the client goes away
	Stall            Wire = "stall"             // header and half of the body come, then nothing
	Drip             Wire = "drip"              // the body comes in 20 pieces, spread over Fault.Delay
	Truncate         Wire = "truncate"          // the connection ends within the announced length
	TruncateChunked  Wire = "truncate chunked"  // the connection ends within a body of unannounced length
	ResetBody        Wire = "reset body"        // the connection is reset within the body
	Reset            Wire = "reset"             // the connection is reset before any answer
	Refuse           Wire = "refuse"            // no connection: refused
	NoSuchHost       Wire = "no such host"      // no connection: the name does not resolve
	WrongCertificate Wire = "wrong certificate" // no connection: TLS fails
)

// Answers reports whether the client sees a status.
func (w Wire) Answers() bool {
	return !slices.Contains([]Wire{Hang, Reset, Refuse, NoSuchHost, WrongCertificate}, w)
}

// arrives reports whether the call reaches the server, so that it counts there.
func (w Wire) arrives() bool {
	return !slices.Contains([]Wire{Refuse, NoSuchHost, WrongCertificate}, w)
}

// Fault is a call gone wrong. With Status, the answer is the fault's own, whatever else is wrong with the call: Body with Type,
// or without Body and Type DingTalk's error with Code, or without Code nothing. Without Status, the call is judged as usual
// and its answer treated as Wire and Delay say.
type Fault struct {
	Name   string // in Call.Fault
	On     Target
	When   func(Call) bool // nil: any call of the target
	Status int
	Code   string
	Type   string // content type of Body
	Body   string
	Header http.Header
	Wire   Wire
	Delay  time.Duration // before the first byte; with Drip, over the body
}

// Faults whose answer DingTalk or something before it might give.
var (
	SystemError        = Fault{Name: "500 system.error", Status: 500, Code: codeSystem}
	SystemErrorAs400   = Fault{Name: "400 system.error", Status: 400, Code: codeSystem}
	SystemErrorAs503   = Fault{Name: "503 system.error", Status: 503, Code: codeSystem}
	SystemBusy         = Fault{Name: "500 systemError.busy", Status: 500, Code: "systemError.busy"}
	UnknownError       = Fault{Name: "503 unknownError", Status: 503, Code: codeUnknownError}
	ServiceTimeout     = Fault{Name: "504 service.timeout", Status: 504, Code: codeTimeout}
	BadGateway         = Fault{Name: "502 HTML", Status: 502, Type: htmlType, Body: "<html><body><h1>502 Bad Gateway</h1></body></html>"}
	UnavailableHTML    = Fault{Name: "503 HTML", Status: 503, Type: htmlType, Body: "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"}
	TimeoutHTML        = Fault{Name: "504 HTML", Status: 504, Type: htmlType, Body: "<html><body><h1>504 Gateway Time-out</h1></body></html>"}
	EmptyForbidden     = Fault{Name: "403 empty", Status: 403}
	Throttled          = Fault{Name: "403 QPS of the app", Status: 403, Code: codeQPS}
	ThrottledByAll     = Fault{Name: "403 QPS of all apps", Status: 403, Code: codeQPSGlobal}
	ThrottledForMinute = Fault{Name: "403 QPM", Status: 403, Code: codeQPM}
	QuotaExhausted     = Fault{Name: "403 monthly quota", Status: 403, Code: codeQuota}
	PermissionDenied   = Fault{Name: "403 permission", Status: 403, Code: codePermission}
	IPNotWhiteListed   = Fault{Name: "403 IP white list", Status: 403, Code: codeIPWhiteList}
	TokenRefused       = Fault{Name: "400 InvalidAuthentication", Status: 400, Code: codeBadToken}
	ParameterRefused   = Fault{Name: "400 invalidParameter", Status: 400, Code: codeInvalid}
	UnknownCode        = Fault{Name: "418 unknown code", Status: 418, Code: "teapot.short.stout"}
	TooManyRequests    = Fault{Name: "429 Retry-After", Status: 429, Header: http.Header{"Retry-After": {"7"}}}
	Redirected         = Fault{Name: "302", Status: 302, Header: http.Header{"Location": {"https://elsewhere.invalid/"}}}
)

// Faults that look like success: a client that decodes naively takes some of them for an empty last page.
var (
	IPBlockHTML403  = Fault{Name: "IP block, HTML, 403", Status: 403, Type: htmlType, Body: blockPage}
	IPBlockHTML200  = Fault{Name: "IP block, HTML, 200", Status: 200, Type: htmlType, Body: blockPage}
	IPBlockJSON     = Fault{Name: "IP block, JSON, 200", Status: 200, Type: jsonType, Body: `{"status":1111,"punish":"deny","wait":5}`}
	NoContent       = Fault{Name: "204", Status: 204}
	Created         = Fault{Name: "201 page", Status: 201, Type: jsonType, Body: `{"records":[]}`}
	EmptyBody       = Fault{Name: "200 empty body", Status: 200, Type: jsonType}
	NoRecords       = Fault{Name: "200 without records", Status: 200, Type: jsonType, Body: `{"nextToken":""}`}
	RecordsTwice    = Fault{Name: "200 records twice", Status: 200, Type: jsonType, Body: `{"records":[],"records":[]}`}
	RecordsNoArray  = Fault{Name: "200 records an object", Status: 200, Type: jsonType, Body: `{"records":{}}`}
	BareArray       = Fault{Name: "200 array", Status: 200, Type: jsonType, Body: `[]`}
	BareNull        = Fault{Name: "200 null", Status: 200, Type: jsonType, Body: `null`}
	TwoObjects      = Fault{Name: "200 two objects", Status: 200, Type: jsonType, Body: `{"records":[]}{"records":[]}`}
	CutObject       = Fault{Name: "200 cut JSON", Status: 200, Type: jsonType, Body: `{"records":[`}
	ErrorAsSuccess  = Fault{Name: "200 system.error", Status: 200, Code: codeSystem}
	LegacyError     = Fault{Name: "200 errcode", Status: 200, Type: jsonType, Body: `{"errcode":40014,"errmsg":"invalid access_token"}`}
	LegacyWithEmpty = Fault{Name: "200 errcode with records", Status: 200, Type: jsonType, Body: `{"errcode":88,"errmsg":"busy","records":[]}`}
)

// Faults of the connection.
var (
	Hanging         = Fault{Name: "hang", Wire: Hang}
	Stalled         = Fault{Name: "stalled body", Wire: Stall}
	Dripping        = Fault{Name: "slow drip", Wire: Drip, Delay: 10 * time.Second}
	Slow            = Fault{Name: "slow", Delay: 10 * time.Second}
	Truncated       = Fault{Name: "truncated", Wire: Truncate}
	TruncatedChunks = Fault{Name: "truncated, chunked", Wire: TruncateChunked}
	ResetInBody     = Fault{Name: "reset in body", Wire: ResetBody}
	ResetBefore     = Fault{Name: "reset", Wire: Reset}
	Refused         = Fault{Name: "connection refused", Wire: Refuse}
	Unresolved      = Fault{Name: "no such host", Wire: NoSuchHost}
	Untrusted       = Fault{Name: "wrong certificate", Wire: WrongCertificate}
)

const blockPage = "<!DOCTYPE html>\n<html><head><title>405</title></head><body>Sorry, your request has been blocked.</body></html>"

// Faults are all faults that have a name above, on data calls.
func Faults() []Fault {
	return slices.Concat(
		[]Fault{
			SystemError, SystemErrorAs400, SystemErrorAs503, SystemBusy, UnknownError, ServiceTimeout, BadGateway, UnavailableHTML, TimeoutHTML,
			EmptyForbidden,
			Throttled, ThrottledByAll, ThrottledForMinute, QuotaExhausted, PermissionDenied, IPNotWhiteListed, TokenRefused,
			ParameterRefused, UnknownCode, TooManyRequests, Redirected,
		},
		[]Fault{
			IPBlockHTML403, IPBlockHTML200, IPBlockJSON, NoContent, Created, EmptyBody, NoRecords, RecordsTwice, RecordsNoArray,
			BareArray, BareNull, TwoObjects, CutObject, ErrorAsSuccess, LegacyError, LegacyWithEmpty,
		},
		[]Fault{
			Hanging, Stalled, Dripping, Slow, Truncated, TruncatedChunks, ResetInBody, ResetBefore, Refused, Unresolved, Untrusted,
		},
	)
}

// FaultNamed is the fault of [Faults] with this name, also as it is written on a command line: "500-system-error" for
// "500 system.error". The error names all that there are.
func FaultNamed(name string) (Fault, error) {
	var names []string
	for _, f := range Faults() {
		if f.Name == name || f.Slug() == name {
			return f, nil
		}
		names = append(names, f.Slug())
	}
	return Fault{}, fmt.Errorf("fault %q: none of %s", name, strings.Join(names, ", "))
}

// Slug is f's name in lower case, with hyphens for all that is neither letter nor digit.
func (f Fault) Slug() string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(f.Name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), "-")
}

// Against is f on the calls of another target.
func (f Fault) Against(t Target) Fault {
	f.On = t
	return f
}

// answer is the fault's own answer.
func (f Fault) answer(c *call) *answer {
	a := newAnswer(f.Status, f.Type, []byte(f.Body))
	if f.Type == "" && f.Code != "" {
		a = refuse(c, f.Status, f.Code, "")
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return a
}

func (f Fault) hits(t Target, c Call) bool {
	return t != noCalls && (f.On == t || f.On == AllCalls) && (f.When == nil || f.When(c))
}

// Fail makes the next n calls of f's target go wrong, after whatever was queued before. f.When runs inside the server and must not
// call it.
func (s *Server) Fail(f Fault, n int) {
	s.enter()
	defer s.mu.Unlock()
	if n > 0 {
		s.faults.queue = append(s.faults.queue, queued{f, n})
	}
}

// FailAtRandom makes each call go wrong with this probability, by one of fs: those are drawn that fit the call. It replaces what
// was set before; probability 0 ends it. Calls of unknown paths never fail.
func (s *Server) FailAtRandom(probability float64, fs ...Fault) {
	s.enter()
	defer s.mu.Unlock()
	s.faults.probability, s.faults.drawn = probability, slices.Clone(fs)
}

// Heal forgets every fault that was to come, and lifts every IP block. Switches stay.
func (s *Server) Heal() {
	s.enter()
	defer s.mu.Unlock()
	s.heal()
}

func (s *Server) heal() { s.faults, s.block, s.callers = faults{}, ipBlock{}, callers{} }

// faults are those still to come.
type faults struct {
	queue       []queued
	probability float64
	drawn       []Fault
}

type queued struct {
	Fault
	left int
}

// next is the fault of this call, if any: the first of the queue that fits, else by chance.
func (fs *faults) next(t Target, c Call, random *rand.Rand) (Fault, bool) {
	for i := range fs.queue {
		q := &fs.queue[i]
		if !q.hits(t, c) {
			continue
		}
		f := q.Fault
		if q.left--; q.left == 0 {
			fs.queue = slices.Delete(fs.queue, i, i+1)
		}
		return f, true
	}
	if fs.probability <= 0 || random.Float64() >= fs.probability {
		return Fault{}, false
	}
	fit := slices.DeleteFunc(slices.Clone(fs.drawn), func(f Fault) bool { return !f.hits(t, c) })
	if len(fit) == 0 {
		return Fault{}, false
	}
	return fit[random.IntN(len(fit))], true
}
