package operate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"departures/connector"
	"departures/connector/dingtalk"
)

const (
	// clocksApart is from how far on DingTalk's clock and this host's are worth a word; a running connector says the same.
	clocksApart = time.Minute
	// lastDay is the window of the one page that shows whether leave records may be read.
	lastDay = 24 * time.Hour
)

// checkDingTalk asks one organisation's DingTalk. Each question needs the answer to the one before it.
func checkDingTalk(ctx context.Context, o connector.Org) Section {
	s := Section{Title: fmt.Sprintf("DingTalk: organisation %s at %s", o.CorpID, o.DingTalk.BaseURL)}
	client := dingtalk.New(o.DingTalk)
	var seen connection
	err := patiently(ctx, func() error { return client.CheckToken(httptrace.WithClientTrace(ctx, seen.trace())) })
	if text := seen.String(); text != "" {
		s.add("connection", Fine, "%s", text)
	}
	if err != nil {
		s.add("access token", Fault, "%s", explained(err))
		return s
	}
	s.add("access token", Fine, "DingTalk gives the app one")
	now := s.clock(client)
	s.corpID(ctx, o)
	if !s.leaveRecords(ctx, client, now) {
		return s
	}
	err = patiently(ctx, func() (err error) {
		s.Traits, err = client.Observe(ctx, now)
		return err
	})
	if err != nil {
		s.add("behaviour", Warning, "not all of it could be seen: %s", explained(err))
	}
	return s
}

// patiently asks up to three times, a second apart, as long as it is time that heals what went wrong: one call in twenty may fail on
// a good day.
func patiently(ctx context.Context, ask func() error) error {
	const pause, again = time.Second, 2
	return backoff.Retry(func() error {
		err := ask()
		if _, fix := connector.Explain(err); err != nil && fix != "" {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(backoff.WithMaxRetries(backoff.NewConstantBackOff(pause), again), ctx))
}

// clock compares the clocks and gives the earlier one.
func (s *Section) clock(client *dingtalk.Client) time.Time {
	theirs, known := client.Now()
	ahead := time.Until(theirs).Round(time.Second)
	switch {
	case !known:
		s.add("clock", Warning, "DingTalk's answers bear no date: this host's clock has to be right")
		return time.Now()
	case ahead.Abs() > clocksApart:
		s.add("clock", Warning, "DingTalk's clock is %s ahead of this host's (below zero: behind): departures may come later by as much: set this host's clock", ahead)
	default:
		s.add("clock", Fine, "within %s of this host's", clocksApart)
	}
	if ahead > 0 {
		return time.Now()
	}
	return theirs
}

// corpID finds out whether DingTalk knows the organisation as the app's. The call for a token of the organisation is the only one that
// names it; how it answers to a wrong corp id is known from one witness, so other refusals say nothing.
func (s *Section) corpID(ctx context.Context, o connector.Org) {
	const subject = "corp id"
	var err error
	if o.DingTalk.Token != dingtalk.CorpToken { // else the token that there is tells it
		o.DingTalk.Token = dingtalk.CorpToken
		client := dingtalk.New(o.DingTalk)
		err = patiently(ctx, func() error { return client.CheckToken(ctx) })
	}
	refusal, refused := errors.AsType[*dingtalk.Error](err)
	switch {
	case err == nil:
		s.add(subject, Fine, "DingTalk gives the app a token of organisation %s", o.CorpID)
	case refused && refusal.Code == "unknownError":
		s.add(subject, Fault, "DingTalk answers as it does to a corp id that is not the app's (%v): correct DINGTALK_CORP_ID; it is part of every event's key", err)
	default:
		s.add(subject, Warning, "cannot be told (%v): make sure that DINGTALK_CORP_ID is the organisation's; it is part of every event's key", err)
	}
}

// leaveRecords asks for one page, and reports whether it came.
func (s *Section) leaveRecords(ctx context.Context, client *dingtalk.Client, now time.Time) bool {
	const subject = "leave records"
	var first dingtalk.Page
	err := patiently(ctx, func() (err error) {
		for first, err = range client.LeaveRecords(ctx, now.Add(-lastDay), now) {
			return err
		}
		return nil
	})
	if err != nil {
		s.add(subject, Fault, "%s", explained(err))
		return false
	}
	s.add(subject, Fine, "may be read; %d on the first page of the last 24 hours", len(first.Records))
	for _, lr := range first.Records {
		if lr.Unreadable != "" {
			s.add(subject, Warning, "one of them would be quarantined: %s", lr.Unreadable)
		}
	}
	return true
}

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
			text += fmt.Sprintf(", certificate of %s by %s until %s", leaf.Subject.CommonName, leaf.Issuer.CommonName, leaf.NotAfter.Format(time.DateOnly))
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}
