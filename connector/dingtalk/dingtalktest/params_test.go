package dingtalktest_test

import (
	"slices"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

const day = 24 * time.Hour

func TestParametersAreJudged(t *testing.T) {
	type sw = dingtalktest.Switches
	ago := func(d time.Duration) string { return stamp(noon.Add(-d)) }
	const invalid = "invalidParameter.param.invalid"
	for _, c := range []struct {
		name   string
		params []string
		set    func(*sw)
		code   string // "": a page
	}{
		{"the documented call is answered", nil, nil, ""},
		{"no startTime", []string{"startTime", "-"}, nil, "MissingstartTime"},
		{"an empty startTime", []string{"startTime", ""}, nil, "MissingstartTime"},
		{"no maxResults", []string{"maxResults", "-"}, nil, "MissingmaxResults"},
		{"no startTime, as an invalid one", []string{"startTime", "-"}, func(s *sw) { s.MissingAsInvalid = true }, invalid},
		{"no maxResults, as an invalid one", []string{"maxResults", "-"}, func(s *sw) { s.MissingAsInvalid = true }, invalid},

		{"a startTime with an offset", []string{"startTime", "2026-03-10T10:00:00+08:00"}, nil, ""},
		{"a startTime whose + became a space", []string{"startTime", "2026-03-10T10:00:00 08:00"}, nil, invalid},
		{"an endTime whose + became a space", []string{"endTime", "2026-03-10T10:00:00 08:00"}, nil, invalid},
		{"a startTime without a zone", []string{"startTime", "2026-03-10T10:00:00"}, nil, invalid},
		{"a startTime without a zone, allowed", []string{"startTime", "2026-03-10T10:00:00"}, func(s *sw) { s.ZonelessRequest = true }, ""},
		{"a startTime in milliseconds since 1970", []string{"startTime", "1773136800000"}, nil, invalid},

		{"no endTime and a start of 365 days ago", []string{"endTime", "-", "startTime", ago(365 * day)}, nil, ""},
		{"no endTime and an older start", []string{"endTime", "-", "startTime", ago(365*day + time.Second)}, nil, invalid},
		{"no endTime and that start, for a server ten minutes behind", []string{"endTime", "-", "startTime", ago(365*day + time.Second)}, func(s *sw) { s.Skew = -10 * time.Minute }, ""},
		{"a span of 365 days, long ago", []string{"startTime", ago(900 * day), "endTime", ago(535 * day)}, nil, ""},
		{"a longer span", []string{"startTime", ago(900 * day), "endTime", ago(535*day - time.Second)}, nil, invalid},
		{"an end before the start", []string{"startTime", ago(time.Hour), "endTime", ago(time.Hour + time.Second)}, nil, invalid},
		{"an end at the start", []string{"startTime", ago(time.Hour), "endTime", ago(time.Hour)}, nil, ""},
		{"an end in the future", []string{"endTime", stamp(noon.Add(time.Hour))}, nil, ""},
		{"an end in the future, refused", []string{"endTime", stamp(noon.Add(time.Second))}, func(s *sw) { s.RefuseFutureEndTime = true }, invalid},
		{"an end now, where the future is refused", nil, func(s *sw) { s.RefuseFutureEndTime = true }, ""},
		{"an end now, where the server is behind and the future is refused", nil, func(s *sw) { s.RefuseFutureEndTime, s.Skew = true, -time.Minute }, invalid},
		{"strict history and an old start with an end", []string{"startTime", ago(900 * day), "endTime", ago(899 * day)}, func(s *sw) { s.StrictHistory = true }, invalid},
		{"strict history and a start of 365 days ago", []string{"startTime", ago(365 * day)}, func(s *sw) { s.StrictHistory = true }, ""},
		{"any end, refused", nil, func(s *sw) { s.RefuseEndTime = true }, invalid},
		{"no end where any is refused", []string{"endTime", "-"}, func(s *sw) { s.RefuseEndTime = true }, ""},

		{"maxResults 1", []string{"maxResults", "1"}, nil, ""},
		{"maxResults 0", []string{"maxResults", "0"}, nil, invalid},
		{"maxResults 51", []string{"maxResults", "51"}, nil, invalid},
		{"maxResults 51, clamped", []string{"maxResults", "51"}, func(s *sw) { s.ClampMaxResults = true }, ""},
		{"maxResults 0, where more than 50 is clamped", []string{"maxResults", "0"}, func(s *sw) { s.ClampMaxResults = true }, invalid},
		{"maxResults that is no integer", []string{"maxResults", "1e1"}, nil, invalid},

		{"no nextToken", []string{"nextToken", "-"}, nil, ""},
		{"an empty nextToken", []string{"nextToken", ""}, nil, ""},
		{"an unknown nextToken", []string{"nextToken", "DCCD7A656FFA6F07"}, nil, invalid},
		{"a count for a nextToken", []string{"nextToken", "50"}, nil, invalid},
		{"an unknown nextToken, by another code", []string{"nextToken", "1"}, func(s *sw) { s.PageTokenCode = "invalidNextToken" }, "invalidNextToken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := atNoon(t)
			if c.set != nil {
				d.sim.Set(c.set)
			}
			status := 200
			if c.code != "" {
				status = 400
			}
			d.wantRefusal(d.ask(c.params...), status, c.code)
		})
	}
}

func TestAClampedPageHolds50(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.ClampMaxResults = true })
	d.sim.Leave(people(60, noon.Add(-time.Hour))...)
	if r := d.ask("maxResults", "100"); len(r.Records) != 50 || r.token() == "" {
		t.Errorf("%d records, nextToken %s", len(r.Records), r.NextToken)
	}
}

func TestANextTokenIsOpaqueAndBoundToTheParameters(t *testing.T) {
	d := atNoon(t)
	d.sim.Leave(people(5, noon.Add(-time.Hour))...)
	start, end := stamp(noon.Add(-2*time.Hour)), stamp(noon)
	token := d.ask("startTime", start, "endTime", end, "maxResults", "2").token()
	if len(token) != 16 {
		t.Errorf("nextToken %q has no 16 digits", token)
	}
	for _, c := range []struct{ name, start, end, size string }{
		{"another start", stamp(noon.Add(-3 * time.Hour)), end, "2"},
		{"another end", start, stamp(noon.Add(-time.Minute)), "2"},
		{"no end", start, "-", "2"},
		{"another size", start, end, "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := d.ask("startTime", c.start, "endTime", c.end, "maxResults", c.size, "nextToken", token)
			d.wantRefusal(r, 400, "invalidParameter.param.invalid")
		})
	}
	r := d.ask("startTime", start, "endTime", end, "maxResults", "2", "nextToken", token)
	if !slices.Equal(r.users(), []string{"u3", "u4"}) {
		t.Errorf("with the same parameters: %v", r.users())
	}
}

func TestANextTokenGrowsOld(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.TokenTTL = day })
	d.sim.Leave(people(5, noon.Add(-time.Hour))...)
	params := []string{"startTime", stamp(noon.Add(-2 * time.Hour)), "endTime", stamp(noon), "maxResults", "2"}
	second := append(params, "nextToken", d.ask(params...).token())
	d.now = d.now.Add(10 * time.Minute)
	d.wantRefusal(d.ask(second...), 200, "")
	d.now = d.now.Add(time.Second)
	d.wantRefusal(d.ask(second...), 400, "invalidParameter.param.invalid")

	d.sim.Set(func(s *dingtalktest.Switches) { s.PageTokenTTL = time.Hour })
	second = append(params, "nextToken", d.ask(params...).token())
	d.now = d.now.Add(time.Hour)
	d.wantRefusal(d.ask(second...), 200, "")
	d.sim.ExpirePageTokens()
	d.wantRefusal(d.ask(second...), 400, "invalidParameter.param.invalid")
}

func TestAPageAskedAgainIsTheSamePageWithTheSameNextToken(t *testing.T) {
	for _, paging := range dingtalktest.Pagings() {
		t.Run(string(paging), func(t *testing.T) {
			d := atNoon(t, func(s *dingtalktest.Switches) { s.Paging, s.ShortPages = paging, true })
			d.sim.Leave(people(500, noon.Add(-time.Hour))...)
			second := d.ask().token()
			a, b := d.ask("nextToken", second), d.ask("nextToken", second)
			if a.Body != b.Body || a.token() == "" {
				t.Errorf("%s\nthen %s", a.Body, b.Body)
			}
		})
	}
}
