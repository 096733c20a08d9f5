package dingtalktest

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Deployment is one of the two DingTalks: they have one API, and nothing else in common.
type Deployment string

// The kinds of Deployment; the first is the default.
const (
	DotIO  Deployment = "io"  // api.dingtalk.io, organisations outside China
	DotCom Deployment = "com" // api.dingtalk.com
)

// Deployments are all kinds of Deployment.
func Deployments() []Deployment { return []Deployment{DotIO, DotCom} }

// Other is the other of the two.
func (d Deployment) Other() Deployment {
	if d == DotCom {
		return DotIO
	}
	return DotCom
}

func (d Deployment) orDefault() Deployment {
	if d == "" {
		return DotIO
	}
	if !slices.Contains(Deployments(), d) {
		panic(fmt.Sprintf("dingtalktest: deployment %q is none of %q", d, Deployments()))
	}
	return d
}

// Elsewhere is the deployment where the organisation does not live, whatever the host of the call: it knows neither the app nor the
// organisation nor its tokens.
func (s *Server) Elsewhere() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.respond(w, r, true) })
}

// foreign reports whether a call to this host, port or not, meets the deployment where the organisation does not live. A host that is
// none of DingTalk's is the organisation's own.
func (s *Server) foreign(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.EqualFold(host, "api.dingtalk."+string(s.home.Other()))
}
