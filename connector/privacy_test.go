package connector

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"departures/connector/dingtalk"
)

func TestTreatmentOfFields(t *testing.T) {
	key := []byte("0123456789abcdef")
	// From another implementation: printf %s 'name:张三' | openssl dgst -sha256 -hmac 0123456789abcdef
	const (
		nameDigest   = "3afc7a564ad32385c996ae03feacd4a1781da55e109d2e77407210d28a221b06"
		mobileDigest = "e63061cf4c261a7afa9d4f307e7c8499beac365feecd0e9e6a37711a22281243"
	)
	for _, c := range []struct {
		name                     string
		treatment                Treatment
		value                    string
		wantName, wantMobile     string
		nameIsLeft, mobileIsLeft bool // out
	}{
		{"nothing configured keeps", "", "张三", "张三", "张三", false, false},
		{"keep keeps", Keep, "185xxxx7676", "185xxxx7676", "185xxxx7676", false, false},
		{"keep keeps an empty text", Keep, "", "", "", false, false},
		{"omit leaves out", Omit, "张三", "", "", true, true},
		{"omit leaves out an empty text", Omit, "", "", "", true, true},
		{"mask keeps the first character of a name and no short number", Mask, "张三", "张**", "**", false, false},
		{"mask does not show a name's length", Mask, "Bartholomew", "B**", "**ew", false, false},
		{"mask keeps the last two of a mobile number", Mask, "185xxxx7676", "1**", "**76", false, false},
		{"mask keeps no part of a number of six", Mask, "123456", "1**", "**", false, false},
		{"mask keeps an empty text", Mask, "", "", "", false, false},
		{"hmac digests a name and a number apart", HMAC, "张三", nameDigest, mobileDigest, false, false},
		{"hmac keeps an empty text", HMAC, "", "", "", false, false},
		{"an unknown treatment leaves out", "blur", "张三", "", "", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Privacy{Name: c.treatment, Mobile: c.treatment, Key: key}
			v := dingtalk.Private(c.value)
			for _, f := range []struct {
				field   string
				got     *string
				want    string
				leftOut bool
			}{{"name", p.name(&v), c.wantName, c.nameIsLeft}, {"mobile", p.mobile(&v), c.wantMobile, c.mobileIsLeft}} {
				if (f.got == nil) != f.leftOut || f.got != nil && *f.got != f.want {
					t.Errorf("%s: %v, want %q, left out: %t", f.field, textOf(f.got), f.want, f.leftOut)
				}
			}
			if p.name(nil) != nil || p.mobile(nil) != nil {
				t.Error("a field that DingTalk left out is published")
			}
		})
	}
}

func TestEachFieldHasItsOwnTreatment(t *testing.T) {
	p := Privacy{Name: Mask, Mobile: Omit}
	v := dingtalk.Private("Alice")
	if name, mobile := p.name(&v), p.mobile(&v); textOf(name) != "A**" || mobile != nil {
		t.Errorf("name %s, mobile %s", textOf(name), textOf(mobile))
	}
}

func TestPrivacyPrintsNoKey(t *testing.T) {
	p := Privacy{Name: HMAC, Key: []byte("canary")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		got := fmt.Sprintf(verb, p)
		if strings.Contains(got, "canary") || strings.Contains(got, fmt.Sprint(p.Key)) || !strings.Contains(got, "hmac") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func textOf(p *string) string {
	if p == nil {
		return "nothing"
	}
	return *p
}

func TestRedactRecord(t *testing.T) {
	const record = `{"leaveTime":"?","name":"Alice <a&b>","x":"\u4e2d/","mobile":"13800001234","userId":""}`
	for _, c := range []struct {
		name string
		p    Privacy
		raw  string
		want string
	}{
		{"everything is kept", Privacy{Name: Keep, Mobile: Keep}, record, record},
		{"what is no object is kept where everything is", Privacy{}, `["Alice"]`, `["Alice"]`},
		{
			"order and writing of the other fields stay",
			Privacy{Name: Mask, Mobile: Omit},
			record,
			`{"leaveTime":"?","name":"A**","x":"\u4e2d/","mobile":null,"userId":""}`,
		},
		{"one field is kept", Privacy{Mobile: Mask}, record, strings.Replace(record, "13800001234", "**34", 1)},
		{"HTML is not escaped", Privacy{Name: Mask}, `{"name":"<b>"}`, `{"name":"<**"}`},
		{"a key in another case, with escapes or blanks", Privacy{Name: Omit}, `{"NAME":"Alice","n\u0061me":"Bob"," name ":"Carol"}`, `{"NAME":null,"n\u0061me":null," name ":null}`},
		{"a key twice", Privacy{Name: Mask}, `{"name":"Alice","name":"Bob"}`, `{"name":"A**","name":"B**"}`},
		{"a key deeper down", Privacy{Mobile: Omit}, `{"a":[{"mobile":"138"},"mobile",["name"]],"mobile":"139"}`, `{"a":[{"mobile":null},"mobile",["name"]],"mobile":null}`},
		{"a key below a field that is kept", Privacy{Mobile: Omit}, `{"name":{"mobile":"138"}}`, `{"name":{"mobile":null}}`},
		{"a text that only looks like a key", Privacy{Name: Omit}, `{"userId":"name","leaveReason":"Alice"}`, `{"userId":"name","leaveReason":"Alice"}`},
		{"a value that is no text", Privacy{Name: Mask, Mobile: HMAC}, `{"name":["Alice"],"mobile":13800001234,"n":1e999}`, `{"name":null,"mobile":null,"n":1e999}`},
		{"null and the empty text", Privacy{Name: Mask, Mobile: HMAC}, `{"name":null,"mobile":""}`, `{"name":null,"mobile":""}`},
		{"blanks between", Privacy{Name: Omit}, ` { "name" : "Alice" , "b" : [ ] } `, ` { "name" : null , "b" : [ ] } `},
		{"an empty object", Privacy{Name: Omit}, `{}`, `{}`},
		{"a list", Privacy{Name: Omit}, `[{"name":"Alice"}]`, "withheld: 18 bytes that are no JSON object, in which personal fields cannot be told"},
		{"a bare text", Privacy{Mobile: Omit}, `"13800001234"`, "withheld: 13 bytes that are no JSON object, in which personal fields cannot be told"},
		{"what is no JSON", Privacy{Mobile: Omit}, `{"mobile":"138`, "withheld: 14 bytes that are no JSON object, in which personal fields cannot be told"},
		{"something after the object", Privacy{Mobile: Omit}, `{}"13800001234"`, "withheld: 15 bytes that are no JSON object, in which personal fields cannot be told"},
		{"nothing", Privacy{Name: Omit}, ``, "withheld: 0 bytes that are no JSON object, in which personal fields cannot be told"},
		{"what is not UTF-8 stays so", Privacy{Name: Mask}, "{\"userId\":\"\xff\",\"name\":\"\xff\"}", "{\"userId\":\"\xff\",\"name\":\"\uFFFD**\"}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.redactRecord(json.RawMessage(c.raw), 1000); got != c.want {
				t.Errorf("%s\nbecomes %s\nwant    %s", c.raw, got, c.want)
			}
		})
	}
}

func TestTheBeginningOfALongRecordIsKept(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abc", 2, "ab"},
		{"a张b", 4, "a张"},
		{"a张b", 3, "a"},
		{"a张b", 2, "a"},
		{"a😀", 4, "a"},
		{"abc", 0, ""},
		{"abc", -5, ""},
		{"", 0, ""},
		{"a\x80\x80\x80\x80\x80\x80", 6, "a\x80"},
	} {
		if got := (Privacy{}).redactRecord(json.RawMessage(c.text), c.limit); got != c.want {
			t.Errorf("the first %d bytes of %q: %q, want %q", c.limit, c.text, got, c.want)
		}
	}
}

func TestARecordIsTreatedBeforeItIsCut(t *testing.T) {
	got := Privacy{Name: Omit}.redactRecord(json.RawMessage(`{"name":"Alice","mobile":"1"}`), 12)
	if want := `{"name":null`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzRedactRecord: what was an object stays one with the same keys, no text of a name or a number is left in its place, and
// the text is UTF-8 where the record was.
func FuzzRedactRecord(f *testing.F) {
	f.Add(`{"name":"Alice","mobile":"138","x":{"Name":[1,"name"]}}`, 100)
	f.Add(`[{"name":1}]`, 3)
	f.Add(`{"name":"\ud800"}`, 100)
	f.Fuzz(func(t *testing.T, raw string, limit int) {
		p := Privacy{Name: Omit, Mobile: Omit}
		got := p.redactRecord(json.RawMessage(raw), limit)
		if len(got) > max(limit, 0) {
			t.Fatalf("%d bytes, the limit is %d", len(got), limit)
		}
		if utf8.ValidString(raw) && !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		whole := p.redactRecord(json.RawMessage(raw), len(raw)*2+100)
		if strings.HasPrefix(whole, "withheld: ") {
			return
		}
		var before, after map[string]any
		if json.Unmarshal([]byte(raw), &before) != nil {
			return // too deep, or a number out of range
		}
		if err := json.Unmarshal([]byte(whole), &after); err != nil || len(before) != len(after) {
			t.Fatalf("%s becomes %s: %v", raw, whole, err)
		}
		if left := personalLeft(after); left != "" {
			t.Fatalf("%s becomes %s: %s is left", raw, whole, left)
		}
	})
}

// personalLeft is the first personal field below v that still has a value.
func personalLeft(v any) string {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if left := personalLeft(e); left != "" {
				return left
			}
		}
	case map[string]any:
		for key, e := range v {
			if e != nil && (strings.EqualFold(key, "name") || strings.EqualFold(key, "mobile")) {
				return key
			}
			if left := personalLeft(e); left != "" {
				return left
			}
		}
	}
	return ""
}
