package dingtalktest

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// page is the service itself: S15 to S17.
func (s *Server) page(c *call) *answer {
	p := c.place
	w := p.walk
	v := w.view(&s.book)
	from := p.begin(v)
	n := min(p.length(c.sw), len(v.list)-from)
	shown := make([]*record, n)
	for i := range shown {
		shown[i] = v.at(from + i)
	}

	served := p.repeat(shown, c.sw.Repeats)

	token := lastToken(c.sw.LastToken)
	if full := c.sw.FullLastPage && len(served) == w.size; from+n < len(v.list) || full {
		token = strconv.Quote(s.nextToken(c, from+n, shown))
	}
	a := newAnswer(200, jsonType, nil)
	a.shown = served
	a.render = func() []byte { return s.renderPage(token, served, c.sw) }
	return a
}

// length is how many new records the page holds if there are as many.
func (p *place) length(sw Switches) int {
	size := p.walk.size
	if p.blank {
		return 0
	}
	if p.repeats(sw.Repeats) {
		size--
	}
	if sw.ShortPages {
		return 1 + int(mix(p.walk.salt, uint64(p.number))%uint64(size))
	}
	return size
}

// repeats reports whether the page shows a record again: not if it had no place for another one then.
func (p *place) repeats(r Repeats) bool {
	return p.walk.size > 1 && !p.blank && (r == RepeatInPage || r == RepeatOnNext && p.after != nil)
}

// repeat is what is served: shown, which it leaves alone, and the record that comes again.
func (p *place) repeat(shown []*record, r Repeats) []*record {
	switch {
	case !p.repeats(r):
		return shown
	case r == RepeatOnNext:
		return slices.Concat([]*record{p.after}, shown)
	case len(shown) > 0:
		return slices.Concat(shown, shown[:1])
	}
	return shown
}

// nextToken leads to the page that begins after offset records, the last of which ends shown.
func (s *Server) nextToken(c *call, offset int, shown []*record) string {
	p := c.place
	if c.sw.RepeatToken && p.token != "" {
		return p.token
	}
	next := &place{walk: p.walk, number: p.number + 1, offset: offset, after: p.after, blank: c.sw.EmptyPages && !p.blank}
	if len(shown) > 0 {
		next.after = shown[len(shown)-1]
	}
	return s.walks.give(p, next, s.random, c.now, c.sw.PageTokenTTL)
}

// lastToken is the JSON of nextToken on the last page, "" for none.
func lastToken(kind LastToken) string {
	switch kind {
	case TokenNull:
		return `null`
	case TokenEmpty:
		return `""`
	case TokenZero:
		return `"0"`
	case TokenNumber:
		return `0`
	}
	return ""
}

// renderPage is the body of a page, its keys in the documented order.
func (s *Server) renderPage(token string, shown []*record, sw Switches) []byte {
	b := make([]byte, 0, 192*(1+len(shown))) // most records are shorter
	b = append(b, '{')
	if token != "" {
		b = append(b, `"nextToken":`+token+`,`...)
	}
	if sw.UnknownFields {
		b = append(b, `"traceInfo":{"nextToken":"1","records":[{"userId":"nobody"}]},`...)
	}
	b = append(b, `"records":`...)
	if len(shown) == 0 && sw.NullRecords {
		return append(b, `null}`...)
	}
	b = append(b, '[')
	for i, r := range shown {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRecord(b, r, s.seed, sw)
	}
	return append(b, `]}`...)
}

// appendRecord is S19 and S20. What is mixed is mixed by record, the same each time.
func appendRecord(b []byte, r *record, seed uint64, sw Switches) []byte {
	if len(r.Raw) > 0 {
		return append(b, r.Raw...)
	}
	chance := mix(seed, r.seq)
	b = append(b, `{"userId":`...)
	b = appendText(b, r.UserID)
	b = appendField(b, `,"name":`, r.Name, sw.Name, maskName, chance>>8)
	b = appendField(b, `,"stateCode":`, r.StateCode, sw.StateCode, maskDigits, chance>>16)
	b = appendField(b, `,"mobile":`, r.Mobile, sw.Mobile, maskDigits, chance>>24)
	b = append(b, `,"leaveTime":"`...)
	b = appendLeaveTime(b, r.LeaveTime, sw.TimeFormat, chance>>32)
	b = append(b, '"')
	if r.LeaveReason != "" {
		b = append(b, `,"leaveReason":`...)
		b = appendText(b, r.LeaveReason)
	}
	if sw.UnknownFields {
		b = append(b, `,"unionId":null,"extension":{"userId":"nobody","leaveTime":1,"list":[[],{}]}`...)
	}
	return append(b, '}')
}

func appendField(b []byte, key string, value *string, p Presence, mask func(string) string, chance uint64) []byte {
	if p == FieldMixed {
		p = Presences()[chance%5]
	}
	switch {
	case p == FieldNull:
		return append(append(b, key...), `null`...)
	case p == FieldEmpty:
		return append(append(b, key...), `""`...)
	case p == FieldMissing || value == nil:
		return b
	case p == FieldMasked:
		return appendText(append(b, key...), mask(*value))
	}
	return appendText(append(b, key...), *value)
}

// appendText is encode of a text. Nearly every text stands for itself, and a page has three hundred of them.
func appendText(b []byte, text string) []byte {
	if strings.ContainsFunc(text, mayBeEscaped) {
		return append(b, encode(text)...)
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// mayBeEscaped says that JSON may write a character of a text in another way; [utf8.RuneError] is also what no UTF-8 is read as.
func mayBeEscaped(r rune) bool {
	return r < ' ' || r == '"' || r == '\\' || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// maskDigits is DingTalk's 185xxxx7676.
func maskDigits(s string) string {
	if len(s) < 8 {
		return "xxxx"
	}
	return s[:3] + "xxxx" + s[len(s)-4:]
}

func maskName(s string) string {
	for _, first := range s {
		return string(first) + "**"
	}
	return "**"
}

var beijing = time.FixedZone("", 8*60*60)

// appendLeaveTime is S19; t is in UTC.
func appendLeaveTime(b []byte, t time.Time, f TimeFormat, chance uint64) []byte {
	if f == TimeMixed {
		f = TimeFormats()[chance%4]
	}
	switch {
	case f == TimeMinutes && t.Second() == 0:
		return t.AppendFormat(b, "2006-01-02T15:04Z")
	case f == TimeMillis:
		return t.AppendFormat(b, "2006-01-02T15:04:05.000Z")
	case f == TimeOffset:
		return t.In(beijing).AppendFormat(b, time.RFC3339)
	case f == TimeZoneless:
		return t.AppendFormat(b, "2006-01-02T15:04:05")
	}
	return t.AppendFormat(b, time.RFC3339)
}
