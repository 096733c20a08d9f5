package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

func TestWrongFlagsAreExitCode2AndNameTheFlag(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"an unknown flag":              {[]string{"-oder", "asc"}, "-oder"},
		"an unknown order":             {[]string{"-order", "sideways"}, "-order"},
		"a corpId with a slash":        {[]string{"-corp-id", "a/b"}, "-corp-id"},
		"an address without a port":    {[]string{"-addr", "localhost"}, "-addr"},
		"a probability above 1":        {[]string{"-fault-rate", "5"}, "-fault-rate"},
		"a negative number of people":  {[]string{"-people", "-1"}, "-people"},
		"a negative rate of leaving":   {[]string{"-leave-every", "-1s"}, "-leave-every"},
		"an argument that is no flag":  {[]string{"run"}, "run"},
		"credentials that are nothing": {[]string{"-app-secret", ""}, "-app-secret"},
		"an unknown fault":             {[]string{"-fault", "gremlins:3"}, "500-system-error"},
		"a fault without a number":     {[]string{"-fault", "204"}, "name:times"},
		"a fault on an unknown target": {[]string{"-fault", "204:1:some"}, "data, token, all"},
		"an unknown deployment":        {[]string{"-deployment", "cn"}, "-deployment"},
		"an admin address of no port":  {[]string{"-admin", "localhost"}, "-admin"},
		"a script that is not there":   {[]string{"-script", "no/such/file"}, "no/such/file"},
		"a script that is wrong":       {[]string{"-script", file(t, `[{"after": "1s", "fail": {"fault": "x"}}]`)}, "step 1"},
		"a number that is none":        {[]string{"-qps", "many"}, "-qps"},
		"a switch below 0":             {[]string{"-latency", "-1s"}, "-latency"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // so that what is taken for right ends at once
			var stderr bytes.Buffer
			if code := run(ctx, c.args, io.Discard, &stderr); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			if !strings.Contains(stderr.String(), c.says) {
				t.Errorf("stderr does not name %q: %s", c.says, stderr.String())
			}
		})
	}
}

func TestAnAddressInUseIsExitCode1(t *testing.T) {
	lines, stop := start(t)
	defer stop()
	var stderr bytes.Buffer
	addr := strings.TrimPrefix(value(t, lines, "DINGTALK_BASE_URL"), "http://")
	if code := run(t.Context(), []string{"-addr", addr}, io.Discard, &stderr); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(stderr.String(), addr) {
		t.Errorf("stderr does not name %s: %s", addr, stderr.String())
	}
}

func TestThePrintedEnvironmentOpensTheSimulatorAndAStopIsClean(t *testing.T) {
	lines, stop := start(t)
	base := value(t, lines, "DINGTALK_BASE_URL")
	corp := value(t, lines, "DINGTALK_CORP_ID")
	key := value(t, lines, "DINGTALK_APP_KEY")
	secret := value(t, lines, "DINGTALK_APP_SECRET")
	if corp != defaultCorpID {
		t.Errorf("corpId %q, want %q", corp, defaultCorpID)
	}
	body := `{"appKey":"` + key + `","appSecret":"` + secret + `"}`
	resp, err := http.Post(base+"/v1.0/oauth2/accessToken", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the printed credentials give %s", resp.Status)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d after a stop, want 0", code)
	}
}

func TestEveryDepartureIsALine(t *testing.T) {
	lines, stop := start(t, "-leave-every", "1ms")
	defer stop()
	want := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ left: userId ".+", name ".+", reason \w+$`)
	value(t, lines, "DINGTALK_APP_SECRET") // the last line before the story
	for range 3 {
		if line := next(t, lines); !want.MatchString(line) {
			t.Errorf("line %q does not match %s", line, want)
		}
	}
}

func TestAHangingCallDoesNotHoldUpAStop(t *testing.T) {
	lines, stop := start(t, "-latency", "1h")
	base := value(t, lines, "DINGTALK_BASE_URL")
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /v1.0/contact/empLeaveRecords HTTP/1.1\r\nHost: sim\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if answer, _ := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("the hanging call was answered: %s", answer)
	}
}

func TestHelpTellsEverySwitchUnderItsRuleWithItsDoubtInLinesOfATerminal(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-help"}, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, stderr %s", code, &stderr)
	}
	help := strings.Join(strings.Fields(stdout.String()), " ")
	rest := help
	for _, x := range dingtalktest.AllSwitches() {
		for _, text := range []string{x.Rule + " " + x.Subject, "-" + x.Name, x.Doubt} {
			if !strings.Contains(help, text) {
				t.Errorf("no %q", text)
			}
		}
		if _, behind, found := strings.Cut(rest, " -"+x.Name+" "); found {
			rest = behind
		} else {
			t.Errorf("-%s is not in order", x.Name)
		}
	}
	for line := range strings.Lines(stdout.String()) {
		if len(line) > 80 {
			t.Errorf("%d bytes: %s", len(line), line)
		}
	}
	if !strings.Contains(help, "500-system-error") || !strings.Contains(help, "-admin host:port") {
		t.Error("no faults, or no flags of the command itself")
	}
}

func TestAWrongFlagIsToldWithoutTheWholeHelp(t *testing.T) {
	var stderr bytes.Buffer
	run(t.Context(), []string{"-oder", "asc"}, io.Discard, &stderr)
	if n := strings.Count(stderr.String(), "\n"); n > 3 || !strings.Contains(stderr.String(), "-help") {
		t.Errorf("%d lines: %s", n, &stderr)
	}
}

func TestFlagsSetSwitchesFaultsAndTheScriptAtTheStart(t *testing.T) {
	lines, stop := start(t, "-people", "0", "-leave-every", "0", "-null-records", "-last-token", "zero", "-fault", "503-html:2", "-fault", "204:1:token",
		"-script", file(t, `[{"after": "0s", "leave": {"people": [{"userId": "scripted"}], "ago": "1m"}}, {"after": "1h", "heal": true}]`))
	defer stop()
	base := value(t, lines, "DINGTALK_BASE_URL")
	value(t, lines, "DINGTALK_APP_SECRET")
	if got, _ := ask(t, base, "", ""); got != 204 {
		t.Errorf("the first call for a token: %d", got)
	}
	token := login(t, base)
	for range 2 {
		if got, _ := ask(t, base, token, ""); got != 503 {
			t.Errorf("the first two data calls: %d", got)
		}
	}
	now := time.Now().UTC()
	if _, body := ask(t, base, token, now.Add(-time.Hour).Format(time.RFC3339)); !strings.Contains(body, `"scripted"`) || !strings.Contains(body, `"0"`) {
		t.Errorf("the page: %s", body)
	}
	if _, body := ask(t, base, token, now.Format(time.RFC3339)); body != `{"nextToken":"0","records":null}` {
		t.Errorf("an empty page: %s", body)
	}
}

func TestTheAdminAPIAndTheOtherDeploymentAreDoorsOfTheirOwn(t *testing.T) {
	lines, stop := start(t, "-admin", "127.0.0.1:0", "-elsewhere", "127.0.0.1:0", "-deployment", "com", "-leave-every", "0")
	defer stop()
	elsewhere, admin := after(t, lines, "# The other deployment: "), after(t, lines, "# The admin API: ")
	base := value(t, lines, "DINGTALK_BASE_URL")
	value(t, lines, "DINGTALK_APP_SECRET")
	if login(t, elsewhere) != "" {
		t.Error("the other deployment knows the app")
	}
	token := login(t, base)
	resp, err := http.Post(admin+"/commands", "application/json", strings.NewReader(`{"revokeToken": true}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got, body := ask(t, base, token, ""); resp.StatusCode != 200 || got != 400 || !strings.Contains(body, "InvalidAuthentication") {
		t.Errorf("%s, then %d %s", resp.Status, got, body)
	}
	if resp, err := http.Get(base + "/switches"); err != nil || resp.StatusCode != 404 {
		t.Errorf("the admin API answers at the API's address: %v %v", resp, err)
	}
}

// login is an access token for the default credentials, "" if there is none.
func login(t *testing.T, base string) string {
	t.Helper()
	_, body := ask(t, base, "", "")
	var r struct{ AccessToken string }
	_ = json.Unmarshal([]byte(body), &r) // no JSON, no token
	return r.AccessToken
}

// ask asks for a token, or, with one, for the leave records from start on, and gives status and body.
func ask(t *testing.T, base, token, start string) (int, string) {
	t.Helper()
	body := `{"appKey":"` + defaultAppKey + `","appSecret":"` + defaultAppSecret + `"}`
	req, _ := http.NewRequestWithContext(t.Context(), "POST", base+"/v1.0/oauth2/accessToken", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req, _ = http.NewRequestWithContext(t.Context(), "GET", base+"/v1.0/contact/empLeaveRecords?maxResults=50&startTime="+start, nil)
		req.Header.Set("x-acs-dingtalk-access-token", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// file is the name of a file with this text.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "script.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// start runs the simulator on a free port and gives its output, line by line, and what stops it.
func start(t *testing.T, args ...string) (lines *bufio.Scanner, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), w, io.Discard)
		w.Close()
	}()
	return bufio.NewScanner(r), func() int {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, r) }()
		return <-code
	}
}

// value reads lines up to the one that exports name.
func value(t *testing.T, lines *bufio.Scanner, name string) string {
	t.Helper()
	return after(t, lines, "export "+name+"=")
}

// after reads lines up to the one that begins with prefix, and gives what follows it.
func after(t *testing.T, lines *bufio.Scanner, prefix string) string {
	t.Helper()
	for {
		if v, ok := strings.CutPrefix(next(t, lines), prefix); ok {
			return v
		}
	}
}

func next(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	if !lines.Scan() {
		t.Fatal("the output ended")
	}
	return lines.Text()
}
