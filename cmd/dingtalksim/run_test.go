package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
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
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			if code := run(t.Context(), c.args, io.Discard, &stderr); code != 2 {
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
	for {
		if v, ok := strings.CutPrefix(next(t, lines), "export "+name+"="); ok {
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
