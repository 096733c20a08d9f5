// Package dingtalk asks DingTalk who left an organisation: every byte that is asked of DingTalk is asked here. It knows
// nothing of Kafka and keeps nothing but an access token.
//
// # The foreign API
//
// What follows is marked DOC where DingTalk's documentation says it, FIELD where one witness reports it, and UNKNOWN where
// nothing public settles it. This package must live with either answer to an UNKNOWN.
//
// Call. DOC: GET /v1.0/contact/empLeaveRecords ("query the details of employees who have left office") with startTime,
// endTime, nextToken and maxResults (at most 50); the access token stands in the header x-acs-dingtalk-access-token and
// nowhere else. FIELD: endTime is refused by some tenants ([Config].EndTime). FIELD: a "+" that is not escaped arrives as a
// space; so times are asked in UTC with a literal Z, in whole seconds, percent-encoded.
//
// Answer. DOC: 200 with {nextToken, records: [{userId, name, stateCode, mobile, leaveTime, leaveReason}]}, all of them
// strings. UNKNOWN: the order of records, whether the bounds are inclusive, whether a record may come twice, which fields
// may be missing, null, empty or masked. DOC: the examples of the platform write times in four shapes, one of them without
// seconds ([LeaveRecord].LeaveTime).
//
// Paging. DOC: the first nextToken is "0", the others are opaque. UNKNOWN: the end. A sibling API leaves nextToken out, others
// send null, "", "0" or the number 0: each of them ends the walk, a short or an empty page never does. UNKNOWN: how long a
// nextToken lives; DOC: whoever holds one that is refused starts again from the first page.
//
// Access token. DOC: valid for 7200 s; asking again within that time gives the same token and prolongs it. FIELD: a
// dead token is answered with 400 InvalidAuthentication, not 401, and may be issued again while DingTalk believes in it
// ([TokenError]).
//
// Errors. DOC: {code, requestid, message} under a status that says little: throttling is 403 beside missing permissions,
// system.error comes with 400, 500 and 503. FIELD: both casings of the keys, messages in two languages. So an answer is
// told by its code, and a message is never kept or printed: it may hold what was asked. Only the address that a refusal of this
// host's address names is taken out of one ([Error].Address).
//
// Block. DOC: above 10,000 calls in 20 s from one address every call is refused for five minutes. DOC: the refusal is an HTML
// page or a JSON object {"status": 1111, "punish": "deny"}; UNKNOWN: under which status. Read without suspicion, the object is an empty
// last page: therefore a page without the key records is an error here ([ProtocolError]).
//
// # What this package promises
//
// A page is whole or an error. No element of records is dropped: each one is a [LeaveRecord] that can be published, or one
// that says why it cannot. The client never retries and never waits by itself, but for its rate limiter and for one renewal
// of the access token: an error is the caller's to judge, and going on asks the same page again. No error and no log line
// holds a secret, an access token, a name or a mobile number.
//
// Nothing that is answered can hold a caller for long or fill the memory: a call ends after a minute without an answer, after
// ten seconds without a further byte, and after [Config].Timeout in any case; a header above 64 KiB, a body above 8 MiB as
// inflated and a list of more than 10,000 elements are refused, and no redirect is followed.
//
// What is UNKNOWN, a tenant may show: [Client.Observe] asks it.
package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// DefaultBaseURL is the deployment for organisations outside China. The other one is https://api.dingtalk.com; the
	// credentials of one are refused by the other.
	DefaultBaseURL = "https://api.dingtalk.io"
	// DefaultRate is a quarter of the 20 calls a second that DingTalk allows an app (standard edition): another program
	// may use the same app key.
	DefaultRate = 5
	// DefaultTimeout bounds one call, the body included.
	DefaultTimeout = 30 * time.Second
)

// TokenKind says which of DingTalk's two calls gives the access token.
type TokenKind int

const (
	// AppToken is the call for internal apps, /v1.0/oauth2/accessToken.
	AppToken TokenKind = iota
	// CorpToken is the newer call, /v1.0/oauth2/{corpId}/token.
	CorpToken
)

// Config is what a [Client] needs to know of one app in one organisation.
type Config struct {
	// BaseURL is where token and data calls go; nil: [DefaultBaseURL]. Redirects away from it are refused.
	BaseURL *url.URL
	// CorpID is the organisation; only [CorpToken] sends it.
	CorpID string
	// AppKey is the app's key, also called Client ID.
	AppKey string
	// Secret gives the app's secret. It is asked again each time a token is fetched: the secret may stand in a file that
	// was rotated.
	Secret func() (string, error)
	// Token is the call that gives the access token; the zero value is [AppToken].
	Token TokenKind
	// Rate is the most calls a second, token calls included; 0: [DefaultRate]. There is no burst: with one, the first
	// second would exceed the limit.
	Rate float64
	// Limiter takes the place of Rate if it is set. DingTalk counts the calls of an app, whoever makes them: clients with
	// one app key share one limiter, made by [NewLimiter].
	Limiter *Limiter
	// Timeout bounds one call from dialling to the last byte of the body; 0: [DefaultTimeout]. A longer one does not mean
	// longer silence: an answer must begin within a minute, and then bring a byte every ten seconds.
	Timeout time.Duration
	// EndTime sends endTime. Without it DingTalk answers with everything from startTime on.
	EndTime bool
	// Transport carries the calls; nil: one of its own, by [NewTransport], which honours HTTPS_PROXY.
	Transport http.RoundTripper
	// Log gets one debug line a call, and nothing else; nil: none.
	Log *slog.Logger
}

// Client makes the calls of one app in one organisation. Its methods may be called from several goroutines at once.
type Client struct {
	config Config
	http   *http.Client
	tokens *tokens
	clock  clock
	held   atomic.Pointer[time.Time] // no call is made before
}

// ErrHeld says that a call was not made, because of [Client.Hold].
var ErrHeld = errors.New("dingtalk is not to be called yet")

// Hold lets no call be made before a time: one whose turn at the rate limit comes earlier is an [ErrHeld]. So a call that waits for its
// turn is not made after another has shown that none may be. The zero time takes it back.
func (c *Client) Hold(until time.Time) { c.held.Store(&until) }

// New is a client for what c says. It dials nothing.
func New(c Config) *Client {
	if c.BaseURL == nil {
		c.BaseURL, _ = url.Parse(DefaultBaseURL)
	}
	if c.Limiter == nil {
		c.Limiter = NewLimiter(c.Rate)
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Transport == nil {
		c.Transport = NewTransport()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	client := &Client{config: c, http: &http.Client{Transport: c.Transport, CheckRedirect: refuseRedirect}}
	client.tokens = newTokens(client.fetchToken)
	return client
}

// Format prints which organisation the client is for, under every verb: fmt would follow the pointers down to the token.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "dingtalk client for "+c.config.CorpID)
}

// CheckToken reports whether DingTalk gives this app an access token. A token that is held already will do. It also makes
// DingTalk's clock known ([Client.Now]) before any leave record is asked for.
func (c *Client) CheckToken(ctx context.Context) error {
	_, err := c.tokens.get(ctx, "")
	return err
}
