package operate

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// connection is what the first call showed of the way to DingTalk; a proxy stands in DingTalk's place where there is one.
type connection struct {
	mu        sync.Mutex
	addresses []string
	remote    string
	tls       *tls.ConnectionState
}

func (c *connection) trace() *httptrace.ClientTrace {
	note := func(f func()) {
		c.mu.Lock()
		defer c.mu.Unlock()
		f()
	}
	return &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) {
			note(func() {
				c.addresses = nil
				for _, a := range i.Addrs {
					c.addresses = append(c.addresses, a.String())
				}
			})
		},
		GotConn: func(i httptrace.GotConnInfo) { note(func() { c.remote = i.Conn.RemoteAddr().String() }) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				note(func() { c.tls = &state })
			}
		},
	}
}

// String says how far it came, "" if nothing was seen of it.
func (c *connection) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var parts []string
	if len(c.addresses) > 0 {
		parts = append(parts, "the name is "+strings.Join(c.addresses, ", "))
	}
	if c.remote != "" {
		parts = append(parts, "connected to "+c.remote)
	}
	if c.tls != nil {
		text := tls.VersionName(c.tls.Version)
		if len(c.tls.PeerCertificates) > 0 {
			leaf := c.tls.PeerCertificates[0]
			text += fmt.Sprintf(", certificate of %s by %s until %s",
				cmp.Or(leaf.Subject.CommonName, strings.Join(leaf.DNSNames, ", ")), leaf.Issuer, leaf.NotAfter.Format(time.DateOnly))
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}
