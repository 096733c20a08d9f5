package dingtalk

import (
	"fmt"
	"strings"
	"time"
)

// BanPause is how long DingTalk refuses an address that it has blocked. DOC.
const BanPause = 5 * time.Minute

// Error is a refusal by DingTalk, or by something on the way that answers in its place. What to do about it is told by
// Code; Status tells it only where there is no code.
type Error struct {
	Op         string        // what was tried, with its arguments
	Status     int           // HTTP status
	Code       string        // DingTalk's code; empty if the answer has none; "errcode " and the number for an answer in the legacy style
	RequestID  string        // DingTalk's name for the call; empty if the answer has none
	Scopes     []string      // the permissions that the app lacks, if the answer names them
	Address    string        // where DingTalk saw the call come from, if it refuses that address and names it
	RetryAfter time.Duration // how long not to call: the header Retry-After, at most an hour; at least BanPause if Banned; 0: not said
	Banned     bool          // DingTalk has blocked this machine's address: any call, of any app, is refused for BanPause
	HTML       bool          // the body is a page for people
	Empty      bool          // there is no body; under 403 that is throttling or a missing permission (DOC)
	OfToken    bool          // the refused call was for an access token
	OfCorp     bool          // and named the organisation
	FirstPage  bool          // the refused call was for the first page of leave records: nextToken was not to blame
}

// Error says what was tried and what DingTalk answered.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: dingtalk %d", e.Op, e.Status)
	switch {
	case e.Code != "":
		b.WriteString(" " + e.Code)
	case e.HTML:
		b.WriteString(" with an HTML page")
	case e.Empty:
		b.WriteString(" without a body")
	}
	if e.Banned {
		b.WriteString(", the address of this machine is blocked")
	}
	if len(e.Scopes) > 0 {
		b.WriteString(", the app lacks " + strings.Join(e.Scopes, ", "))
	}
	return b.String() + request(e.RequestID)
}

// ProtocolError is an answer that is no page and no refusal: it cannot be taken for either.
type ProtocolError struct {
	Op        string // what was tried, with its arguments
	Status    int    // HTTP status
	Reason    string // what is wrong, without any of the answer's text
	RequestID string // DingTalk's name for the call; empty if the answer has none
}

// Error says what was tried and what is wrong with the answer.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("%s: dingtalk %d: %s%s", e.Op, e.Status, e.Reason, request(e.RequestID))
}

// NextTokenError ends a walk over pages without its end: DingTalk repeated a nextToken, refused one, or gave new ones for
// ever. What was collected is void. Going on starts the walk again at its first page.
type NextTokenError struct {
	Op     string // what was tried, with its arguments
	Reason string // what is wrong, without the token
	Err    *Error // the refusal; nil if nextToken was not refused
}

// Error says what was tried and what is wrong with nextToken.
func (e *NextTokenError) Error() string {
	if e.Err != nil {
		return e.Err.Error() + ": " + e.Reason
	}
	return e.Op + ": " + e.Reason
}

// Unwrap is the refusal, if there was one.
func (e *NextTokenError) Unwrap() error {
	if e.Err == nil {
		return nil
	}
	return e.Err
}

// TokenError says that DingTalk refuses the access token that it has just given. Time heals it, or a person: DingTalk issues
// the same token again for as long as it takes it for valid.
type TokenError struct {
	Op       string // what was tried, with its arguments
	Reissued bool   // the new token is the refused one; false: it is another, and refused too
	Err      *Error // the refusal
}

// Error says what was tried and that a new token does not help.
func (e *TokenError) Error() string {
	if e.Reissued {
		return e.Err.Error() + ": dingtalk issues the same access token again"
	}
	return e.Err.Error() + ": a new access token is refused too"
}

// Unwrap is the refusal.
func (e *TokenError) Unwrap() error { return e.Err }

func request(id string) string {
	if id == "" {
		return ""
	}
	return " (request " + id + ")"
}
