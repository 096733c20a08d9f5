package dingtalktest

import (
	"net/url"
	"time"
)

// Call is one line of the access log. No secret and no token stands in it.
type Call struct {
	Time      time.Time // Options.Now at its arrival
	Method    string
	Path      string
	Query     string // encoded, in order of the names; the value of a name that the API does not know is REDACTED
	TokenID   int    // the n-th access token that was issued; 0: none, or an unknown one
	Status    int    // 0: the client saw none
	Code      string // of DingTalk's error
	Fault     string // name of the fault that hit the call
	RequestID string
}

// Param is the first value of a query parameter, decoded.
func (c Call) Param(name string) string {
	q, _ := url.ParseQuery(c.Query) // it was encoded by redact
	return q.Get(name)
}

// Calls is the access log, oldest first: the last Options.KeepCalls calls.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.all()
}

// redact keeps what the API knows by name: a client might put a secret anywhere.
func redact(q url.Values) string {
	known := url.Values{}
	for name, values := range q {
		switch name {
		case "startTime", "endTime", "nextToken", "maxResults":
			known[name] = values
		default:
			known[name] = []string{"REDACTED"}
		}
	}
	return known.Encode()
}

// accessLog is a ring of the last calls.
type accessLog struct {
	keep  int
	calls []Call
	first int
}

func (l *accessLog) add(c Call) {
	if len(l.calls) < l.keep {
		l.calls = append(l.calls, c)
		return
	}
	l.calls[l.first] = c
	l.first = (l.first + 1) % l.keep
}

func (l *accessLog) all() []Call {
	return append(append([]Call{}, l.calls[l.first:]...), l.calls[:l.first]...)
}
