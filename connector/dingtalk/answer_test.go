package dingtalk

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answering is DingTalk with one answer to every data call.
func answering(status int, body string, header ...string) *dingTalk {
	return &dingTalk{page: func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}}
}

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   Error // Op, FirstPage and Scopes apart
		text   string
	}{
		{
			"throttling is told by its code", 403,
			`{"code":"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi","requestid":"7A-1","message":"canary-name"}`,
			Error{Status: 403, Code: "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", RequestID: "7A-1"},
			op + ": dingtalk 403 Forbidden.AccessDenied.QpsLimitForAppkeyAndApi (request 7A-1)",
		},
		{
			"keys in camel case", 500, `{"Code":"system.error","RequestId":"7A-2","Message":"m"}`,
			Error{Status: 500, Code: "system.error", RequestID: "7A-2"},
			op + ": dingtalk 500 system.error (request 7A-2)",
		},
		{"requestId", 500, `{"code":"system.error","requestId":"7A-3"}`, Error{Status: 500, Code: "system.error", RequestID: "7A-3"}, ""},
		{"the header names the call if the body does not", 500, `{"code":"x"}`, Error{Status: 500, Code: "x", RequestID: "H-1"}, ""},
		{"200 with an error body", 200, `{"code":"system.error","message":"m"}`, Error{Status: 200, Code: "system.error", RequestID: "H-1"}, ""},
		{"200 with an error body in camel case", 200, `{"Code":"system.error","Message":"m"}`, Error{Status: 200, Code: "system.error", RequestID: "H-1"}, ""},
		{"200 with an error body and records", 200, `{"code":"system.error","message":"m","records":[]}`, Error{Status: 200, Code: "system.error", RequestID: "H-1"}, ""},
		{"200 with an error body in camel case and records", 200, `{"Code":"x","Message":"m","records":[]}`, Error{Status: 200, Code: "x", RequestID: "H-1"}, ""},
		{"200 with a code and no records", 200, `{"code":"system.error"}`, Error{Status: 200, Code: "system.error", RequestID: "H-1"}, ""},
		{"a code that is a number", 400, `{"code":88,"message":"m"}`, Error{Status: 400, Code: "88", RequestID: "H-1"}, ""},
		{"legacy error body", 200, `{"errcode":40014,"errmsg":"m"}`, Error{Status: 200, Code: "errcode 40014", RequestID: "H-1"}, ""},
		{"legacy error body with records", 200, `{"errcode":88,"errmsg":"m","records":[]}`, Error{Status: 200, Code: "errcode 88", RequestID: "H-1"}, ""},
		{
			"HTML under 200 is a block", 200, "\ufeff \n<html>canary-name</html>",
			Error{Status: 200, RequestID: "H-1", Banned: true, HTML: true, RetryAfter: BanPause},
			op + ": dingtalk 200 with an HTML page, the address of this machine is blocked (request H-1)",
		},
		{"HTML under 403 is a block", 403, "<!doctype html>", Error{Status: 403, RequestID: "H-1", Banned: true, HTML: true, RetryAfter: BanPause}, ""},
		{"HTML under 502 is no block", 502, "<html>", Error{Status: 502, RequestID: "H-1", HTML: true}, op + ": dingtalk 502 with an HTML page (request H-1)"},
		{"HTML under 503 is no block", 503, "<html>", Error{Status: 503, RequestID: "H-1", HTML: true}, ""},
		{"HTML under 504 is no block", 504, "<html>", Error{Status: 504, RequestID: "H-1", HTML: true}, ""},
		{"HTML under 400 is no block", 400, "<html>", Error{Status: 400, RequestID: "H-1", HTML: true}, ""},
		{"status 1111 is a block", 200, `{"status":1111}`, Error{Status: 200, RequestID: "H-1", Banned: true, RetryAfter: BanPause}, ""},
		{"status 1111 as text is a block", 200, `{"status":"1111"}`, Error{Status: 200, RequestID: "H-1", Banned: true, RetryAfter: BanPause}, ""},
		{"punish is a block", 200, `{"punish":"deny"}`, Error{Status: 200, RequestID: "H-1", Banned: true, RetryAfter: BanPause}, ""},
		{"a block with something behind it", 200, `{"status":1111,"punish":"deny"} <!-- -->`, Error{Status: 200, RequestID: "H-1", Banned: true, RetryAfter: BanPause}, ""},
		{"a refusal with something behind it", 400, `{"code":"x","message":"m"}{}`, Error{Status: 400, Code: "x", RequestID: "H-1"}, ""},
		{"punish is a block under any status", 420, `{"punish":"deny","status":1111}`, Error{Status: 420, RequestID: "H-1", Banned: true, RetryAfter: BanPause}, ""},
		{"empty 403", 403, "", Error{Status: 403, RequestID: "H-1", Empty: true}, op + ": dingtalk 403 without a body (request H-1)"},
		{"text under 500", 500, "oops canary-name", Error{Status: 500, RequestID: "H-1"}, op + ": dingtalk 500 (request H-1)"},
		{"a page under 404", 404, `{"records":[]}`, Error{Status: 404, RequestID: "H-1"}, ""},
		{"a redirect", 302, "", Error{Status: 302, RequestID: "H-1", Empty: true}, ""},
		{
			"a code that is none cannot forge a log line", 400, `{"code":"a\nlevel=INFO b"}`,
			Error{Status: 400, Code: "a?level?INFO?b", RequestID: "H-1"},
			"",
		},
		{"an endless code is cut", 400, `{"code":"` + strings.Repeat("x", 500) + `"}`, Error{Status: 400, Code: strings.Repeat("x", 128), RequestID: "H-1"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := firstError(t, newClient(answering(c.status, c.body, "X-Acs-Request-Id", "H-1", "Location", "http://elsewhere.test/")))
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %T %v, want an *Error", err, err)
			}
			c.want.Op, c.want.FirstPage = op, true
			if got, want := fmt.Sprintf("%#v", *e), fmt.Sprintf("%#v", c.want); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if c.text != "" {
				equal(t, "text", e.Error(), c.text)
			}
		})
	}
}

func TestMissingScopes(t *testing.T) {
	for name, detail := range map[string]string{
		"lower case": `"accessdenieddetail":{"requiredScopes":["Contact.Common.Read","b"]}`,
		"camel case": `"AccessDeniedDetail":{"RequiredScopes":["Contact.Common.Read","b"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			err := firstError(t, newClient(answering(403, `{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","requestid":"R",`+detail+`}`)))
			e, _ := errors.AsType[*Error](err)
			equalSlices(t, "scopes", e.Scopes, []string{"Contact.Common.Read", "b"})
			equal(t, "text", err.Error(), op+": dingtalk 403 Forbidden.AccessDenied.AccessTokenPermissionDenied, the app lacks Contact.Common.Read, b (request R)")
		})
	}
	for name, detail := range map[string]string{"text": `"x"`, "no list": `{"requiredScopes":"x"}`, "numbers": `{"requiredScopes":[1]}`} {
		t.Run("unreadable scopes are none: "+name, func(t *testing.T) {
			e, _ := errors.AsType[*Error](firstError(t, newClient(answering(403, `{"code":"x","accessdenieddetail":`+detail+`}`))))
			equal(t, "scopes", len(e.Scopes), 0)
		})
	}
}

func TestProtocolError(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		reason string
	}{
		{"no records", 200, `{"nextToken":"a"}`, "records is missing"},
		{"an empty object", 200, `{}`, "records is missing"},
		{"errcode 0 and no records", 200, `{"errcode":0,"errmsg":"ok"}`, "records is missing"},
		{"records in another case", 200, `{"Records":[],"RECORDS":[]}`, "records is missing"},
		{"records twice", 200, `{"records":[` + record("u1") + `],"records":[]}`, "records is repeated"},
		{"records twice, one of them escaped", 200, `{"records":[],"\u0072ecords":[]}`, "records is repeated"},
		{"records is an object", 200, `{"records":{}}`, "records is not a list"},
		{"records is text", 200, `{"records":"canary-name"}`, "records is not a list"},
		{"nextToken twice", 200, `{"records":[],"nextToken":"a","nextToken":"0"}`, "nextToken is repeated"},
		{"nextToken is an object", 200, `{"records":[],"nextToken":{}}`, "nextToken is neither text nor digits"},
		{"nextToken is a fraction", 200, `{"records":[],"nextToken":0.5}`, "nextToken is neither text nor digits"},
		{"nextToken is false", 200, `{"records":[],"nextToken":false}`, "nextToken is neither text nor digits"},
		{"no body", 200, ``, "the body is not one JSON object"},
		{"a list", 200, `[]`, "the body is not one JSON object"},
		{"null", 200, `null`, "the body is not one JSON object"},
		{"text", 200, `canary-name`, "the body is not one JSON object"},
		{"two objects", 200, `{"records":[]}{"records":[]}`, "the body is not one JSON object"},
		{"trailing bytes", 200, `{"records":[]} x`, "the body is not one JSON object"},
		{"a trailing bracket", 200, `{"records":[]}]`, "the body is not one JSON object"},
		{"an object cut short", 200, `{"records":[`, "the body is not one JSON object"},
		{"an object without its end", 200, `{"records":[]`, "the body is not one JSON object"},
		{"a broken record", 200, `{"records":[{"userId":}]}`, "the body is not one JSON object"},
		{"nesting without end", 200, `{"records":` + strings.Repeat("[", 100_000), "the body is not one JSON object"},
		{"nesting that ends, in a member nobody knows", 200, `{"x":` + nested(100_000) + `,"records":[]}`, "the body is not one JSON object"},
		{"a byte order mark", 200, "\ufeff{\"records\":[]}", "the body is not one JSON object"},
		{"UTF-16", 200, "{\x00\"\x00r\x00", "the body is not one JSON object"},
		{"a NUL after the object", 200, "{\"records\":[]}\x00", "the body is not one JSON object"},
		{"a NUL in text", 200, "{\"records\":[{\"userId\":\"a\x00b\"}]}", "the body is not one JSON object"},
		{"a number that is none", 200, `{"records":[],"x":NaN}`, "the body is not one JSON object"},
		{"a comment", 200, `{"records":[] /* canary-name */}`, "the body is not one JSON object"},
		{"records is a number beyond all", 200, `{"records":1e999999999}`, "records is not a list"},
		{"nextToken is a number beyond all", 200, `{"records":[],"nextToken":1e999999999}`, "nextToken is neither text nor digits"},
		{"nextToken is a number of 1 MB", 200, `{"records":[],"nextToken":` + strings.Repeat("7", 1<<20) + `}`, "nextToken is too long to be sent back"},
		{"nextToken is a text of 1 MB", 200, `{"records":[],"nextToken":"` + strings.Repeat("A", 1<<20) + `"}`, "nextToken is too long to be sent back"},
		{"nextToken is longer than 1 KiB by one", 200, `{"records":[],"nextToken":"` + strings.Repeat("A", 1025) + `"}`, "nextToken is too long to be sent back"},
		{"201 with a page", 201, `{"records":[]}`, "the status is neither 200 nor an error"},
		{"204", 204, ``, "the status is neither 200 nor an error"},
		{"206 with a page", 206, `{"records":[]}`, "the status is neither 200 nor an error"},
		{"202 with an error body", 202, `{"code":"x","message":"m"}`, "the status is neither 200 nor an error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := firstError(t, newClient(answering(c.status, c.body, "X-Acs-Request-Id", "H-1")))
			e, ok := errors.AsType[*ProtocolError](err)
			if !ok {
				t.Fatalf("got %T %v, want a *ProtocolError", err, err)
			}
			equal(t, "error", *e, ProtocolError{Op: op, Status: c.status, Reason: c.reason, RequestID: "H-1"})
			equal(t, "text", e.Error(), fmt.Sprintf("%s: dingtalk %d: %s (request H-1)", op, c.status, c.reason))
		})
	}
}

// nested is a list in a list in a list, so many deep.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestPageWithMembersNobodyKnows(t *testing.T) {
	for name, body := range map[string]string{
		"unknown members":           `{"success":true,"x":{"records":[1]},"records":[` + record("u1") + `]}`,
		"a code without a message":  `{"code":"E","records":[` + record("u1") + `]}`,
		"code 0 with a message":     `{"code":0,"message":"ok","records":[` + record("u1") + `]}`,
		"code \"0\"":                `{"code":"0","message":"ok","records":[` + record("u1") + `]}`,
		"errcode 0":                 `{"errcode":0,"errmsg":"ok","records":[` + record("u1") + `]}`,
		"Records beside records":    `{"Records":[1,2],"records":[` + record("u1") + `],"NextToken":"a"}`,
		"a key that is no UTF-8":    "{\"record\xff\":[1],\"records\":[" + record("u1") + `]}`,
		"deep nesting":              `{"x":` + nested(9_000) + `,"records":[` + record("u1") + `]}`,
		"a number beyond all":       `{"x":-1e999999999,"records":[` + record("u1") + `]}`,
		"a text of 1 MB":            `{"x":"` + strings.Repeat("x", 1<<20) + `","records":[` + record("u1") + `]}`,
		"white space around it all": " \n{\"records\": [\n" + record("u1") + "] }\r\n ",
	} {
		t.Run(name, func(t *testing.T) {
			pages, errs := collect(newClient(answering(200, body)), 1)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			equalSlices(t, "userIds", userIDs(pages), []string{"u1"})
			equal(t, "last", pages[0].Last, true)
		})
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Mon, 03 Jun 2024 10:00:00 GMT"
	for _, c := range []struct {
		name, value, date string
		want              time.Duration
	}{
		{"none", "", date, 0},
		{"seconds", "17", date, 17 * time.Second},
		{"an hour is the most", "3601", date, time.Hour},
		{"more seconds than a number holds", "99999999999999999999", date, time.Hour},
		{"seconds below zero", "-5", date, 0},
		{"a date, by the clock that made it", "Mon, 03 Jun 2024 10:01:30 GMT", date, 90 * time.Second},
		{"a date, an hour is the most", "Tue, 04 Jun 2024 10:01:30 GMT", date, time.Hour},
		{"a date in the past", "Mon, 03 Jun 2024 09:00:00 GMT", date, 0},
		{"no Retry-After at all", "soon", date, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, _ := errors.AsType[*Error](firstError(t, newClient(answering(503, `{}`, "Retry-After", c.value, "Date", c.date))))
			equal(t, "RetryAfter", e.RetryAfter, c.want)
		})
	}
	t.Run("a date without a clock beside it", func(t *testing.T) {
		at := time.Now().Add(30 * time.Minute).UTC().Format(http.TimeFormat)
		e, _ := errors.AsType[*Error](firstError(t, newClient(answering(503, `{}`, "Retry-After", at))))
		if e.RetryAfter < 25*time.Minute || 30*time.Minute < e.RetryAfter {
			t.Errorf("got %v", e.RetryAfter)
		}
	})
	t.Run("a block that asks for longer than five minutes", func(t *testing.T) {
		e, _ := errors.AsType[*Error](firstError(t, newClient(answering(403, `<html>`, "Retry-After", "900"))))
		equal(t, "RetryAfter", e.RetryAfter, 15*time.Minute)
	})
}

func TestTheAddressThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ body, address string }{
		"named in the message":     {`{"code":"Forbidden.AccessDenied.IpNotInWhiteList","message":"访问ip不在白名单之中,request ip=203.0.113.9 appKey(x)"}`, "203.0.113.9"},
		"at the end of a sentence": {`{"code":"Forbidden.AccessDenied.IpNotInWhiteList","message":"not in the list: 203.0.113.9."}`, "203.0.113.9"},
		"of version 6":             {`{"Code":"Forbidden.AccessDenied.IpNotInWhiteList","Message":"request ip=2001:db8::9，"}`, "2001:db8::9"},
		"in the legacy style":      {`{"errcode":60020,"errmsg":"访问ip不在白名单之中, request ip=203.0.113.9"}`, "203.0.113.9"},
		"not named":                {`{"code":"Forbidden.AccessDenied.IpNotInWhiteList","message":"fee 1.2.3 10:20:30"}`, ""},
		"of another refusal":       {`{"code":"system.error","message":"request ip=203.0.113.9"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := errors.AsType[*Error](firstError(t, newClient(answering(403, c.body))))
			equal(t, "address", e.Address, c.address)
		})
	}
}
