package dingtalktest

import (
	"net/http"
	"strconv"
	"time"
)

// check judges one thing about a call: an answer ends it, nil lets it go on.
type check func(*Server, *call) *answer

// The order in which a call is judged. No document gives it; for data calls it follows from what the gateway must know first. The last
// check always answers.
var (
	dataChecks = []check{
		(*Server).ipBlocked,
		(*Server).tokenPresent,
		(*Server).tokenValid,
		(*Server).ipWhiteList,
		(*Server).permission,
		(*Server).monthlyQuota,
		(*Server).rate,
		(*Server).count,
		(*Server).parameters,
		(*Server).page,
	}
	appTokenChecks  = []check{(*Server).ipBlocked, (*Server).rate, (*Server).issueAppToken}
	corpTokenChecks = []check{(*Server).ipBlocked, (*Server).rate, (*Server).issueCorpToken}
	unknownChecks   = []check{(*Server).ipBlocked, (*Server).unknown}
)

// Limits of S12 and S13, documented.
const (
	maxSpan    = 365 * 24 * time.Hour
	maxResults = 50
)

func (s *Server) unknown(c *call) *answer { return refuse(c, http.StatusNotFound, codeUnknownAPI, "") }

func (s *Server) tokenPresent(c *call) *answer {
	if c.token == "" {
		return refuse(c, http.StatusBadRequest, codeNoToken, "")
	}
	return nil
}

func (s *Server) tokenValid(c *call) *answer {
	if c.foreign || !s.app.accepts(c.token, c.now) && !s.corp.accepts(c.token, c.now) {
		return refuse(c, http.StatusBadRequest, codeBadToken, "")
	}
	return nil
}

func (s *Server) ipWhiteList(c *call) *answer {
	if c.sw.IPNotWhiteListed {
		return refuse(c, http.StatusForbidden, codeIPWhiteList, "")
	}
	return nil
}

func (s *Server) permission(c *call) *answer {
	if c.sw.NoPermission {
		return refuse(c, http.StatusForbidden, codePermission, "")
	}
	return nil
}

// parameters judges the query, in the order startTime, endTime, maxResults, nextToken, and finds the page.
func (s *Server) parameters(c *call) *answer {
	w, refused := s.window(c)
	if refused != nil {
		return refused
	}
	token := c.query.Get("nextToken")
	if token == "" || token == "0" {
		c.place = &place{walk: w, blank: c.sw.EmptyPages}
		return nil
	}
	p := s.walks.find(token, c.now, c.sw.PageTokenTTL)
	if p == nil || p.walk.bound != w.bound {
		return refuse(c, http.StatusBadRequest, c.sw.PageTokenCode, "nextToken")
	}
	c.place = p
	return nil
}

// window is the walk that the parameters would begin.
func (s *Server) window(c *call) (*walk, *answer) {
	startText, endText, sizeText := c.query.Get("startTime"), c.query.Get("endTime"), c.query.Get("maxResults")
	if startText == "" {
		return nil, missing(c, "startTime")
	}
	start, ok := readTime(startText, c.sw)
	if !ok {
		return nil, invalid(c, "startTime")
	}
	tooOld := c.clock().Sub(start) > maxSpan
	if tooOld && (endText == "" || c.sw.StrictHistory) {
		return nil, invalid(c, "startTime")
	}
	end := endless
	if endText != "" {
		if end, ok = readTime(endText, c.sw); !ok || badEnd(start, end, c) {
			return nil, invalid(c, "endTime")
		}
	}
	if sizeText == "" {
		return nil, missing(c, "maxResults")
	}
	size, err := strconv.Atoi(sizeText)
	if c.sw.ClampMaxResults {
		size = min(size, maxResults)
	}
	if err != nil || size < 1 || size > maxResults {
		return nil, invalid(c, "maxResults")
	}
	return newWalk(start, end, size, startText+" "+endText+" "+sizeText, s.random.Uint64(), c.sw), nil
}

// endless is the end of a window without endTime: a leaveTime in the future shows.
var endless = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

func badEnd(start, end time.Time, c *call) bool {
	return end.Before(start) || end.Sub(start) > maxSpan || c.sw.RefuseEndTime ||
		c.sw.RefuseFutureEndTime && end.After(c.clock())
}

// readTime is S11 and the shift of S18.
func readTime(text string, sw Switches) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil && sw.ZonelessRequest {
		t, err = time.Parse("2006-01-02T15:04:05", text)
	}
	return t.Truncate(time.Second).Add(-sw.RequestOffset), err == nil
}

func missing(c *call, param string) *answer {
	if c.sw.MissingAsInvalid {
		return invalid(c, param)
	}
	return refuse(c, http.StatusBadRequest, "Missing"+param, param)
}

func invalid(c *call, param string) *answer {
	return refuse(c, http.StatusBadRequest, codeInvalid, param)
}
