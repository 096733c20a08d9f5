package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestEndOfWalk(t *testing.T) {
	for name, end := range map[string]string{
		"nextToken is absent":           ``,
		"nextToken is null":             `,"nextToken":null`,
		"nextToken is empty":            `,"nextToken":""`,
		"nextToken is the text 0":       `,"nextToken":"0"`,
		"nextToken is the number 0":     `,"nextToken":0`,
		"nextToken is in another case":  `,"NextToken":"b"`,
		"nextToken is the text 0 by \\": `,"nextToken":"\u0030"`,
	} {
		t.Run(name, func(t *testing.T) {
			h := &dingTalk{page: answers(`{"records":[`+record("u1")+`],"nextToken":"a"}`, `{"records":[`+record("u2")+`]`+end+`}`)}
			pages, errs := collect(newClient(h), 9)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			equalSlices(t, "asked", h.asked, []string{"0", "a"})
			equalSlices(t, "userIds", userIDs(pages), []string{"u1", "u2"})
			equal(t, "first", [2]bool{pages[0].First, pages[1].First}, [2]bool{true, false})
			equal(t, "last", [2]bool{pages[0].Last, pages[1].Last}, [2]bool{false, true})
		})
	}
}

func TestShortAndEmptyPagesDoNotEndAWalk(t *testing.T) {
	h := &dingTalk{page: answers(
		`{"records":[],"nextToken":"a b+c/=&"}`, `{"records":null,"nextToken":12345678901234567890}`,
		`{"records":[`+record("u1")+`],"nextToken":"z"}`, `{"records":null}`,
	)}
	pages, errs := collect(newClient(h), 9)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	equalSlices(t, "asked", h.asked, []string{"0", "a b+c/=&", "12345678901234567890", "z"})
	equal(t, "pages", len(pages), 4)
	equalSlices(t, "userIds", userIDs(pages), []string{"u1"})
}

func TestAFailedPageIsAskedAgain(t *testing.T) {
	h := &dingTalk{page: answers(`{"records":[],"nextToken":"a"}`, "!system.error", `{}`, `<html>`, `{"records":[`+record("u1")+`]}`)}
	pages, errs := collect(newClient(h), 9)
	equalSlices(t, "asked", h.asked, []string{"0", "a", "a", "a", "a"})
	equal(t, "errors", len(errs), 3)
	equal(t, "pages", len(pages), 2)
	equal(t, "second page is first", pages[1].First, false)
	if e, ok := errors.AsType[*Error](errs[0]); !ok || e.FirstPage {
		t.Errorf("got %v, want an error that is not of the first page", errs[0])
	}
}

func TestAConsumerThatStopsIsNotAskedAgain(t *testing.T) {
	h := &dingTalk{page: answers(`{"records":[],"nextToken":"a"}`)}
	collect(newClient(h), 1)
	equalSlices(t, "asked", h.asked, []string{"0"})
	h = &dingTalk{page: answers("!system.error")}
	collect(newClient(h), 1)
	equalSlices(t, "asked", h.asked, []string{"0"})
}

func TestASecondRangeWalksAgain(t *testing.T) {
	h := &dingTalk{page: answers(`{"records":[],"nextToken":"a"}`, `{"records":[]}`, `{"records":[],"nextToken":"a"}`, `{"records":[]}`)}
	walk := newClient(h).LeaveRecords(t.Context(), windowStart, windowEnd)
	for range 2 {
		for _, err := range walk {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	equalSlices(t, "asked", h.asked, []string{"0", "a", "0", "a"})
}

func TestARepeatedNextTokenStartsTheWalkAgain(t *testing.T) {
	page := func(next string) string { return `{"records":[],"nextToken":"` + next + `"}` }
	for name, bodies := range map[string][]string{
		"its own":      {page("a"), page("b"), page("b"), page("c"), `{"records":[]}`},
		"an older one": {page("a"), page("b"), page("a"), page("a"), `{"records":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			h := &dingTalk{page: answers(bodies...)}
			pages, errs := collect(newClient(h), 9)
			equal(t, "errors", len(errs), 1)
			e, ok := errors.AsType[*NextTokenError](errs[0])
			if !ok || e.Err != nil || errors.Unwrap(e) != nil {
				t.Fatalf("got %v", errs[0])
			}
			equal(t, "text", e.Error(), op+": dingtalk repeats a nextToken")
			equal(t, "calls", len(h.asked), 5)
			equalSlices(t, "asked after it", h.asked[2:4], []string{"b", "0"})
			equal(t, "pages", len(pages), 4)
			equal(t, "the page after it is first", pages[2].First, true)
		})
	}
}

func TestARefusedNextTokenStartsTheWalkAgain(t *testing.T) {
	for _, code := range []string{
		"invalidParameter.param.invalid", "invalidParameter.cursor.invalid", "illegalParameter.nextToken", "invalidNextToken", "MissingnextToken",
	} {
		t.Run(code+" on a later page", func(t *testing.T) {
			h := &dingTalk{page: answers(`{"records":[],"nextToken":"a"}`, "!"+code, `{"records":[],"nextToken":"a"}`, `{"records":[]}`)}
			pages, errs := collect(newClient(h), 9)
			equalSlices(t, "asked", h.asked, []string{"0", "a", "0", "a"})
			equal(t, "errors", len(errs), 1)
			e, ok := errors.AsType[*NextTokenError](errs[0])
			if !ok || e.Err == nil || e.Err.Code != code {
				t.Fatalf("got %v", errs[0])
			}
			if inner, ok := errors.AsType[*Error](errors.Unwrap(e)); !ok || inner != e.Err {
				t.Error("the refusal is not wrapped")
			}
			equal(t, "text", e.Error(), op+": dingtalk 400 "+code+" (request R1): nextToken was refused")
			equal(t, "the page after it is first", pages[1].First, true)
		})
		t.Run(code+" on the first page is no fault of nextToken", func(t *testing.T) {
			h := &dingTalk{page: answers("!" + code)}
			err := firstError(t, newClient(h))
			if _, ok := errors.AsType[*NextTokenError](err); ok {
				t.Errorf("got %v", err)
			}
			if e, ok := errors.AsType[*Error](err); !ok || !e.FirstPage || e.Code != code {
				t.Errorf("got %#v", err)
			}
		})
	}
	t.Run("a token call's refusal on a later page is no fault of nextToken", func(t *testing.T) {
		data, tokens := answers(`{"records":[],"nextToken":"a"}`, "!InvalidAuthentication", `{"records":[]}`), 0
		c := newClient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				data(w, r)
				return
			}
			if tokens++; tokens == 1 {
				_, _ = io.WriteString(w, `{"accessToken":"t1","expireIn":7200}`)
			} else {
				answers("!Missingbody")(w, r)
			}
		}))
		_, errs := collect(c, 2)
		_, isNextToken := errors.AsType[*NextTokenError](errs[0])
		equal(t, "next token error", isNextToken, false)
		equal(t, "text", errs[0].Error(), op+": access token: dingtalk 400 Missingbody (request R1)")
	})
}

func TestAWalkWithoutEndIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		records string
		pages   int
		reason  string
	}{
		"pages that show somebody": {record("u1"), maxPages, "no end after 20000 pages"},
		"pages that show nobody":   {"", maxBlankPages, "no leave record in 100 pages in a row, and no end"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			h := &dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
				n++
				fmt.Fprintf(w, `{"records":[%s],"nextToken":"t%d"}`, c.records, n)
			}}
			pages, errs := collect(newClient(h), c.pages+1)
			equal(t, "errors", len(errs), 1)
			if _, ok := errors.AsType[*NextTokenError](errs[0]); !ok {
				t.Fatalf("got %v", errs[0])
			}
			equal(t, "text", errs[0].Error(), op+": "+c.reason)
			equal(t, "calls", len(h.asked), c.pages+1)
			equal(t, "asked after it", h.asked[c.pages], "0")
			equal(t, "the page after it is first", pages[len(pages)-1].First, true)
		})
	}
}

// TestBlankPagesAreCountedInARow has somebody on every hundredth page.
func TestBlankPagesAreCountedInARow(t *testing.T) {
	n := 0
	h := &dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
		if n++; n%maxBlankPages == 0 {
			fmt.Fprintf(w, `{"records":[%s],"nextToken":"t%d"}`, record("u1"), n)
			return
		}
		fmt.Fprintf(w, `{"records":[],"nextToken":"t%d"}`, n)
	}}
	_, errs := collect(newClient(h), 5*maxBlankPages)
	equal(t, "errors", len(errs), 0)
}

func TestAnEndedContextStopsTheWalk(t *testing.T) {
	t.Run("before it begins", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		h := &dingTalk{page: answers(`{"records":[]}`)}
		pages, errs := collectContext(ctx, newClient(h), 9)
		if len(pages) != 0 || len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
			t.Errorf("got %v, %v", pages, errs)
		}
		equal(t, "calls", len(h.asked)+h.tokenCalls, 0)
	})
	t.Run("between two pages", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := &dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
			cancel()
			_, _ = io.WriteString(w, `{"records":[],"nextToken":"a"}`)
		}}
		pages, errs := collectContext(ctx, newClient(h), 9)
		if len(pages) != 1 || len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
			t.Errorf("got %v, %v", pages, errs)
		}
		equal(t, "calls", len(h.asked), 1)
	})
	t.Run("together with a refusal", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := &dingTalk{page: func(w http.ResponseWriter, r *http.Request) {
			cancel()
			answers("!system.error")(w, r)
		}}
		_, errs := collectContext(ctx, newClient(h), 9)
		if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
			t.Errorf("got %v", errs)
		}
	})
	t.Run("while an answer is awaited", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			h := &dingTalk{page: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
			began := time.Now()
			_, errs := collectContext(ctx, newClient(stalled{h}), 9)
			if len(errs) != 1 || !errors.Is(errs[0], context.DeadlineExceeded) {
				t.Errorf("got %v", errs)
			}
			equal(t, "after", time.Since(began), time.Second)
		})
	})
	t.Run("while the rate is waited for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			h := &dingTalk{page: answers(`{"records":[]}`)}
			began := time.Now()
			_, errs := collectContext(ctx, newClient(h, func(c *Config) { c.Rate = 0.1 }), 9)
			if len(errs) != 1 || !errors.Is(errs[0], context.DeadlineExceeded) {
				t.Errorf("got %v", errs)
			}
			equal(t, "after", time.Since(began), time.Second)
			equal(t, "data calls", len(h.asked), 0)
		})
	})
}

// stalled answers a data call with an error page only when the caller has given up, as a recorder must answer something.
type stalled struct{ *dingTalk }

func (s stalled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.dingTalk.ServeHTTP(w, r)
	if r.Context().Err() != nil {
		w.WriteHeader(http.StatusBadGateway)
	}
}

func TestThePageSaysWhenItArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := answering(200, `{"records":[]}`, "Date", "Mon, 03 Jun 2024 10:00:00 GMT")
		pages, _ := collect(newClient(h), 1)
		if !pages[0].ArrivedAt.Equal(time.Now()) {
			t.Errorf("ArrivedAt: got %v", pages[0].ArrivedAt)
		}
	})
}
