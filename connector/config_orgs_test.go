package connector

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"departures/connector/dingtalk"
	"departures/schema"
)

// orgsFolder is a folder with the secrets one, two and lines; the latter is none.
func orgsFolder(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{"one": "first\n", "two": "second\r\n", "lines": "a\nb\n", "blank": "\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// orgsEnvironment is the least environment that goes with an ORGS_FILE of this text, and the given pairs on top.
func orgsEnvironment(t testing.TB, text string, pairs ...string) map[string]string {
	t.Helper()
	path := filepath.Join(orgsFolder(t), "orgs.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set := map[string]string{"KAFKA_BROKERS": "broker-1:9092", "ORGS_FILE": path}
	for n := 0; n < len(pairs); n += 2 {
		set[pairs[n]] = pairs[n+1]
	}
	return set
}

// The organisations that most tests begin with: three lines each.
const (
	orgA = "- corp_id: dinga\n  app_key: keya\n  app_secret_file: one\n"
	orgB = "- corp_id: dingb\n  app_key: keyb\n  app_secret_file: two\n"
)

func TestAnOrgsFileGivesEveryOrganisation(t *testing.T) {
	c := mustLoad(t, orgsEnvironment(t, orgA+`  base_url: https://api.dingtalk.com/
  rate: 20
  timeout: 10s
  token: CORP
  end_time: never
`+orgB, "DINGTALK_RATE", "2.5", "DINGTALK_TIMEOUT", "1m"))
	if len(c.Orgs) != 2 || len(c.Warnings) > 0 {
		t.Fatalf("%d organisations, warnings %q", len(c.Orgs), c.Warnings)
	}
	for n, want := range []string{
		"dinga dinga keya " + schema.Digest([]byte("keya")) + " first https://api.dingtalk.com 20 10s 1 false",
		"dingb dingb keyb " + schema.Digest([]byte("keyb")) + " second https://api.dingtalk.io 2.5 1m0s 0 true",
	} {
		o := c.Orgs[n]
		d := o.DingTalk
		secret, err := d.Secret()
		got := fmt.Sprint(o.CorpID, " ", d.CorpID, " ", d.AppKey, " ", o.AppKeyDigest, " ", secret, " ", d.BaseURL, " ", d.Rate, " ", d.Timeout, " ", int(d.Token), " ", d.EndTime)
		if got != want || err != nil {
			t.Errorf("organisation %d is\n%s (%v), want\n%s", n, got, err, want)
		}
	}
}

func TestAnAppWhoseRateIsTooLowForItsOrganisationsIsWarnedOf(t *testing.T) {
	var list strings.Builder
	for n := range 21 {
		fmt.Fprintf(&list, "- {corp_id: ding%d, app_key: key, app_secret_file: one, token: corp}\n", n)
	}
	for poll, warned := range map[string]bool{"4s": true, "5s": false, "0s": false} {
		c, err := loadFrom(t, orgsEnvironment(t, list.String(), "POLL_INTERVAL", poll))
		warnings := c.Warnings
		if refused, ok := errors.AsType[*ConfigError](err); ok {
			warnings = refused.Warnings
		}
		said := len(warnings) == 1 && strings.HasPrefix(warnings[0], "ORGS_FILE lists 21 organisations of one app, whose rate allows 20 polls")
		if said != warned || !warned && len(warnings) > 0 {
			t.Errorf("POLL_INTERVAL=%s: warnings %q", poll, warnings)
		}
	}
}

func TestFaultsOfAnOrgsFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		name, text string
		set        []string
		want       []string // the beginning of each fault, in order
	}{
		{"the file does not exist", "", []string{"ORGS_FILE", missing}, []string{"ORGS_FILE names a file that cannot be used: no such file"}},
		{"the file is empty", " \n", nil, []string{"ORGS_FILE names a file that cannot be used: it is empty"}},
		{"the file is far too large", "#" + strings.Repeat(" ", maxSettingFile), nil, []string{"ORGS_FILE names a file that cannot be used: it is larger than 4 MiB"}},
		{"the file holds a comment alone", "# nobody\n", nil, []string{"ORGS_FILE lists no organisation"}},
		{"the list is empty", "[]", nil, []string{"ORGS_FILE lists no organisation"}},
		{"the document is empty", "---\n", nil, []string{"ORGS_FILE lists no organisation"}},
		{"the organisations are a mapping", "\norgs:\n" + orgA, nil, []string{"ORGS_FILE line 2 begins no list"}},
		{"the file is a word", "dinga", nil, []string{"ORGS_FILE line 1 begins no list"}},
		{"the file is an alias", "*orgs", nil, []string{"ORGS_FILE is not YAML: "}},
		{"there is a tab", orgA + "\tkey: x\n", nil, []string{"ORGS_FILE is not YAML near line "}},
		{"a blank behind a colon is missing", orgA + "  rate:5\n  token: app\n", nil, []string{"ORGS_FILE is not YAML near line "}},
		{"the file is not UTF-8", "- corp_id: \xff\n", nil, []string{"ORGS_FILE is not YAML: "}},
		{"a second document begins", orgA + "---\n" + orgB, nil, []string{"ORGS_FILE line 4 begins a second document"}},
		{"a second document is not YAML", orgA + "---\n[", nil, []string{"ORGS_FILE is not YAML"}},
		{"an organisation is a word", orgA + "- dingb\n", nil, []string{"ORGS_FILE line 4 is no organisation"}},
		{"an organisation is a list", "- [dinga]\n" + orgB, nil, []string{"ORGS_FILE line 1 is no organisation"}},
		{"an organisation is nothing", "-\n" + orgB, nil, []string{"ORGS_FILE line 1 is no organisation"}},
		{"an organisation is an alias", "- &a\n  corp_id: dinga\n  app_key: keya\n  app_secret_file: one\n- *a\n", nil, []string{"ORGS_FILE line 5 is no organisation"}},

		{"an organisation is told nothing", "- {}\n", nil, []string{"ORGS_FILE line 1: corp_id is not set", "ORGS_FILE line 1: app_key is not set", "ORGS_FILE line 1: app_secret_file is not set"}},
		{"required settings are empty, blank and null", "- corp_id:\n  app_key: ' '\n  app_secret_file: null\n", nil, []string{"ORGS_FILE line 1: corp_id is not set", "ORGS_FILE line 2: app_key is not set", "ORGS_FILE line 3: app_secret_file is not set"}},
		{"the secret itself stands in the file", "- corp_id: dinga\n  app_key: keya\n  app_secret: x\n", nil, []string{"ORGS_FILE line 3: app_secret is no place for a secret: put it into a file and name that with app_secret_file"}},
		{"the secret itself stands beside its file", orgA + "  app_secret: x\n", nil, []string{"ORGS_FILE line 4: app_secret is no place for a secret"}},
		{"the secret itself stands beside a file that does not exist", "- corp_id: dinga\n  app_key: keya\n  app_secret: x\n  app_secret_file: none\n", nil, []string{"ORGS_FILE line 3: app_secret is no place", "ORGS_FILE line 4: app_secret_file names a file that cannot be used: no such file"}},
		{"the secret's file has two lines", "- corp_id: dinga\n  app_key: keya\n  app_secret_file: lines\n", nil, []string{"ORGS_FILE line 3: app_secret_file names a file that cannot be used: it holds more than one line"}},
		{"the secret's file is empty", "- corp_id: dinga\n  app_key: keya\n  app_secret_file: blank\n", nil, []string{"ORGS_FILE line 3: app_secret_file names a file that cannot be used: it is empty"}},
		{"the secret's file is a folder", "- corp_id: dinga\n  app_key: keya\n  app_secret_file: .\n", nil, []string{"ORGS_FILE line 3: app_secret_file names a file that cannot be used: it is no regular file"}},
		{"the corpId holds a slash", "- corp_id: ding/a\n  app_key: keya\n  app_secret_file: one\n", nil, []string{`ORGS_FILE line 1: corp_id holds a "/"`}},
		{"the app key has two lines", "- corp_id: dinga\n  app_key: |\n    a\n    b\n  app_secret_file: one\n", nil, []string{"ORGS_FILE line 2: app_key holds a space or a control character"}},
		{"every optional setting is wrong", orgA + "  base_url: ftp://x\n  rate: 0\n  timeout: 30\n  token: user\n  end_time: sometimes\n", nil, []string{
			"ORGS_FILE line 4: base_url does not begin with https://", "ORGS_FILE line 5: rate is not above 0", "ORGS_FILE line 6: timeout is not a duration",
			"ORGS_FILE line 7: token is no word that it can be: give app or corp", "ORGS_FILE line 8: end_time is no word that it can be",
		}},

		{"a setting is given twice", orgA + "  rate: 5\n  rate: 6\n", nil, []string{"ORGS_FILE line 5: rate is given again for the same organisation"}},
		{"a setting is given twice, once as nothing", orgA + "  rate:\n  rate: 6\n", nil, []string{"ORGS_FILE line 5: rate is given again"}},
		{"a setting is misspelt", orgA + "  tiemout: 5s\n", nil, []string{"ORGS_FILE line 4 has a key that is no setting of an organisation: did you mean timeout?"}},
		{"a setting has its variable's name", orgA + "  DINGTALK_RATE: 5\n", nil, []string{"ORGS_FILE line 4 has a key that is no setting of an organisation: did you mean rate?"}},
		{"a setting of Kafka is given", orgA + "  kafka_brokers: x\n", nil, []string{"ORGS_FILE line 4 has a key that is no setting"}},
		{"a secret is misspelt", orgA + "  app_secrt: x\n", nil, []string{"ORGS_FILE line 4 has a key that is no setting of an organisation: did you mean app_secret_file?"}},
		{"a template was not filled in", "- corp_id: {{ .Values.corpId }}\n  app_key: keya\n  app_secret_file: one\n", nil, []string{"ORGS_FILE line 1: corp_id is a list or a mapping"}},
		{"a template of settings was not filled in", "- {{ .Values.org }}\n", nil, []string{"ORGS_FILE line 1 has a key that is no setting of an organisation: give base_url, corp_id, app_key, app_secret_file, rate, timeout, token or end_time", "ORGS_FILE line 1: corp_id is not set", "ORGS_FILE line 1: app_key is not set", "ORGS_FILE line 1: app_secret_file is not set"}},
		{"a key has a tag", orgA + "  !!binary cmF0ZQ==: 5\n", nil, []string{"ORGS_FILE line 4 has a key that is no setting"}},
		{"a known key has a tag", orgA + "  !secret rate: 5\n", nil, []string{"ORGS_FILE line 4 has a key that is no setting"}},
		{"a key is an alias by a setting's name", "- corp_id: &rate dinga\n  app_key: keya\n  app_secret_file: one\n  *rate : 5\n", nil, []string{"ORGS_FILE line 4 has a key that is no setting of an organisation: give base_url"}},
		{"settings are merged in", "- &a\n  corp_id: dinga\n  app_key: keya\n  app_secret_file: one\n- <<: *a\n  corp_id: dingb\n", nil, []string{
			"ORGS_FILE line 5 has a key that is no setting of an organisation: write the settings out", "ORGS_FILE line 5: app_key is not set", "ORGS_FILE line 5: app_secret_file is not set",
		}},
		{"values are lists and mappings", "- corp_id: [dinga]\n  app_key: {a: b}\n  app_secret_file: [one]\n  rate: [5]\n", nil, []string{
			"ORGS_FILE line 1: corp_id is a list or a mapping", "ORGS_FILE line 2: app_key is a list or a mapping", "ORGS_FILE line 3: app_secret_file is a list or a mapping", "ORGS_FILE line 4: rate is a list or a mapping",
		}},
		{"a value is an alias", "- corp_id: dinga\n  app_key: &k keya\n  app_secret_file: one\n- corp_id: dingb\n  app_key: *k\n  app_secret_file: two\n", nil, []string{"ORGS_FILE line 5: app_key is an alias"}},
		{"values have tags", "- corp_id: !!binary ZGluZw==\n  app_key: !ours keya\n  app_secret_file: !!null one\n", nil, []string{
			"ORGS_FILE line 1: corp_id has a tag", "ORGS_FILE line 2: app_key has a tag", "ORGS_FILE line 3: app_secret_file has a tag",
		}},

		{"one organisation stands there twice", orgA + orgB + orgA, nil, []string{"ORGS_FILE line 7: corp_id is that of line 1 too"}},
		{"one organisation stands there twice, with other faults", orgA + "  rate: x\n- corp_id: dinga\n", nil, []string{
			"ORGS_FILE line 4: rate is not a number", "ORGS_FILE line 5: app_key is not set", "ORGS_FILE line 5: app_secret_file is not set", "ORGS_FILE line 5: corp_id is that of line 1 too",
		}},
		{"two organisations have one app and app tokens", orgA + "- corp_id: dingb\n  app_key: keya\n  app_secret_file: one\n", nil, []string{"ORGS_FILE line 5: app_key is that of line 1 too, and both have app tokens"}},
		{"two of three organisations with one app have app tokens", orgA + "- {corp_id: dingb, app_key: keya, app_secret_file: one, token: corp}\n- {corp_id: dingc, app_key: keya, app_secret_file: one}\n", nil, []string{"ORGS_FILE line 5: app_key is that of line 1 too, and both have app tokens"}},
		{"two organisations of one app have other rates", orgA + "- {corp_id: dingb, app_key: keya, app_secret_file: one, rate: 6}\n", []string{"DINGTALK_TOKEN", "corp"}, []string{"ORGS_FILE line 4: app_key is that of line 1 too, which has another rate"}},
		{"two organisations of one app have other base URLs", orgA + "- {corp_id: dingb, app_key: keya, app_secret_file: one, base_url: https://api.dingtalk.com}\n", []string{"DINGTALK_TOKEN", "corp"}, []string{"ORGS_FILE line 4: app_key is that of line 1 too, which has another base_url"}},
		{"two organisations of one app have everything other", orgA + "- {corp_id: dingb, app_key: keya, app_secret_file: one, rate: 6, base_url: https://api.dingtalk.com}\n", nil, []string{
			"ORGS_FILE line 4: app_key is that of line 1 too, which has another base_url", "ORGS_FILE line 4: app_key is that of line 1 too, which has another rate", "ORGS_FILE line 4: app_key is that of line 1 too, and both have app tokens",
		}},
		{"what is wrong in one of an app is no difference", orgA + "- {corp_id: dingb, app_key: keya, app_secret_file: one, rate: NaN, base_url: x, token: y}\n", nil, []string{
			"ORGS_FILE line 4: base_url does not begin", "ORGS_FILE line 4: rate is not a number", "ORGS_FILE line 4: token is no word",
		}},
		{"three organisations have no corpId and no app key", "- {}\n- {}\n", nil, []string{
			"ORGS_FILE line 1: corp_id is not set", "ORGS_FILE line 1: app_key is not set", "ORGS_FILE line 1: app_secret_file is not set",
			"ORGS_FILE line 2: corp_id is not set", "ORGS_FILE line 2: app_key is not set", "ORGS_FILE line 2: app_secret_file is not set",
		}},

		{"the variables of one organisation are set too", orgA, []string{"DINGTALK_CORP_ID", "x", "DINGTALK_APP_KEY", "x", "DINGTALK_APP_SECRET", "x", "DINGTALK_APP_SECRET_FILE", "x"}, []string{
			"DINGTALK_CORP_ID and ORGS_FILE are both set", "DINGTALK_APP_KEY and ORGS_FILE are both set", "DINGTALK_APP_SECRET and ORGS_FILE are both set", "DINGTALK_APP_SECRET_FILE and ORGS_FILE are both set",
		}},
		{"what is wrong for all is said once", orgA + orgB, []string{"DINGTALK_BASE_URL", "x", "DINGTALK_RATE", "x", "DINGTALK_TIMEOUT", "x", "DINGTALK_TOKEN", "x", "DINGTALK_END_TIME", "x"}, []string{
			"DINGTALK_BASE_URL does not begin", "DINGTALK_RATE is not a number", "DINGTALK_TIMEOUT is not a duration", "DINGTALK_TOKEN is no word", "DINGTALK_END_TIME is no word",
		}},
		{"several faults come at once, the table's order around the file's", "- corp_id: ding/a\n  app_key: keya\n  app_secret_file: none\n- dingb\n- corp_id: dingc\n  rate: x\n  app_secret_file: one\n", []string{"DINGTALK_END_TIME", "x", "KAFKA_COMPRESSION", "rar", "DINGTALK_CORPID", "x"}, []string{
			"DINGTALK_END_TIME is no word", `ORGS_FILE line 1: corp_id holds a "/"`, "ORGS_FILE line 3: app_secret_file names a file", "ORGS_FILE line 4 is no organisation",
			"ORGS_FILE line 5: app_key is not set", "ORGS_FILE line 6: rate is not a number", "KAFKA_COMPRESSION is no word", "DINGTALK_CORPID is no variable",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadFrom(t, orgsEnvironment(t, c.text, c.set...))
			wantFaults(t, err, c.want)
		})
	}
}

// TestTheLineOfWhatIsNotYAMLIsNearby: the library counts from 0 or from 1.
func TestTheLineOfWhatIsNotYAMLIsNearby(t *testing.T) {
	for wrong, text := range map[int]string{
		4:  orgA + "\tkey: x\n" + orgB,
		5:  orgA + "  rate: 5\n tail: x\n",
		7:  orgA + orgB + "- [\n",
		10: orgA + orgB + orgA + "}\n",
	} {
		_, err := loadFrom(t, orgsEnvironment(t, text))
		var said int
		if found := regexp.MustCompile(`ORGS_FILE is not YAML near line (\d+): `).FindStringSubmatch(fmt.Sprint(err)); found != nil {
			fmt.Sscan(found[1], &said)
		}
		if said < wrong-1 || said > wrong+1 {
			t.Errorf("line %d is wrong, and the error is: %v", wrong, err)
		}
	}
}

func TestWhatAnOrgsFileMaySay(t *testing.T) {
	folder := orgsFolder(t)
	for _, c := range []struct {
		name, text string
		set        []string
		want       string // each organisation's corpId, app key and secret
	}{
		{"one organisation", orgA, nil, "dinga keya first"},
		{"a corpId of digits alone", "- {corp_id: 0817, app_key: 1e3, app_secret_file: one}", nil, "0817 1e3 first"},
		{"words that YAML takes for others", "- {corp_id: yes, app_key: 2024-06-01, app_secret_file: one}\n- {corp_id: 'null', app_key: !!str true, app_secret_file: two}", nil, "yes 2024-06-01 first, null true second"},
		{"text in quotes and blocks", "- corp_id: \"ding\\x61\"\n  app_key: |\n    keya\n  app_secret_file: >-\n    one\n", nil, "dinga keya first"},
		{"JSON", `[{"corp_id": "dinga", "app_key": "keya", "app_secret_file": "one", "rate": null, "token": ""}]`, nil, "dinga keya first"},
		{"comments, a mark at the begin and one at the end", "# ours\n---\n" + orgA + "  # rate: 5\n...\n", nil, "dinga keya first"},
		{"an anchor that nobody refers to", "- &a {corp_id: dinga, app_key: keya, app_secret_file: one}", nil, "dinga keya first"},
		{"a path from the root", "- {corp_id: dinga, app_key: keya, app_secret_file: " + filepath.Join(folder, "two") + "}", nil, "dinga keya second"},
		{"a path that leads out of the folder", "- {corp_id: dinga, app_key: keya, app_secret_file: ../" + filepath.Base(folder) + "/two}", nil, "dinga keya second"},
		{"empty variables of one organisation", orgA, []string{"DINGTALK_CORP_ID", "", "DINGTALK_APP_SECRET", " "}, "dinga keya first"},
		{"one app with corp tokens", orgA + "  token: corp\n- {corp_id: dingb, app_key: keya, app_secret_file: two, token: corp}", nil, "dinga keya first, dingb keya second"},
		{"one app with its own token and corp tokens", orgA + "- {corp_id: dingb, app_key: keya, app_secret_file: two, token: corp}", nil, "dinga keya first, dingb keya second"},
		{"one app with one rate and one host, said in two ways", orgA + "  token: corp\n- {corp_id: dingb, app_key: keya, app_secret_file: two, token: corp, rate: 5.0, base_url: https://API.dingtalk.io/}", nil, "dinga keya first, dingb keya second"},
		{"corpIds that differ in case", orgA + "- {corp_id: dingA, app_key: keyb, app_secret_file: two}", nil, "dinga keya first, dingA keyb second"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := orgsEnvironment(t, c.text, c.set...)
			if strings.Contains(c.text, "../") { // from beside that folder
				set["ORGS_FILE"] = filepath.Join(folder, "orgs.yaml")
				if err := os.WriteFile(set["ORGS_FILE"], []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := mustLoad(t, set)
			var said []string
			for _, o := range got.Orgs {
				secret, err := o.DingTalk.Secret()
				if err != nil {
					t.Error(err)
				}
				said = append(said, o.CorpID+" "+o.DingTalk.AppKey+" "+secret)
			}
			if strings.Join(said, ", ") != c.want || len(got.Warnings) > 0 {
				t.Errorf("organisations %q, warnings %q, want %q and none", said, got.Warnings, c.want)
			}
		})
	}
}

func TestAWarningAboutAllOrganisationsComesOnce(t *testing.T) {
	c := mustLoad(t, orgsEnvironment(t, orgA+orgB+"  rate: 21\n", "DINGTALK_BASE_URL", "http://proxy:1"))
	if len(c.Warnings) != 2 || !strings.HasPrefix(c.Warnings[0], "DINGTALK_BASE_URL is http://") || !strings.HasPrefix(c.Warnings[1], "ORGS_FILE line 7: rate is above 20") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

// TestASecretOfKubernetesIsReadAgain has the file and the secrets as Kubernetes mounts them: links into a folder that is itself a link, which
// is put in place of the older one when a secret changes.
func TestASecretOfKubernetesIsReadAgain(t *testing.T) {
	mount := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		path := filepath.Join(mount, name)
		if err := errors.Join(os.Symlink(target, path+"~"), os.Rename(path+"~", path)); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(version, secret string) {
		t.Helper()
		at := filepath.Join(mount, version)
		err := errors.Join(os.Mkdir(at, 0o700), os.WriteFile(filepath.Join(at, "dinga"), []byte(secret), 0o600),
			os.WriteFile(filepath.Join(at, "orgs.yaml"), []byte("- {corp_id: dinga, app_key: keya, app_secret_file: dinga}"), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		link(version, "..data")
	}
	publish("..1", "first\n")
	link("..data/dinga", "dinga")
	link("..data/orgs.yaml", "orgs.yaml")
	secret := mustLoad(t, map[string]string{"KAFKA_BROKERS": "broker-1:9092", "ORGS_FILE": filepath.Join(mount, "orgs.yaml")}).Orgs[0].DingTalk.Secret
	for _, want := range []string{"first", "second"} {
		if got, err := secret(); got != want || err != nil {
			t.Errorf("secret %q, error %v, want %q", got, err, want)
		}
		publish("..2"+want, "second\n")
	}
	os.Remove(filepath.Join(mount, "dinga"))
	_, err := secret()
	if err == nil || !strings.Contains(err.Error(), "ORGS_FILE line 1: app_secret_file names a file that cannot be used: no such file") || strings.Contains(err.Error(), mount) {
		t.Errorf("error %v, want one that names the setting and not the path", err)
	}
}

// TestNothingInAnOrgsFileIsEverEchoed puts a canary into every place of the file, as keys too: where a comma is missing a value becomes one.
func TestNothingInAnOrgsFileIsEverEchoed(t *testing.T) {
	const canary = "zq7canary7qz"
	shapes := []string{
		"%s", "'%s'", "\"%s\\x01\"", "|\n    %s\n    second", "https://u:%s@host/", "http://%s.example", "ftp://%s", "/nonexistent/%s", "5%s", "1h%s",
		"a/%s", "[%s]", "{%s: %s}", "{%s}", "*%s", "&%s x", "&a %s", "!%s x", "!!binary %s", "!!int %s", "!!float %s", "@%s", "`%s", "%%%s", "\t%s", "x: %s", "'%s", "\"%s\\q\"",
		"%s: x\n  %s: y", "x\n %s", "x\n%s", "x\n- %s", "x\n- *%s", "x\n- {%s}", "x\n---\n%s", "x\n--- *%s", "x\n...\n%s", "x\n%%TAG ! %s\n", "x\n  <<: *%s", "x\n  ? %s", "x\n  : %s", "x\n  %s: y", "x\n  %s:y",
	}
	settings := append(orgSettings(), "app_secret", "unknown")
	for _, key := range settings {
		for _, shape := range shapes {
			value := strings.ReplaceAll(strings.ReplaceAll(shape, "%%", "%"), "%s", canary)
			var text strings.Builder
			for _, s := range []string{"corp_id: dinga", "app_key: keya", "app_secret_file: one"} {
				if !strings.HasPrefix(s, key+":") {
					text.WriteString("  " + s + "\n")
				}
			}
			file := "- " + text.String()[2:] + "  " + key + ": " + value + "\n"
			c, err := loadFrom(t, orgsEnvironment(t, file))
			if got := everything(c, err); strings.Contains(got, canary) {
				t.Errorf("%s\ncomes back: %s", file, got)
			}
		}
	}
}

// FuzzOrgsFile reads any file: no panic, the same answer twice, faults or organisations that are complete and differ, and no word of the file
// comes back unless it is ours.
func FuzzOrgsFile(f *testing.F) {
	seeds, err := filepath.Glob("testdata/orgs/*.yaml")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, seed := range seeds {
		text, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	ours := ourWords(f)
	folder := f.TempDir()
	path := filepath.Join(folder, "orgs.yaml")
	if err := os.WriteFile(filepath.Join(folder, "secret"), []byte("s3cret"), 0o600); err != nil {
		f.Fatal(err)
	}
	set := map[string]string{"KAFKA_BROKERS": "broker-1:9092", "ORGS_FILE": path}
	words := regexp.MustCompile(`[[:alnum:]]{7,}`)
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := loadFrom(t, set)
		if again, errAgain := loadFrom(t, set); fmt.Sprint(err) != fmt.Sprint(errAgain) || len(c.Orgs) != len(again.Orgs) {
			t.Fatalf("twice the same file: %v, then %v", err, errAgain)
		}
		if e, ok := errors.AsType[*ConfigError](err); err != nil && (!ok || len(e.Faults) == 0) {
			t.Fatalf("error %v without a fault", err)
		}
		if err == nil {
			complete(t, c)
		}
		said := everything(c, err)
		for _, word := range words.FindAllString(string(text), -1) {
			if !strings.Contains(ours, word) && strings.Contains(said, word) {
				t.Fatalf("a word comes back: %q in %s", word, said)
			}
		}
	})
}

// complete checks that a run can begin with each organisation, and that no two are the same.
func complete(t *testing.T, c Config) {
	t.Helper()
	if len(c.Orgs) == 0 {
		t.Fatal("no organisation and no fault")
	}
	corpIDs := map[string]bool{}
	for n, o := range c.Orgs {
		d := o.DingTalk
		if corpIDs[o.CorpID] || o.CorpID == "" || o.CorpID != d.CorpID || o.AppKeyDigest != schema.Digest([]byte(d.AppKey)) || d.AppKey == "" ||
			d.BaseURL == nil || !(d.Rate > 0) || d.Timeout < time.Millisecond || d.Token != dingtalk.AppToken && d.Token != dingtalk.CorpToken {
			t.Fatalf("organisation %d is accepted: %+v", n, o)
		}
		if secret, err := d.Secret(); secret == "" || err != nil {
			t.Fatalf("organisation %d has secret %q, error %v", n, secret, err)
		}
		corpIDs[o.CorpID] = true
	}
}

// ourWords is the source of what judges the configuration, and what the system says of files.
func ourWords(f *testing.F) string {
	f.Helper()
	var ours strings.Builder
	for _, name := range []string{"config.go", "config_orgs.go", "environment.go", "inspection.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		ours.Write(source)
	}
	for _, err := range []error{syscall.ENOENT, syscall.ENOTDIR, syscall.EINVAL, syscall.ENAMETOOLONG, syscall.EACCES, syscall.ELOOP} {
		ours.WriteString(err.Error())
	}
	return ours.String() + strings.Join(orgSettings(), " ")
}
