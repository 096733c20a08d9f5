package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	firstToken = "0"
	// maxResults is always the most that DingTalk allows: what it does with more is unknown.
	maxResults = 50
	// maxPages bounds one walk: a million records. A walk that goes on longer will not end.
	maxPages = 20_000
	// maxBlankPages bounds the pages in a row that show nobody: a server that gives them for ever would keep everybody waiting for
	// an hour before maxPages is reached.
	maxBlankPages = 100
)

// LeaveRecords walks over the pages of the window from start to end, both cut to whole seconds; [Config].EndTime says
// whether DingTalk is told the end. DingTalk does not say whether the bounds are inclusive, nor in which order records come.
//
// An error is yielded without a page, and who goes on is given the same page again; the pause between is the caller's.
// After a [*NextTokenError] the walk begins again, and the next page has First set. When ctx ends, its error is yielded,
// once, and the walk stops: a walk is complete when a page with Last was seen, not when the loop is over.
//
// Other errors are [*Error], [*ProtocolError], [*TokenError] and those of the network, which have no type of their own.
func (c *Client) LeaveRecords(ctx context.Context, start, end time.Time) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for w := c.newWalk(start, end); !w.complete; {
			p, err := w.next(ctx)
			if err != nil && ctx.Err() != nil {
				yield(Page{}, fmt.Errorf("%s: %w", w.op, ctx.Err()))
				return
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// walk is where a walk over the pages of one window stands.
type walk struct {
	client   *Client
	op       string
	query    url.Values // without nextToken
	token    string     // of the page to ask next
	seen     map[string]bool
	pages    int // seen since the first one
	blank    int // of them, the last ones in a row that showed nobody
	complete bool
}

func (c *Client) newWalk(start, end time.Time) *walk {
	from, to := timestamp(start), timestamp(end)
	w := &walk{
		client: c, op: "leave records from " + from,
		query: url.Values{"startTime": {from}, "maxResults": {strconv.Itoa(maxResults)}},
	}
	if c.config.EndTime {
		w.op = "leave records " + from + " to " + to
		w.query.Set("endTime", to)
	}
	w.restart()
	return w
}

// timestamp is a time as DingTalk is asked for it.
func timestamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

func (w *walk) restart() { w.token, w.seen, w.pages, w.blank = firstToken, map[string]bool{}, 0, 0 }

// next asks for one page and moves on behind it.
func (w *walk) next(ctx context.Context) (Page, error) {
	first := w.token == firstToken
	w.query.Set("nextToken", w.token)
	a, o, err := w.client.get(ctx, w.op, w.query)
	if err != nil {
		return Page{}, w.judge(err, first)
	}
	records, token, reason := parsePage(o)
	if reason != "" {
		return Page{}, a.protocolError(w.op, reason)
	}
	w.pages++
	w.blank++
	if len(records) > 0 {
		w.blank = 0
	}
	switch {
	case token == "":
		w.complete = true
	case w.seen[token]:
		w.restart()
		return Page{}, &NextTokenError{Op: w.op, Reason: "dingtalk repeats a nextToken"}
	case w.blank >= maxBlankPages:
		w.restart()
		return Page{}, &NextTokenError{Op: w.op, Reason: fmt.Sprintf("no leave record in %d pages in a row, and no end", maxBlankPages)}
	case w.pages >= maxPages:
		w.restart()
		return Page{}, &NextTokenError{Op: w.op, Reason: fmt.Sprintf("no end after %d pages", maxPages)}
	default:
		w.token, w.seen[token] = token, true
	}
	return Page{Records: records, First: first, Last: w.complete, ArrivedAt: a.arrived}, nil
}

// judge tells a refused nextToken from other errors. The first page's token cannot be at fault.
func (w *walk) judge(err error, first bool) error {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok || e.Op != w.op: // the refusal of a token call says nothing about nextToken
		return err
	case first:
		e.FirstPage = true
		return err
	case !isNextTokenRefusal(e.Code):
		return err
	}
	w.restart()
	return &NextTokenError{Op: w.op, Reason: "nextToken was refused", Err: e}
}

// isParameterRefusal says that a call was refused for one of its parameters. DOC: the code is this API's, for any of them.
// FIELD: "Missing" and the name of a parameter.
func isParameterRefusal(code string) bool {
	return code == "invalidParameter.param.invalid" || strings.HasPrefix(code, "Missing")
}

// isNextTokenRefusal says that a page other than the first was refused for its nextToken: the other parameters are those of
// the first page, which was answered. DOC: the codes below are those of other APIs of the platform.
func isNextTokenRefusal(code string) bool {
	return isParameterRefusal(code) || slices.Contains([]string{
		"invalidParameter.cursor.invalid",
		"illegalParameter.nextToken",
		"invalidNextToken",
	}, code)
}

// codeDeadToken is how DingTalk refuses an access token. FIELD: with status 400.
const codeDeadToken = "InvalidAuthentication"

// get makes a data call, and makes it once more with a new token if the token was dead.
func (c *Client) get(ctx context.Context, op string, query url.Values) (answer, object, error) {
	r, err := c.newRequest(ctx, query, nil, "v1.0", "contact", "empLeaveRecords")
	if err != nil {
		return answer{}, nil, fmt.Errorf("%s: %w", op, err)
	}
	token, err := c.tokens.get(ctx, "")
	if err != nil {
		return answer{}, nil, fmt.Errorf("%s: %w", op, err)
	}
	a, o, err := c.getWith(ctx, op, r, token)
	dead, ok := errors.AsType[*Error](err)
	if !ok || dead.Code != codeDeadToken {
		return a, o, err
	}
	renewed, err := c.tokens.get(ctx, token)
	if err != nil {
		return answer{}, nil, fmt.Errorf("%s: %w", op, err)
	}
	if renewed == token {
		return answer{}, nil, &TokenError{Op: op, Reissued: true, Err: dead}
	}
	a, o, err = c.getWith(ctx, op, r, renewed)
	if again, ok := errors.AsType[*Error](err); ok && again.Code == codeDeadToken {
		return answer{}, nil, &TokenError{Op: op, Err: again}
	}
	return a, o, err
}

func (c *Client) getWith(ctx context.Context, op string, r *http.Request, token Secret) (answer, object, error) {
	r.Header.Set(tokenHeader, token.Plain())
	a, err := c.call(ctx, op, r)
	if err != nil {
		return answer{}, nil, err
	}
	o, err := a.object(op)
	return a, o, err
}
