package dingtalktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Marks stand at the beginning of whatever a client must not write down, so that a test can look for them in its logs.
const (
	TokenMark     = "c0ffee5eca11" // of every access token; 20 hexadecimal digits follow
	PageTokenMark = "C0FFEE5E"     // of every nextToken; 8 hexadecimal digits follow
)

// issuer gives out one kind of access token. The zero value has none.
type issuer struct {
	token string
	until time.Time
	dead  bool // revoked within its validity
}

func (i *issuer) accepts(token string, now time.Time) bool {
	return i.token != "" && token == i.token && !i.dead && now.Before(i.until)
}

// ExpireTokens ends the validity of all access tokens: they are refused, and the next call for one gives a new one.
func (s *Server) ExpireTokens() {
	s.enter()
	defer s.mu.Unlock()
	s.expireTokens()
}

func (s *Server) expireTokens() { s.app, s.corp = issuer{}, issuer{} }

// RevokeToken kills the present access tokens within their validity: they are refused, and until their validity ends, unrenewed, a
// call for one gives the same dead one. [Server.ExpireTokens] ends it earlier.
func (s *Server) RevokeToken() {
	s.enter()
	defer s.mu.Unlock()
	s.revokeToken()
}

func (s *Server) revokeToken() { s.app.dead, s.corp.dead = s.app.token != "", s.corp.token != "" }

// issue is S5.
func (s *Server) issue(i *issuer, c *call) (token string, seconds int64) {
	if i.token == "" || !c.now.Before(i.until) {
		*i = issuer{token: s.issued.next(s.random.Uint64(), s.random.Uint64())}
	}
	if !i.dead {
		i.until = c.now.Add(c.sw.TokenTTL)
	}
	return i.token, int64(i.until.Sub(c.now) / time.Second)
}

// issueAppToken is S4.
func (s *Server) issueAppToken(c *call) *answer {
	var ask struct{ AppKey, AppSecret string }
	if !c.json || json.Unmarshal(c.body, &ask) != nil {
		return refuse(c, http.StatusBadRequest, codeNoBody, "body")
	}
	if c.foreign || ask.AppKey != s.appKey || ask.AppSecret != s.secret {
		return refuse(c, http.StatusBadRequest, codeBadClient, "")
	}
	token, seconds := s.issue(&s.app, c)
	return succeed(struct {
		AccessToken string `json:"accessToken"`
		ExpireIn    int64  `json:"expireIn"`
	}{token, seconds})
}

// issueCorpToken is S6.
func (s *Server) issueCorpToken(c *call) *answer {
	corpID := strings.TrimSuffix(strings.TrimPrefix(c.path, prefixCorpToken), suffixCorpToken)
	var ask struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		GrantType    string `json:"grant_type"`
	}
	switch {
	case c.foreign || corpID != s.corpID:
		return refuse(c, http.StatusInternalServerError, codeUnknownError, "")
	case !c.json || json.Unmarshal(c.body, &ask) != nil:
		return refuse(c, http.StatusBadRequest, codeNoBody, "body")
	case ask.GrantType != "client_credentials":
		return refuse(c, http.StatusBadRequest, codeGrantType, "")
	case ask.ClientID != s.appKey || ask.ClientSecret != s.secret:
		return refuse(c, http.StatusBadRequest, codeCorpClient, "")
	}
	token, seconds := s.issue(&s.corp, c)
	return succeed(struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}{token, seconds})
}

// issued numbers the access tokens, so that the access log need not hold them. It forgets the oldest.
type issued struct {
	count int
	ids   map[string]int
	order []string
}

// keepIssued is how many tokens are remembered; an older one counts as never issued.
const keepIssued = 1000

func (t *issued) next(a, b uint64) string {
	t.count++
	token := fmt.Sprintf(TokenMark+"%04x%016x", a&0xffff, b)
	if t.ids == nil {
		t.ids = map[string]int{}
	}
	t.ids[token] = t.count
	t.order = append(t.order, token)
	if len(t.order) > keepIssued {
		delete(t.ids, t.order[0])
		t.order = t.order[1:]
	}
	return token
}

func (t *issued) id(token string) int { return t.ids[token] }
