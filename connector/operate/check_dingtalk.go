package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"time"

	"departures/connector"
	"departures/connector/dingtalk"
)

const (
	// lastDay is the window of the one page that shows whether leave records may be read.
	lastDay = 24 * time.Hour
	// interrupted is what becomes of a question when the check is ended.
	interrupted = "the check was interrupted before this was known"
)

// checkDingTalk asks one organisation's DingTalk. Each question needs the answer to the one before it. Where the same app was asked much for
// another organisation, like, it is asked little.
func checkDingTalk(ctx context.Context, o connector.Org, like string) Section {
	s := Section{Title: fmt.Sprintf("DingTalk: organisation %s at %s", o.CorpID, o.DingTalk.BaseURL)}
	client := dingtalk.New(o.DingTalk)
	var seen connection
	err := patiently(ctx, func() error { return client.CheckToken(httptrace.WithClientTrace(ctx, seen.trace())) })
	if text := seen.String(); text != "" {
		s.add("connection", Fine, "%s", text)
	}
	if err != nil {
		s.add("access token", Fault, "%s", explained(ctx, err))
		return s
	}
	s.add("access token", Fine, "DingTalk gives the app one")
	now := s.clock(client)
	s.corpID(ctx, o)
	switch {
	case !s.leaveRecords(ctx, client, now):
	case like != "":
		s.add("behaviour", Fine, "looked at with organisation %s, which has the same app", like)
	default:
		s.behaviour(ctx, client, now, o.DingTalk.EndTime)
	}
	return s
}

// clock compares the clocks and gives the earlier one.
func (s *Section) clock(client *dingtalk.Client) time.Time {
	theirs, known := client.Now()
	ahead := time.Until(theirs).Round(time.Second)
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	switch {
	case !known:
		s.add("clock", Warning, "DingTalk's answers bear no date: this host's clock has to be right")
		return time.Now()
	case ahead.Abs() > connector.SkewWarning:
		s.add("clock", Warning, "DingTalk's clock is %s %s this host's: departures may come later by as much: set this host's clock", ahead.Abs(), side)
	default:
		s.add("clock", Fine, "within %s of this host's", connector.SkewWarning)
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
	case ctx.Err() != nil:
		s.add(subject, Fault, interrupted)
	case refused && refusal.Code == "unknownError" && refusal.Status == http.StatusInternalServerError:
		s.add(subject, Fault, "DingTalk answers as it does to a corp id that is not the app's (%v): correct DINGTALK_CORP_ID (in ORGS_FILE corp_id); it is part of every event's key", err)
	default:
		s.add(subject, Warning, "cannot be told (%v): make sure that DINGTALK_CORP_ID (in ORGS_FILE corp_id) is the organisation's; it is part of every event's key", err)
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
		s.add(subject, Fault, "%s", explained(ctx, err))
		return false
	}
	s.add(subject, Fine, "may be read; %d on the first page of the last 24 hours", len(first.Records))
	return true
}

// behaviour looks at how DingTalk behaves where no document says it, and whether a run would get along with that. Of several attempts the
// one counts that saw most.
func (s *Section) behaviour(ctx context.Context, client *dingtalk.Client, now time.Time, endTime bool) {
	const subject = "behaviour"
	var most dingtalk.Observation
	err := patiently(ctx, func() error {
		o, err := client.Observe(ctx, now)
		if told(o) >= told(most) {
			most = o
		}
		return err
	})
	s.Traits = most.Traits
	if err != nil {
		s.add(subject, levelOf(ctx, err), "not all of it could be seen: %s", explained(ctx, err))
	}
	for _, reason := range slices.Sorted(maps.Keys(most.Unreadable)) {
		level := Warning
		if most.Readable == 0 {
			level = Fault
		}
		s.add("leave records", level, "%d that were shown would be quarantined and not published: %s", most.Unreadable[reason], reason)
	}
	if most.Misled != "" {
		s.add("paging", Fault, "%s: a walk of more than one page would begin again and again; ask DingTalk's support about it", most.Misled)
	}
	if i := slices.IndexFunc(most.Traits, func(t dingtalk.Trait) bool { return t.Switch == "refuse-end-time" }); i >= 0 && most.Traits[i].Seen == "false" && !endTime {
		s.add(subject, Warning, "endTime is answered: DINGTALK_END_TIME=always costs fewer calls than never")
	}
}

// told is how many traits an observation could tell.
func told(o dingtalk.Observation) (n int) {
	for _, t := range o.Traits {
		if t.Seen != "" {
			n++
		}
	}
	return n
}

// patiently asks up to three times, as long as what went wrong may pass within about a minute: one call in twenty may fail on a good
// day, and a secret that is refused is not offered again.
func patiently(ctx context.Context, ask func() error) error {
	const times, patience = 3, 70 * time.Second
	for n := 1; ; n++ {
		err := ask()
		if err == nil || n == times {
			return err
		}
		_, _, again := connector.Explain(err)
		if again > patience {
			return err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return err
		}
	}
}

// needsPerson says that time alone heals the error no more.
func needsPerson(err error) bool {
	_, fix, _ := connector.Explain(err)
	return fix != "" && !strings.HasPrefix(fix, "if it lasts")
}

// levelOf is how much an error of the observation matters, which a run can do without.
func levelOf(ctx context.Context, err error) Level {
	if ctx.Err() != nil || needsPerson(err) {
		return Fault
	}
	return Warning
}

// explained is an error of DingTalk's side as a finding's text: what it is, the error, and the way out.
func explained(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return interrupted
	}
	what, fix, _ := connector.Explain(err)
	_, answered := errors.AsType[*dingtalk.Error](err)
	switch {
	case what == "throttled":
		fix = cmp.Or(fix, "lower DINGTALK_RATE if another program uses the app; an empty 403 may also be a missing permission")
	case !answered:
		fix = cmp.Or(fix, "ask again in a few minutes; if it lasts: check DINGTALK_BASE_URL, DINGTALK_TIMEOUT, the firewall, and HTTPS_PROXY")
	}
	return what + ": " + err.Error() + ": " + cmp.Or(fix, "ask again in a few minutes")
}
