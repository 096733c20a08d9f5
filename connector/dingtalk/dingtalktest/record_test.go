package dingtalktest_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// zhang is a person with every field.
func zhang() dingtalktest.Leaver {
	return dingtalktest.Leaver{
		UserID: "10000", Name: new("张伟"), StateCode: new("86"), Mobile: new("18512347676"),
		LeaveTime: noon.Add(-time.Hour + 37*time.Second), LeaveReason: "oapi",
	}
}

func TestARecordHasTheDocumentedShape(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(zhang())
	want := `{"records":[{"userId":"10000","name":"张伟","stateCode":"86","mobile":"18512347676",` +
		`"leaveTime":"2026-03-10T11:00:37Z","leaveReason":"oapi"}]}`
	if got := d.ask().Body; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFieldsAreAbsentNullEmptyOrMasked(t *testing.T) {
	type sw = dingtalktest.Switches
	all := func(p dingtalktest.Presence) func(*sw) {
		return func(s *sw) { s.Name, s.StateCode, s.Mobile = p, p, p }
	}
	const head, tail = `{"records":[{"userId":"10000",`, `"leaveTime":"2026-03-10T11:00:37Z","leaveReason":"oapi"}]}`
	for _, c := range []struct {
		name string
		set  func(*sw)
		want string
	}{
		{"missing", all(dingtalktest.FieldMissing), ""},
		{"null", all(dingtalktest.FieldNull), `"name":null,"stateCode":null,"mobile":null,`},
		{"empty", all(dingtalktest.FieldEmpty), `"name":"","stateCode":"","mobile":"",`},
		{"masked", all(dingtalktest.FieldMasked), `"name":"张**","stateCode":"xxxx","mobile":"185xxxx7676",`},
		{"one of them", func(s *sw) { s.Mobile = dingtalktest.FieldMissing }, `"name":"张伟","stateCode":"86",`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := atNoon(t, c.set)
			d.sim.Leave(zhang())
			if got := d.ask().Body; got != head+c.want+tail {
				t.Errorf("got  %s\nwant %s", got, head+c.want+tail)
			}
		})
	}
}

func TestALeaverWithoutAFieldIsServedWithoutIt(t *testing.T) {
	d := atNoon(t)
	l := zhang()
	l.Name, l.StateCode, l.LeaveReason = nil, new(""), ""
	d.sim.Leave(l)
	want := `{"records":[{"userId":"10000","stateCode":"","mobile":"18512347676","leaveTime":"2026-03-10T11:00:37Z"}]}`
	if got := d.ask().Body; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMixedFieldsAreEachKindAndTheSameEachTime(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.Mobile = dingtalktest.FieldMixed })
	for _, l := range people(50, noon.Add(-time.Hour)) {
		l.Mobile = new("18512347676")
		d.sim.Leave(l)
	}
	first := d.ask().Body
	for _, kind := range []string{`"mobile":"18512347676"`, `"mobile":null`, `"mobile":""`, `"mobile":"185xxxx7676"`, `"u\d+","leaveTime"`} {
		if !regexp.MustCompile(kind).MatchString(first) {
			t.Errorf("no %s in %s", kind, first)
		}
	}
	if d.ask().Body != first {
		t.Error("asked again, other fields")
	}
}

func TestLeaveTimeHasTheChosenFormat(t *testing.T) {
	round := noon.Add(-time.Hour)
	odd := round.Add(37*time.Second + 123*time.Millisecond)
	for format, want := range map[dingtalktest.TimeFormat][2]string{
		dingtalktest.TimeSeconds:  {"2026-03-10T11:00:00Z", "2026-03-10T11:00:37Z"},
		dingtalktest.TimeMinutes:  {"2026-03-10T11:00Z", "2026-03-10T11:00:37Z"},
		dingtalktest.TimeMillis:   {"2026-03-10T11:00:00.000Z", "2026-03-10T11:00:37.123Z"},
		dingtalktest.TimeOffset:   {"2026-03-10T19:00:00+08:00", "2026-03-10T19:00:37+08:00"},
		dingtalktest.TimeZoneless: {"2026-03-10T11:00:00", "2026-03-10T11:00:37"},
	} {
		t.Run(string(format), func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) { s.TimeFormat = format })
			d.sim.Leave(dingtalktest.Leaver{UserID: "a", LeaveTime: round}, dingtalktest.Leaver{UserID: "b", LeaveTime: odd})
			r := d.ask()
			if got := [2]string{r.Records[0].LeaveTime, r.Records[1].LeaveTime}; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestMixedTimesAreOfEveryFormatWithAZone(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.TimeFormat = dingtalktest.TimeMixed })
	for i := range 40 {
		d.sim.Leave(dingtalktest.Leaver{UserID: "a", LeaveTime: noon.Add(-time.Duration(i) * time.Minute)})
	}
	formats := []*regexp.Regexp{
		regexp.MustCompile(`T\d\d:\d\d:00Z$`), regexp.MustCompile(`T\d\d:\d\dZ$`),
		regexp.MustCompile(`T\d\d:\d\d:00\.000Z$`), regexp.MustCompile(`T\d\d:\d\d:00\+08:00$`),
	}
	seen := map[int]bool{}
	for _, r := range d.ask().Records {
		i := slices.IndexFunc(formats, func(f *regexp.Regexp) bool { return f.MatchString(r.LeaveTime) })
		if i < 0 {
			t.Errorf("leaveTime %s is of no format with a zone", r.LeaveTime)
		}
		seen[i] = true
	}
	if len(seen) != 4 {
		t.Errorf("formats %v of four", seen)
	}
}

func TestAnEmptyPageSaysNullIfSoChosen(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.NullRecords = true })
	if got := d.ask().Body; got != `{"records":null}` {
		t.Errorf("got %s", got)
	}
}

func TestUnknownFieldsLeaveTheKnownOnesReadable(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.UnknownFields = true })
	d.sim.Leave(people(3, noon.Add(-time.Hour))...)
	pages := d.walk(nil, "maxResults", "2")
	if got := strings.Join(users(pages), " "); got != "u1 u2 u3" {
		t.Errorf("got %s", got)
	}
	if !strings.Contains(pages[0].Body, `"unionId"`) || !strings.Contains(pages[0].Body, `"traceInfo"`) {
		t.Errorf("no unknown field in %s", pages[0].Body)
	}
}

func TestTextsAreWrittenAsEncodingJSONDoesButNotEscapedForHTML(t *testing.T) {
	texts := []string{
		"plain", "", "<a&b>", `"quoted"`, `C:\dep`, "a\tb\nc\x00\x1f\x7f", "张伟 𠮷 👩‍💻", "a\u2028b", "a\u2029b", "\ufffd", "a\xffb", "\xed\xa0\x80", "é\\",
	}
	for _, text := range texts {
		d := atNoon(t)
		d.sim.Leave(dingtalktest.Leaver{UserID: text, Name: &text, LeaveTime: noon, LeaveReason: "r" + text})
		quoted := func(s string) string {
			var b strings.Builder
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(s); err != nil {
				t.Fatal(err)
			}
			return strings.TrimSuffix(b.String(), "\n")
		}
		want := `{"records":[{"userId":` + quoted(text) + `,"name":` + quoted(text) + `,"leaveTime":"2026-03-10T12:00:00Z","leaveReason":` + quoted("r"+text) + `}]}`
		if got := d.ask().Body; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAPoisonRecordIsServedByteByByteInItsPlace(t *testing.T) {
	for _, raw := range []string{`{"userId":12345678901234567890}`, `"text"`, `null`, "{\"userId\":\"\xff\"}"} {
		d := atNoon(t)
		d.sim.Leave(people(2, noon.Add(-time.Hour))...)
		d.sim.Leave(dingtalktest.Leaver{UserID: "poison", LeaveTime: noon.Add(-time.Hour), Raw: json.RawMessage(raw)})
		want := `{"records":[{"userId":"u1","leaveTime":"2026-03-10T11:00:00Z"},` + raw + `,{"userId":"u2","leaveTime":"2026-03-10T11:00:01Z"}]}`
		if got := d.ask().Body; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestCorporaAreDeterministicPlausibleAndWithoutRepeats(t *testing.T) {
	from := noon.Add(-300 * day)
	a, b := dingtalktest.Corpus(1, 10_000, from, noon), dingtalktest.Corpus(1, 10_000, from, noon)
	seen := map[string]bool{}
	features := map[string]int{}
	count := func(feature string, is bool) {
		if is {
			features[feature]++
		}
	}
	userIDs := map[string]bool{}
	for i, l := range a {
		if l.UserID != b[i].UserID || *l.Name != *b[i].Name || !l.LeaveTime.Equal(b[i].LeaveTime) {
			t.Fatalf("person %d differs from one time to the next", i)
		}
		if n := len([]rune(l.UserID)); n < 1 || n > 64 {
			t.Errorf("userId %q has %d characters", l.UserID, n)
		}
		if l.LeaveTime.Before(from) || !l.LeaveTime.Before(noon) || i > 0 && l.LeaveTime.Before(a[i-1].LeaveTime) {
			t.Errorf("person %d leaves at %v", i, l.LeaveTime)
		}
		id := l.UserID + "@" + stamp(l.LeaveTime)
		if seen[id] {
			t.Errorf("%q twice", id)
		}
		seen[id] = true
		count("rehired", userIDs[l.UserID])
		userIDs[l.UserID] = true
		count("same second", i > 0 && l.LeaveTime.Equal(a[i-1].LeaveTime))
		count("full minute", l.LeaveTime.Second() == 0)
		count("80 characters", len([]rune(*l.Name)) == 80)
		count("emoji", strings.ContainsAny(*l.Name, "🌟🐉🦊✨"))
		count("@ in userId", strings.Contains(l.UserID, "@"))
		count("space in userId", strings.Contains(l.UserID, " "))
		count("slash in userId", strings.Contains(l.UserID, "/"))
		count("digits only", strings.Trim(l.UserID, "0123456789") == "")
		count("64 characters", len(l.UserID) == 64)
		count("no mobile", l.Mobile == nil)
		count("unknown reason", l.LeaveReason == "unknown")
	}
	if len(features) != 12 {
		t.Errorf("not every kind of person is among 10,000: %v", features)
	}
	if c := dingtalktest.Corpus(2, 10, from, noon); c[0].UserID == a[0].UserID {
		t.Error("another seed, the same people")
	}
	if at := dingtalktest.Corpus(1, 3, noon, noon); !at[2].LeaveTime.Equal(noon) {
		t.Errorf("an empty span: %v", at[2].LeaveTime)
	}
}
