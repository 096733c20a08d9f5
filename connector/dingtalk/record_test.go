package dingtalk

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

// show is a record in one line, nil as "-".
func show(r LeaveRecord) string {
	text := func(p *Private) string {
		if p == nil {
			return "-"
		}
		return p.Plain()
	}
	reason := "-"
	if r.LeaveReason != nil {
		reason = *r.LeaveReason
	}
	s := strings.Join([]string{r.UserID, text(r.Name), text(r.StateCode), text(r.Mobile), reason}, "|")
	if r.Repairs != (Repairs{}) {
		s += fmt.Sprintf(" %+v", r.Repairs)
	}
	return s
}

const leaves = `"leaveTime":"2024-06-02T10:00:00Z"`

func TestReadableRecords(t *testing.T) {
	for _, c := range []struct{ name, record, want string }{
		{"every field", `{"userId":"u","name":"n","stateCode":"86","mobile":"185xxxx7676",` + leaves + `,"leaveReason":"oapi"}`, "u|n|86|185xxxx7676|oapi"},
		{"missing fields", `{"userId":"u",` + leaves + `}`, "u|-|-|-|-"},
		{"null fields", `{"userId":"u","name":null,"stateCode":null,"mobile":null,` + leaves + `,"leaveReason":null}`, "u|-|-|-|-"},
		{"empty fields", `{"userId":"u","name":"","stateCode":"","mobile":"",` + leaves + `,"leaveReason":""}`, "u||||"},
		{"numbers where text belongs", `{"userId":"u","stateCode":86,"mobile":18512347676,` + leaves + `}`, "u|-|86|18512347676|- {RepeatedKeys:0 Numbers:2 InvalidText:0}"},
		{"a userId that is a number", `{"userId":12345678901234567890,` + leaves + `}`, "12345678901234567890|-|-|-|- {RepeatedKeys:0 Numbers:1 InvalidText:0}"},
		{"a userId of digits with a zero in front", `{"userId":"007",` + leaves + `}`, "007|-|-|-|-"},
		{"a userId with odd characters", `{"userId":" a/b@c%d\u4e2d\ud83d\ude00",` + leaves + `}`, " a/b@c%d中😀|-|-|-|-"},
		{"a userId longer than documented", `{"userId":"` + strings.Repeat("x", 300) + `",` + leaves + `}`, strings.Repeat("x", 300) + "|-|-|-|-"},
		{"two userIds: the last one", `{"userId":"a",` + leaves + `,"userId":"b"}`, "b|-|-|-|- {RepeatedKeys:1 Numbers:0 InvalidText:0}"},
		{"two names: the last one", `{"userId":"a",` + leaves + `,"name":"x","name":null}`, "a|-|-|-|- {RepeatedKeys:1 Numbers:0 InvalidText:0}"},
		{"three names are one thing to put up with", `{"userId":"a","name":"x","name":"y","name":"z",` + leaves + `}`, "a|z|-|-|- {RepeatedKeys:1 Numbers:0 InvalidText:0}"},
		{"a key in another case is another key", `{"UserId":"x","userId":"a","Name":"n",` + leaves + `}`, "a|-|-|-|-"},
		{"a name with emoji", `{"userId":"u","name":"李😀\ud83d\ude00\\ud83d",` + leaves + `}`, `u|李😀😀\ud83d|-|-|-`},
		{"a name with bytes that are no UTF-8", "{\"userId\":\"u\",\"name\":\"a\xffb\"," + leaves + `}`, "u|a\ufffdb|-|-|- {RepeatedKeys:0 Numbers:0 InvalidText:1}"},
		{"a name with half a surrogate pair", `{"userId":"u","name":"a\ud83d",` + leaves + `}`, "u|a\ufffd|-|-|- {RepeatedKeys:0 Numbers:0 InvalidText:1}"},
		{"a name with the wrong halves", `{"userId":"u","name":"\ude00\ud83d\u0041",` + leaves + `}`, "u|\ufffd\ufffdA|-|-|- {RepeatedKeys:0 Numbers:0 InvalidText:1}"},
		{"a name with U+FFFD of its own", `{"userId":"u","name":"\ufffd�",` + leaves + `}`, "u|\ufffd\ufffd|-|-|-"},
		{"a NUL by its escape", `{"userId":"a\u0000b","name":"\u0000",` + leaves + `}`, "a\x00b|\x00|-|-|-"},
		{"a number beyond all where text belongs", `{"userId":"u","mobile":1e999999999,` + leaves + `}`, "u|-|-|1e999999999|- {RepeatedKeys:0 Numbers:1 InvalidText:0}"},
		{"a userId of 60 KB", `{"userId":"` + strings.Repeat("x", 60_000) + `",` + leaves + `}`, strings.Repeat("x", 60_000) + "|-|-|-|-"},
		{"a name of 60 KB", `{"userId":"u","name":"` + strings.Repeat("中", 20_000) + `",` + leaves + `}`, "u|" + strings.Repeat("中", 20_000) + "|-|-|-"},
		{"deep nesting in a field nobody knows", `{"userId":"u","x":` + nested(9_000) + `,` + leaves + `}`, "u|-|-|-|-"},
		{"unknown fields and an unknown reason", `{"userId":"u","x":[{}],"leaveReason":"eaten",` + leaves + `}`, "u|-|-|-|eaten"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := readOne(t, c.record)
			equal(t, "unreadable", r.Unreadable, "")
			equal(t, "record", show(r), c.want)
			equal(t, "leaveTime", r.LeaveTime.String(), "2024-06-02 10:00:00 +0000 UTC")
			equal(t, "raw", string(r.Compact()), c.record)
		})
	}
}

// readOne puts a record between two good ones and reads the page.
func readOne(t *testing.T, rec string) LeaveRecord {
	t.Helper()
	pages, errs := collect(newClient(answering(200, `{"records":[`+record("before")+`,`+rec+`,`+record("after")+`]}`)), 1)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	rs := pages[0].Records
	if len(rs) != 3 || rs[0].UserID != "before" || rs[2].UserID != "after" {
		t.Fatalf("the neighbours are gone: %v", rs)
	}
	return rs[1]
}

func TestUnreadableRecords(t *testing.T) {
	for _, c := range []struct{ name, record, reason string }{
		{"null", `null`, "the record is not an object"},
		{"text", `"canary-name"`, "the record is not an object"},
		{"a number", `7`, "the record is not an object"},
		{"a list", `[{}]`, "the record is not an object"},
		{"an empty object", `{}`, "userId is missing, leaveTime is missing"},
		{"no userId", `{` + leaves + `}`, "userId is missing"},
		{"a userId in another case", `{"UserId":"u","USERID":"u","userid":"u",` + leaves + `}`, "userId is missing"},
		{"userId null", `{"userId":null,` + leaves + `}`, "userId is missing"},
		{"two userIds, the last one null", `{"userId":"u",` + leaves + `,"userId":null}`, "userId is missing"},
		{"userId empty", `{"userId":"",` + leaves + `}`, "userId is empty"},
		{"userId an object", `{"userId":{"a":1},` + leaves + `}`, "userId is not text"},
		{"userId true", `{"userId":true,` + leaves + `}`, "userId is not text"},
		{"userId a fraction", `{"userId":1.0,` + leaves + `}`, "userId is a number with more than digits"},
		{"userId below zero", `{"userId":-1,` + leaves + `}`, "userId is a number with more than digits"},
		{"userId with an exponent", `{"userId":1e3,` + leaves + `}`, "userId is a number with more than digits"},
		{"userId with bytes that are no UTF-8", "{\"userId\":\"a\xff\"," + leaves + `}`, "userId is not valid Unicode"},
		{"userId with half a surrogate pair", `{"userId":"a\ud83d",` + leaves + `}`, "userId is not valid Unicode"},
		{"no leaveTime", `{"userId":"u"}`, "leaveTime is missing"},
		{"leaveTime null", `{"userId":"u","leaveTime":null}`, "leaveTime is missing"},
		{"leaveTime a number", `{"userId":"u","leaveTime":1717322400000}`, "leaveTime is a number"},
		{"leaveTime a list", `{"userId":"u","leaveTime":[]}`, "leaveTime is not text"},
		{"leaveTime false", `{"userId":"u","leaveTime":false}`, "leaveTime is not text"},
		{"leaveTime empty", `{"userId":"u","leaveTime":""}`, "leaveTime cannot be read"},
		{"leaveTime in words", `{"userId":"u","leaveTime":"canary-name"}`, "leaveTime cannot be read"},
		{"leaveTime in digits", `{"userId":"u","leaveTime":"1717322400"}`, "leaveTime cannot be read"},
		{"leaveTime of 60 KB", `{"userId":"u","leaveTime":"` + strings.Repeat("2", 60_000) + `"}`, "leaveTime cannot be read"},
		{"leaveTime with a NUL", `{"userId":"u","leaveTime":"2024-06-02T10:00:00Z\u0000"}`, "leaveTime cannot be read"},
		{"userId a number beyond all", `{"userId":1e999999999,` + leaves + `}`, "userId is a number with more than digits"},
		{"name a nest", `{"userId":"u","name":` + nested(9_000) + `,` + leaves + `}`, "name is not text"},
		{"name an object", `{"userId":"u","name":{"zh":"canary-name"},` + leaves + `}`, "name is not text"},
		{"stateCode true", `{"userId":"u","stateCode":true,` + leaves + `}`, "stateCode is not text"},
		{"mobile a list", `{"userId":"u","mobile":["canary-mobile"],` + leaves + `}`, "mobile is not text"},
		{"leaveReason an object", `{"userId":"u","leaveReason":{},` + leaves + `}`, "leaveReason is not text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := readOne(t, c.record)
			equal(t, "unreadable", r.Unreadable, c.reason)
			equal(t, "raw", string(r.Compact()), c.record)
			if r.UserID != "" || !r.LeaveTime.IsZero() || r.Name != nil || r.StateCode != nil || r.Mobile != nil || r.LeaveReason != nil {
				t.Errorf("a field is set: %s", show(r))
			}
			checkCanaries(t, r.Unreadable+r.String())
		})
	}
}

func TestCompact(t *testing.T) {
	r := readOne(t, " {\n \"userId\" : \"a  b<\u2028\" ,\t"+leaves+", \"x\": [ 1, 2 ] } ")
	equal(t, "compact", string(r.Compact()), "{\"userId\":\"a  b<\u2028\","+leaves+`,"x":[1,2]}`)
	equal(t, "bytes that are no JSON", string(LeaveRecord{raw: "{ x"}.Compact()), "{ x")
}

func TestLeaveTime(t *testing.T) {
	const ten = "2024-06-02T10:00:00Z"
	for _, c := range []struct{ name, text, want string }{
		{"seconds and Z", "2024-06-02T10:00:00Z", ten},
		{"minutes and Z", "2024-06-02T10:00Z", ten},
		{"milliseconds and Z", "2024-06-02T10:00:00.000Z", ten},
		{"a fraction is cut, not rounded", "2024-06-02T10:00:00.999999999999Z", ten},
		{"an offset", "2024-06-02T18:00:00+08:00", ten},
		{"an offset without a colon", "2024-06-02T18:00:00+0800", ten},
		{"an offset below zero, with a fraction", "2024-06-02T04:30:00.5-05:30", ten},
		{"minutes and an offset", "2024-06-02T18:00+08:00", ten},
		{"no zone is UTC", "2024-06-02T10:00:00", ten},
		{"minutes without a zone", "2024-06-02T10:00", ten},
		{"a space in the place of T", "2024-06-02 10:00:00", ten},
		{"a space and Z", "2024-06-02 10:00:00Z", ten},
		{"a space and a zone", "2024-06-02 18:00:00.1+08:00", ten},
		{"a leap day", "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"},
		{"the first year", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
		{"the last year", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"},
		{"before the first year", "1969-12-31T23:59:59Z", ""},
		{"before the first year, in UTC", "1970-01-01T00:00:00+00:01", ""},
		{"after the last year, in UTC", "9999-12-31T23:59:59-00:01", ""},
		{"the null date of a database", "0001-01-01T00:00:00Z", ""},
		{"a day that is none", "2023-02-29T00:00:00Z", ""},
		{"the hour 24", "2024-06-02T24:00:00Z", ""},
		{"a leap second", "2016-12-31T23:59:60Z", ""},
		{"a date alone", "2024-06-02", ""},
		{"an hour alone", "2024-06-02T10Z", ""},
		{"an hour of one digit", "2024-06-02T1:00:00Z", ""},
		{"a fraction of a minute", "2024-06-02T10:00.5Z", ""},
		{"a comma", "2024-06-02T10:00:00,5Z", ""},
		{"a zone that lost its plus", "2024-06-02T18:00:00 08:00", ""},
		{"an offset of a day", "2024-06-02T18:00:00+24:00", ""},
		{"a zone by its name", "2024-06-02T10:00:00 UTC", ""},
		{"slashes", "02/06/2024 10:00:00", ""},
		{"space around it", " 2024-06-02T10:00:00Z", ""},
		{"a line after it", "2024-06-02T10:00:00Z\n", ""},
		{"small letters", "2024-06-02t10:00:00z", ""},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if u, ok := parseLeaveTime(c.text); ok {
				got = u.Format("2006-01-02T15:04:05.999999999Z07:00")
			} else if !u.IsZero() {
				t.Errorf("got %v with no success", u)
			}
			equal(t, c.text, got, c.want)
		})
	}
}

func TestAKeyIsReadWithItsEscapes(t *testing.T) {
	r := readOne(t, `{"\u0075serId":"u","na\u006de":"n","mobile\/":"x",`+leaves+`,"\ud83d":1,"mobil\u0065":"1","mobile":"2"}`)
	equal(t, "record", show(r), "u|n|-|2|- {RepeatedKeys:1 Numbers:0 InvalidText:0}")
}

// TestWhiteSpaceBetweenTokensChangesNothing: it may stand everywhere but within them. "~" is some.
func TestWhiteSpaceBetweenTokensChangesNothing(t *testing.T) {
	const body = `~{~"x"~:~[~{~}~,~[~]~,~[~1~,~{~"a"~:~[~]~}~]~,~"]}"~,~7~,~null~]~,~"records"~:~[~` +
		`{~"userId"~:~"u"~,~"name"~:~"[{\""~,~"mobile"~:~7~,~"x"~:~{~"y"~:~[~]~}~,~"leaveReason"~:~null~,~"leaveTime"~:~"2024-06-02T10:00Z"~}~` +
		`,~{~}~,~7~,~[~]~]~,~"nextToken"~:~12~}~`
	for _, space := range []string{"", " \t\r\n"} {
		o, ok := parseObject([]byte(strings.ReplaceAll(body, "~", space)))
		equal(t, "an object", ok, true)
		records, token, reason := parsePage(o)
		equal(t, "reason", reason, "")
		equal(t, "nextToken", token, "12")
		var got []string
		for _, r := range records {
			got = append(got, show(r), string(r.Compact()))
		}
		equalSlices(t, "records", got, []string{
			`u|[{"|-|7|- {RepeatedKeys:0 Numbers:1 InvalidText:0}`,
			`{"userId":"u","name":"[{\"","mobile":7,"x":{"y":[]},"leaveReason":null,"leaveTime":"2024-06-02T10:00Z"}`,
			"|-|-|-|-", "{}", "|-|-|-|-", "7", "|-|-|-|-", "[]",
		})
	}
}

// TestNothingButItsRecordsKeepsThePage: a walk holds userIds and tokens of thousands of pages, and a page may have eight megabytes.
func TestNothingButItsRecordsKeepsThePage(t *testing.T) {
	page := `{"code":"x","records":[` + record("u1") + `,7],"nextToken":"abc"}`
	o, _ := splitObject(page)
	records, token, _ := parsePage(o)
	equal(t, "a part of the page", isPartOf(o[1].value, page), true) // or this test says nothing
	equal(t, "nextToken", isPartOf(token, page), false)
	equal(t, "code", isPartOf(clean(o.text("code")), page), false)
	equal(t, "userId", isPartOf(records[0].UserID, page), false)
}

// isPartOf says that s stands in the memory of whole.
func isPartOf(s, whole string) bool {
	at, begin := uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(unsafe.Pointer(unsafe.StringData(whole)))
	return begin <= at && at < begin+uintptr(len(whole))
}

// TestARecordBeyondMeasure costs only itself, and little: its beginning is kept, and nothing of the page that it came with.
func TestARecordBeyondMeasure(t *testing.T) {
	full := `{"userId":"u","name":"` + strings.Repeat("x", maxRecord) + `",` + leaves + `}`
	r := parseRecord(full)
	equal(t, "reason", r.Unreadable, "the record is larger than 64 KiB")
	equal(t, "raw", string(r.Compact()), full[:maxRecord])
	equal(t, "memory", isPartOf(r.raw, full), false)
	fits := `{"userId":"u","name":"` + strings.Repeat("x", maxRecord-len(`{"userId":"u","name":"",`+leaves+`}`)) + `",` + leaves + `}`
	equal(t, "length", len(fits), maxRecord)
	equal(t, "a record of just that size", parseRecord(fits).Unreadable, "")
}
