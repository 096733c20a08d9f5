package dingtalk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// renewBefore is how long before its end a token is renewed. DOC: ten minutes. A token that lives less than an hour is
	// renewed when a sixth of its life is left.
	renewBefore = 10 * time.Minute
	// renewPause is how long a token that still lives is used after its renewal failed.
	renewPause = time.Minute
	// maxLifetime is the longest life that is believed; documented are two hours.
	maxLifetime = 24 * time.Hour

	opToken = "access token"
)

// tokens holds the access token of one app. One caller at a time looks at it and, if need be, fetches another; the callers
// who wait meanwhile share what the fetch brought.
type tokens struct {
	fetch func(context.Context) (Secret, time.Duration, error)

	fetches atomic.Int64  // fetches that ended, well or not
	turn    chan struct{} // holds one element while somebody has the fields below
	value   Secret        // "" before the first
	renewAt time.Time
	endsAt  time.Time
	err     error // of the last fetch
}

func newTokens(fetch func(context.Context) (Secret, time.Duration, error)) *tokens {
	return &tokens{fetch: fetch, turn: make(chan struct{}, 1)}
}

// get is a token that is not dead, the one which DingTalk no longer takes; "" if there is no such one. It may be dead all the same,
// if DingTalk issues it again: then there is no better one.
func (t *tokens) get(ctx context.Context, dead Secret) (Secret, error) {
	fetches := t.fetches.Load()
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w", opToken, ctx.Err())
	}
	if t.value != "" && t.value != dead && time.Now().Before(t.renewAt) {
		return t.value, nil
	}
	if t.fetches.Load() != fetches {
		return t.value, t.err // of the fetch that we waited for
	}
	return t.renew(ctx, dead)
}

// renew fetches a token. While the old one lives, a failure does not matter: an outage of the token call, or a secret in
// the middle of its rotation, must not stop the data calls.
func (t *tokens) renew(ctx context.Context, dead Secret) (Secret, error) {
	began := time.Now()
	value, lifetime, err := t.fetch(ctx)
	if err != nil && ctx.Err() != nil {
		return "", err // our caller's end; who waits behind us fetches for himself
	}
	t.fetches.Add(1)
	switch {
	case err == nil:
		t.value, t.endsAt = value, began.Add(lifetime)
		t.renewAt = t.endsAt.Add(-min(renewBefore, lifetime/6))
	case t.value != "" && t.value != dead && time.Now().Before(t.endsAt):
		t.renewAt = time.Now().Add(renewPause)
		if t.renewAt.After(t.endsAt) {
			t.renewAt = t.endsAt
		}
		err = nil
	default:
		t.value = ""
	}
	t.err = err
	return t.value, err
}

// fetchToken asks DingTalk for a token and says how long it will live. Where the secret is refused and is another by now, that one is
// tried: it may have been rotated while the call waited for its turn.
func (c *Client) fetchToken(ctx context.Context) (Secret, time.Duration, error) {
	secret, err := c.secret()
	if err != nil {
		return "", 0, err
	}
	token, lifetime, err := c.askToken(ctx, secret)
	if e, refused := errors.AsType[*Error](err); refused && isSecretRefusal(e.Code) {
		if rotated, err := c.secret(); err == nil && rotated != secret {
			return c.askToken(ctx, rotated)
		}
	}
	return token, lifetime, err
}

// isSecretRefusal says that the app's key or secret was refused. DOC.
func isSecretRefusal(code string) bool {
	return slices.Contains([]string{"invalidClientIdOrSecret", "invalid.client", "unauthorized.client"}, code)
}

func (c *Client) secret() (string, error) {
	secret, err := c.config.Secret()
	if err != nil {
		return "", fmt.Errorf("%s: app secret: %w", opToken, err)
	}
	if secret == "" {
		return "", errors.New(opToken + ": the app secret is empty")
	}
	return secret, nil
}

func (c *Client) askToken(ctx context.Context, secret string) (Secret, time.Duration, error) {
	call := c.config.tokenCall(secret)
	r, err := c.newRequest(ctx, nil, call.body, call.path...)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", opToken, err)
	}
	a, err := c.call(urgent(ctx), opToken, r)
	if err != nil {
		return "", 0, err
	}
	o, err := a.object(opToken)
	if e, ok := errors.AsType[*Error](err); ok {
		e.OfToken, e.OfCorp = true, c.config.Token == CorpToken
	}
	if err != nil {
		return "", 0, err
	}
	v, _ := o.get(call.token)
	token, ok := unquote(v)
	if !ok || !isHeaderValue(token) {
		return "", 0, a.protocolError(opToken, call.token+" is missing or cannot stand in a header")
	}
	seconds, err := strconv.ParseInt(o.text(call.lifetime), 10, 64)
	if err != nil || seconds <= 0 {
		return "", 0, a.protocolError(opToken, call.lifetime+" is not a number of seconds")
	}
	return Secret(strings.Clone(token)), time.Duration(min(seconds, int64(maxLifetime/time.Second))) * time.Second, nil
}

// tokenCall is what differs between DingTalk's two calls for a token.
type tokenCall struct {
	path            []string
	body            []byte
	token, lifetime string // their keys in the answer
}

func (c Config) tokenCall(secret string) tokenCall {
	if c.Token == CorpToken {
		return tokenCall{
			path:  []string{"v1.0", "oauth2", url.PathEscape(c.CorpID), "token"},
			body:  encode(map[string]string{"client_id": c.AppKey, "client_secret": secret, "grant_type": "client_credentials"}),
			token: "access_token", lifetime: "expires_in",
		}
	}
	return tokenCall{
		path:  []string{"v1.0", "oauth2", "accessToken"},
		body:  encode(map[string]string{"appKey": c.AppKey, "appSecret": secret}),
		token: "accessToken", lifetime: "expireIn",
	}
}

// encode is the JSON of a map of strings, which always has one.
func encode(m map[string]string) []byte {
	b, _ := json.Marshal(m)
	return b
}

// isHeaderValue says that s is printable ASCII without spaces: anything else net/http would refuse at every call. Many servers
// refuse a header of more than 8 KiB; seen are 32 characters.
func isHeaderValue(s string) bool {
	return 0 < len(s) && len(s) <= 4<<10 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || '~' < r })
}
