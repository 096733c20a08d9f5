package dingtalktest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// play begins a script in JSON.
func (d *desk) play(text string) {
	d.Helper()
	x, err := dingtalktest.ReadScript(strings.NewReader(text))
	if err == nil {
		err = d.sim.Play(x)
	}
	if err != nil {
		d.Fatalf("%s: %v", text, err)
	}
}

func TestAScriptHappensInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ticking(t)
		d.play(`[
			{"after": "2m", "heal": true},
			{"after": "30s", "fail": {"fault": "500 system.error", "times": 1000}},
			{"after": "1m", "leave": {"people": [{"userId": "a"}]}},
			{"after": "3m", "set": {"skew": "-10m"}},
			{"after": "4m", "set": {"skew": "0s"}}
		]`)
		for _, step := range []struct {
			at   time.Duration
			code string
			skew time.Duration
		}{{0, "", 0}, {30*time.Second - 1, "", 0}, {30 * time.Second, "system.error", 0}, {2 * time.Minute, "", 0}, {3 * time.Minute, "", -10 * time.Minute}, {5 * time.Minute, "", 0}} {
			time.Sleep(time.Until(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(step.at)))
			r := d.ask()
			if r.Code != step.code {
				t.Errorf("at %s: code %q, want %q", step.at, r.Code, step.code)
			}
			if want := time.Now().Add(step.skew).UTC().Format("15:04:05"); !strings.Contains(r.Header.Get("Date"), want) {
				t.Errorf("at %s: Date %s, want %s", step.at, r.Header.Get("Date"), want)
			}
		}
		if got := d.sim.Truth(); len(got) != 1 || stamp(got[0].LeaveTime) != "2000-01-01T00:01:00Z" {
			t.Errorf("the departure is not of its own time: %+v", got)
		}
	})
}

func TestStepsThatAreDueTogetherHappenInOrderEachAtItsTime(t *testing.T) {
	d := atNoon(t)
	d.play(`[
		{"after": "1m", "leave": {"people": [{"userId": "a"}], "lag": "1m"}},
		{"after": "3m", "edit": {"userId": "a", "to": {"leaveReason": "leave"}}},
		{"after": "4m", "blockIP": {"for": "1h"}},
		{"after": "4m", "heal": true},
		{"after": "5m", "remove": {"userId": "nobody"}},
		{"after": "6m", "blockIP": {"for": "10m"}}
	]`)
	d.now = noon.Add(15*time.Minute + 59*time.Second)
	d.wantRefusal(d.ask(), 403, "")
	d.now = noon.Add(16 * time.Minute)
	d.login()
	if got := d.ask().Body; got != `{"records":[{"userId":"a","leaveTime":"2026-03-10T12:01:00Z","leaveReason":"leave"}]}` {
		t.Errorf("got %s", got)
	}
	played := d.sim.Played()
	for i, p := range played {
		if (p.Error != "") != (i == 4) || !p.Done {
			t.Errorf("step %d: %+v", i+1, p)
		}
	}
	if len(played) != 6 || played[4].Command != "remove" || !strings.Contains(played[4].Error, "no such record") ||
		!played[4].Due.Equal(noon.Add(5*time.Minute)) {
		t.Errorf("played %+v", played)
	}
}

func TestWhatBecomesVisibleBetweenTwoStepsStandsBetweenThem(t *testing.T) {
	d := atNoon(t, func(s *dingtalktest.Switches) { s.Order = dingtalktest.Insertion })
	d.play(`[
		{"after": "1m", "leave": {"people": [{"userId": "first"}]}},
		{"after": "2m", "leave": {"people": [{"userId": "late"}], "lag": "1m"}},
		{"after": "4m", "leave": {"people": [{"userId": "last"}]}}
	]`)
	d.now = noon.Add(time.Hour)
	if got := strings.Join(d.ask().users(), " "); got != "first late last" {
		t.Errorf("got %s", got)
	}
}

func TestEveryQuestionSeesWhatIsDue(t *testing.T) {
	for name, ask := range map[string]func(*dingtalktest.Server) bool{
		"Truth":  func(s *dingtalktest.Server) bool { return len(s.Truth()) == 1 },
		"Remove": func(s *dingtalktest.Server) bool { return s.Remove("a", noon.Add(time.Minute)) },
		"Played": func(s *dingtalktest.Server) bool { return s.Played()[0].Done },
		"another": func(s *dingtalktest.Server) bool {
			return s.Do(dingtalktest.Command{Remove: &dingtalktest.Which{UserID: "a"}}) == nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := atNoon(t)
			d.play(`[{"after": "1m", "leave": {"people": [{"userId": "a"}]}}]`)
			d.now = noon.Add(time.Hour)
			if !ask(d.sim) {
				t.Error("it did not")
			}
		})
	}
}

func TestScriptsBegunLaterMixWithEarlierOnes(t *testing.T) {
	d := atNoon(t)
	d.play(`[{"after": "0s", "leave": {"people": [{"userId": "now"}]}}, {"after": "10m", "leave": {"people": [{"userId": "last"}]}}]`)
	d.now = noon.Add(time.Minute)
	d.play(`[{"after": "5m", "leave": {"people": [{"userId": "between"}]}}]`)
	d.now = noon.Add(time.Hour)
	if got := strings.Join(d.ask().users(), " "); got != "now between last" {
		t.Errorf("got %s", got)
	}
}

func TestAWrongScriptIsRefusedWholeAndItsStepNamed(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{`{"after": "1s", "heal": true}`, "script"},
		{`[{"after": "1s", "heal": true}, {"after": "2s"}]`, "step 2"},
		{`[{"after": "-1s", "heal": true}]`, "below 0"},
		{`[{"after": "soon", "heal": true}]`, "soon"},
		{`[{"at": "1s", "heal": true}]`, `"at"`},
		{`[{"leave": {"count": 1}}, {"after": "1s", "fail": {"fault": "gremlins"}}]`, "500-system-error"},
	} {
		d := atNoon(t)
		x, err := dingtalktest.ReadScript(strings.NewReader(c.text))
		if err == nil {
			err = d.sim.Play(x)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q in it", c.text, err, c.says)
		}
		if n := len(d.sim.Played()); n > 0 {
			t.Errorf("%s: %d steps stand", c.text, n)
		}
	}
}
