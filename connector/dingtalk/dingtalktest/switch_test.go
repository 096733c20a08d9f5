package dingtalktest_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"departures/connector/dingtalk/dingtalktest"
)

func TestEverySwitchHasANameARuleAndADoubt(t *testing.T) {
	kebab := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	seen := map[string]bool{}
	all := dingtalktest.AllSwitches()
	for _, x := range all {
		if !kebab.MatchString(x.Name) || seen[x.Name] {
			t.Errorf("name %q is not in kebab case, or there twice", x.Name)
		}
		seen[x.Name] = true
		if x.Rule == "" || x.Subject == "" {
			t.Errorf("%s: rule %q, about %q", x.Name, x.Rule, x.Subject)
		}
		if x.Doubt == "" {
			t.Errorf("%s stands for no doubt", x.Name)
		}
	}
	if want := reflect.TypeFor[dingtalktest.Switches]().NumField(); len(all) != want {
		t.Errorf("%d switches of %d fields", len(all), want)
	}
}

func TestEverySwitchTakesItsDefaultAndAllItsKinds(t *testing.T) {
	fields := reflect.TypeFor[dingtalktest.Switches]()
	for i, x := range dingtalktest.AllSwitches() {
		for _, text := range append(x.Kinds, x.Default) {
			var sw dingtalktest.Switches
			if err := x.Set(&sw, text); err != nil || x.Text(sw) != text {
				t.Errorf("%s set to %q: %q, %v", x.Name, text, x.Text(sw), err)
			}
		}
		if kind := fields.Field(i).Type; kind.Kind() == reflect.String && kind.Name() != "string" && x.Kinds == nil {
			t.Errorf("%s: the kinds of %s are not known", x.Name, kind)
		}
	}
}

func TestASwitchRefusesWhatItDoesNotTakeAndSaysWhatItTakes(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"order", "sideways", "asc, desc, insertion, random"},
		{"qps", "many", "whole number"},
		{"english", "very", "true nor false"},
		{"latency", "3", "1m30s"},
		{"latency", "-3s", "at least 0"},
	} {
		x, err := dingtalktest.SwitchNamed(c.name)
		if err != nil {
			t.Fatal(err)
		}
		var sw dingtalktest.Switches
		if err := x.Set(&sw, c.text); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s %q: %v", c.name, c.text, err)
		}
		if sw != (dingtalktest.Switches{}) {
			t.Errorf("%s %q was refused and changed something", c.name, c.text)
		}
	}
	skew, _ := dingtalktest.SwitchNamed("skew")
	if err := skew.Set(new(dingtalktest.Switches), "-10m"); err != nil {
		t.Error(err)
	}
	if _, err := dingtalktest.SwitchNamed("oder"); err == nil || !strings.Contains(err.Error(), "last-token") {
		t.Errorf("an unknown name: %v", err)
	}
}
