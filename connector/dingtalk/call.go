package dingtalk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// maxBody bounds an answer after inflation. Fifty records of the documented size are below 20 KiB.
	maxBody = 8 << 20
	// maxHeader bounds an answer's header. DingTalk's is below 1 KiB.
	maxHeader = 64 << 10

	tokenHeader     = "X-Acs-Dingtalk-Access-Token"
	requestIDHeader = "X-Acs-Request-Id"
)

// newRequest is a call to a path below the base URL. A body makes it a POST of JSON.
func (c *Client) newRequest(ctx context.Context, query url.Values, body []byte, path ...string) (*http.Request, error) {
	u := c.config.BaseURL.JoinPath(path...)
	u.RawQuery = query.Encode()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "departures")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// call makes one call, as soon as the rate allows it, and reads the whole answer, whatever it says. The error is ctx's
// own, if ctx has ended, or one of the network.
func (c *Client) call(ctx context.Context, op string, r *http.Request) (answer, error) {
	if err := c.limiter.Wait(ctx); err != nil {
		// Wait fails at once when ctx will end before the call's turn; ctx is let end, so that there is one error for it.
		<-ctx.Done()
		return answer{}, fmt.Errorf("%s: %w", op, ctx.Err())
	}
	limited, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	began := time.Now()
	a, err := c.exchange(r.WithContext(limited))
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = ctx.Err()
	case limited.Err() != nil:
		// Not ctx's error: that one means that the caller gave up.
		err = fmt.Errorf("no whole answer within %s: %w", c.config.Timeout, os.ErrDeadlineExceeded)
	}
	log := c.config.Log.With(slog.String("op", op), slog.Int("status", a.status), slog.String("request_id", a.requestID()),
		slog.Duration("duration", time.Since(began)))
	if err != nil {
		log.DebugContext(ctx, "dingtalk call", "err", err)
		return answer{}, fmt.Errorf("%s: %w", op, err)
	}
	log.DebugContext(ctx, "dingtalk call")
	return a, nil
}

// exchange sends r and reads the answer.
func (c *Client) exchange(r *http.Request) (answer, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		// The URL is left out: the operation says the same, and nextToken is nobody's business.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return answer{}, networkError{err}
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.server = date.UTC()
		c.clock.Store(&reading{date: a.server, at: time.Now()})
	}
	// Longer than maxBody by one byte: too long.
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	a.arrived = time.Now()
	if err != nil {
		return a, networkError{err}
	}
	return a, nil
}

// networkError is an error of net/http that does not quote the answer. net/http prints what it could not read of one, and
// that may be anything, a name or a token included.
type networkError struct{ err error }

func (e networkError) Error() string {
	s, _, _ := strings.Cut(e.err.Error(), `"`)
	s, _, _ = strings.Cut(s, " header line:")
	return strings.TrimSpace(s)
}

func (e networkError) Unwrap() error { return e.err }

// newTransport is a transport like the standard library's default.
func newTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxResponseHeaderBytes = maxHeader
	t.Proxy = proxy
	return t
}

// proxy is http.ProxyFromEnvironment, whose error holds the address, and the address may hold a password.
func proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy address in the environment cannot be read")
	}
	return u, nil
}

// refuseRedirect makes a redirect an answer like any other. net/http would send the access token along, even to another
// host, because it knows nothing of DingTalk's header.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
