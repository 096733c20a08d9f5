package dingtalktest

import (
	"net/url"
	"strconv"
	"time"
)

// Call is one line of the access log. No secret and no token stands in it.
type Call struct {
	Time      time.Time `json:"time"` // Options.Now at its arrival
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Query     string    `json:"query,omitempty"`     // encoded, in order of the names; see redact
	TokenID   int       `json:"tokenId,omitempty"`   // the n-th access token that was issued; 0: none, or an unknown one
	Foreign   bool      `json:"foreign,omitempty"`   // it met the deployment where the organisation does not live
	Status    int       `json:"status"`              // 0: the client saw none
	Code      string    `json:"code,omitempty"`      // of DingTalk's error
	Fault     string    `json:"fault,omitempty"`     // name of the fault that hit the call
	RequestID string    `json:"requestId,omitempty"` // as in the answer's header
}

// Param is the first value of a query parameter, decoded.
func (c Call) Param(name string) string {
	q, _ := url.ParseQuery(c.Query) // it was encoded by redact
	return q.Get(name)
}

// Calls is the access log, oldest first: the last Options.KeepCalls calls.
func (s *Server) Calls() []Call {
	s.enter()
	defer s.mu.Unlock()
	return s.log.all()
}

// redact keeps what the API knows by name: a client might put a secret anywhere. A nextToken of ours is given by its number, page-3 for
// the third one issued, and page-0 is an unknown one.
func (s *Server) redact(q url.Values) string {
	known := url.Values{}
	for name, values := range q {
		switch name {
		case "startTime", "endTime", "maxResults":
			known[name] = values
		case "nextToken":
			known.Set(name, s.walks.name(values[0]))
		default:
			known.Set(name, "REDACTED")
		}
	}
	return known.Encode()
}

func (ws *walks) name(token string) string {
	if token == "" || token == "0" {
		return token
	}
	id := 0
	if p := ws.places[token]; p != nil {
		id = p.id
	}
	return "page-" + strconv.Itoa(id)
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
