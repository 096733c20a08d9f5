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
	// usualBody bounds the room that is made for a body before it comes: an answer may announce anything.
	usualBody = 64 << 10
	// maxHeader bounds an answer's header. DingTalk's is below 1 KiB.
	maxHeader = 64 << 10
	// maxDelay is how long an answer may take to begin, however long a call may take: a gateway gives up what stands behind
	// it after a minute (nginx's default) and says so, and then nobody is left who would answer.
	maxDelay = time.Minute
	// maxSilence is how long an answer that has begun may bring no byte of its body. TCP sends a lost segment again after 1,
	// 2 and 4 s: three losses in a row are put up with.
	maxSilence = 10 * time.Second

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
// own, if ctx has ended, or one of the network, or says what did not come in time and wraps [os.ErrDeadlineExceeded].
func (c *Client) call(ctx context.Context, op string, r *http.Request) (answer, error) {
	if err := c.config.Limiter.wait(ctx); err != nil {
		return answer{}, fmt.Errorf("%s: %w", op, err)
	}
	if held := c.held.Load(); held != nil && time.Now().Before(*held) {
		return answer{}, fmt.Errorf("%s: %w", op, ErrHeld)
	}
	limited, cancel := context.WithTimeoutCause(ctx, c.config.Timeout, late("whole answer", c.config.Timeout))
	defer cancel()
	limited, giveUp := context.WithCancelCause(limited)
	defer giveUp(nil)
	began := time.Now()
	a, err := c.exchange(r.WithContext(limited), giveUp)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = ctx.Err()
	case limited.Err() != nil:
		err = context.Cause(limited)
	}
	c.logCall(ctx, op, a, time.Since(began), err)
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", op, err)
	}
	return a, nil
}

// logCall writes a call's one line, which is put together only where it is wanted.
func (c *Client) logCall(ctx context.Context, op string, a answer, took time.Duration, err error) {
	if !c.config.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("op", op), slog.Int("status", a.status), slog.String("request_id", a.requestID()), slog.Duration("duration", took),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	c.config.Log.LogAttrs(ctx, slog.LevelDebug, "dingtalk call", attrs...)
}

// late is the error of a call in which something did not come in time. It is no error of a context: those mean that the caller
// gave up.
func late(what string, within time.Duration) error {
	return fmt.Errorf("no %s within %s: %w", what, within, os.ErrDeadlineExceeded)
}

// exchange sends r and reads the answer. It gives r up when no byte comes for too long.
func (c *Client) exchange(r *http.Request, giveUp context.CancelCauseFunc) (answer, error) {
	called := time.Now()
	delay := time.AfterFunc(maxDelay, func() { giveUp(late("answer", maxDelay)) })
	resp, err := c.http.Do(r)
	delay.Stop()
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
		c.clock.read(a.server, called, time.Now())
	}
	a.body, a.tooLarge, err = readBody(resp.Body, resp.ContentLength, giveUp)
	a.arrived = time.Now()
	if err != nil {
		return a, networkError{err}
	}
	return a, nil
}

// readBody reads a body whole, inflated; length is what the answer announces, below 0 if it does not. One that is too large is read
// no further: closing it ends its connection, or its stream over HTTP/2.
func readBody(r io.Reader, length int64, giveUp context.CancelCauseFunc) (body []byte, tooLarge bool, err error) {
	silence := time.AfterFunc(maxSilence, func() { giveUp(late("further byte", maxSilence)) })
	defer silence.Stop()
	body, err = readAll(io.LimitReader(audible{r, silence}, maxBody+1), length)
	if len(body) > maxBody {
		return nil, true, err
	}
	return body, false, err
}

// readAll is io.ReadAll, without its copies where the length is known.
func readAll(r io.Reader, length int64) ([]byte, error) {
	if length < 0 || length > usualBody {
		return io.ReadAll(r)
	}
	b := bytes.NewBuffer(make([]byte, 0, length+bytes.MinRead)) // or it would grow once more to see that nothing follows
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// audible is a body whose bytes put off the end of the silence.
type audible struct {
	io.Reader
	silence *time.Timer
}

func (a audible) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.silence.Reset(maxSilence)
	}
	return n, err
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

// NewTransport is a transport like the standard library's default, for one client or for all: of a host it keeps every connection that
// it may keep, where the default keeps two, and calls at the same time would dial again and again.
func NewTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxResponseHeaderBytes = maxHeader
	t.MaxIdleConnsPerHost = t.MaxIdleConns
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
