package dingtalk

import (
	"bytes"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a Retry-After may ask for: a mistaken one must not silence us for a day.
const maxRetryAfter = time.Hour

// answer is what came back from one call, whole.
type answer struct {
	status   int
	header   http.Header
	body     []byte    // at most maxBody
	tooLarge bool      // body would be larger, and was not read
	arrived  time.Time // our clock, when the body had been read
	server   time.Time // the header Date, UTC; zero if there is none
}

// object is the answer's JSON object, if the answer is neither a refusal nor something unheard of.
func (a answer) object(op string) (object, error) {
	if a.tooLarge {
		return nil, a.protocolError(op, "the body is larger than 8 MiB")
	}
	o, isObject := parseObject(a.body)
	switch {
	case a.blocked(o):
		return nil, a.refusal(op, o)
	case a.status == http.StatusOK && !isObject:
		return nil, a.protocolError(op, "the body is not one JSON object")
	case a.status == http.StatusOK && !isRefusal(o):
		return o, nil
	case a.status != http.StatusOK && a.status/100 == 2:
		return nil, a.protocolError(op, "the status is neither 200 nor an error")
	}
	return nil, a.refusal(op, o)
}

// blocked says that the answer is DingTalk's to an address that it has blocked.
func (a answer) blocked(o object) bool {
	if a.isHTML() {
		return a.status == http.StatusOK || a.status == http.StatusForbidden
	}
	return o.text("punish") != "" || o.text("status") == "1111"
}

func (a answer) isHTML() bool {
	b := bytes.TrimPrefix(a.body, []byte("\ufeff"))
	return bytes.HasPrefix(bytes.TrimSpace(b), []byte("<"))
}

// isRefusal says that the object is an error body, in today's style or in the legacy one. A page may have a member code
// one day; it has no message then.
func isRefusal(o object) bool {
	if code := o.text("errcode"); code != "" && code != "0" {
		return true
	}
	_, messages := o.get("message", "Message")
	_, records := o.get("records")
	code := o.text("code", "Code")
	return code != "" && code != "0" && (messages > 0 || records == 0)
}

// refusal is the answer as an error; o is its object, if it is one.
func (a answer) refusal(op string, o object) *Error {
	e := &Error{
		Op: op, Status: a.status, Code: clean(o.text("code", "Code")), RequestID: a.requestID(), Scopes: scopes(o),
		RetryAfter: a.retryAfter(), Banned: a.blocked(o), HTML: a.isHTML(), Empty: len(bytes.TrimSpace(a.body)) == 0,
	}
	if code := o.text("errcode"); e.Code == "" && code != "" {
		e.Code = "errcode " + clean(code)
	}
	if id := o.text("requestid", "requestId", "RequestId"); id != "" {
		e.RequestID = clean(id)
	}
	if strings.HasSuffix(e.Code, "IpNotInWhiteList") || e.Code == "errcode 60020" {
		e.Address = address(o.text("message", "Message", "errmsg"))
	}
	if e.Banned {
		e.RetryAfter = max(e.RetryAfter, BanPause)
	}
	return e
}

// address is the first IP address in a message, "" if there is none. FIELD: DingTalk refuses an address with "request ip=" and the
// address, which is often not what the host itself knows as its own.
func address(message string) string {
	for _, word := range strings.FieldsFunc(message, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF.:", r) }) {
		if ip, err := netip.ParseAddr(strings.Trim(word, ".")); err == nil {
			return ip.String()
		}
	}
	return ""
}

func (a answer) protocolError(op, reason string) *ProtocolError {
	return &ProtocolError{Op: op, Status: a.status, Reason: reason, RequestID: a.requestID()}
}

// requestID is the call's name by the answer's header.
func (a answer) requestID() string { return clean(a.header.Get(requestIDHeader)) }

// retryAfter is the header Retry-After, in either of its forms, as a duration from now on.
func (a answer) retryAfter() time.Duration {
	v := strings.TrimSpace(a.header.Get("Retry-After"))
	seconds, err := strconv.ParseInt(v, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now := a.server // the clock by which the date was made
	if now.IsZero() {
		now = a.arrived
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// maxScopes is how many permissions a refusal is believed to name: they are printed. The call needs one.
const maxScopes = 16

// scopes are the permissions that the refusal names as missing.
func scopes(o object) []string {
	v, _ := o.get("accessdenieddetail", "accessDeniedDetail", "AccessDeniedDetail")
	detail, _ := splitObject(v)
	v, _ = detail.get("requiredScopes", "RequiredScopes")
	elements, _ := splitList(v)
	var list []string
	for _, e := range elements[:min(len(elements), maxScopes)] {
		s, isText := unquote(e)
		if !isText {
			return nil
		}
		list = append(list, clean(s))
	}
	return list
}

// clean makes a foreign identifier fit for a log line: what DingTalk's codes, request ids and scopes are not made of
// becomes "?", and 128 bytes are enough. It is a copy, since an error may outlive the answer by far.
func clean(s string) string {
	const limit = 128
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("._-:/", r):
			return r
		}
		return '?'
	}, strings.Clone(s[:min(len(s), limit)]))
}
