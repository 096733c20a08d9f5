package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"departures/connector/kafka/kafkatest"
)

func TestWrongUsageIsExitCode2(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"no verb", nil, []string{"usage: departures VERB"}},
		{"an unknown verb", []string{"poll"}, []string{`"poll"`, "usage: departures VERB"}},
		{"an unknown flag", []string{"-verbose"}, []string{`"-verbose"`, "usage: departures VERB"}},
		{"a flag that a verb does not have", []string{"run", "-once"}, []string{`"run -once"`, "usage: departures VERB"}},
		{"half of a verb", []string{"state"}, []string{`"state"`, "usage: departures VERB"}},
		{"a verb with something behind it", []string{"version", "now"}, []string{`"version now"`, "usage: departures VERB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, c.args, nil)
			p.ends(patience, exitUsage)
			if !containsAll(p.stderr.String(), c.says) {
				t.Errorf("stderr lacks one of %q:\n%s", c.says, p.stderr.String())
			}
			if p.stdout.String() != "" {
				t.Errorf("stdout is not empty: %s", p.stdout.String())
			}
		})
	}
}

func TestVersionAndHelpNeedNoEnvironment(t *testing.T) {
	t.Parallel()
	for arg, says := range map[string]string{"version": "departures ", "help": "usage: departures VERB", "-h": "usage: departures VERB", "run --help": "usage: departures VERB"} {
		t.Run(arg, func(t *testing.T) {
			t.Parallel()
			p := launch(t, strings.Fields(arg), nil)
			p.ends(patience, exitClean)
			if !strings.HasPrefix(p.stdout.String(), says) {
				t.Errorf("stdout does not begin with %q: %s", says, p.stdout.String())
			}
			if p.stderr.String() != "" {
				t.Errorf("stderr is not empty: %s", p.stderr.String())
			}
		})
	}
}

func TestABadConfigurationIsExitCode2WithEveryFaultAndNoValue(t *testing.T) {
	t.Parallel()
	const pasted = "canary-pasted-9e1f"
	for _, verb := range []string{"run", "state init"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			p := launch(t, strings.Fields(verb), []string{
				"DINGTALK_BASE_URL=ftp://" + pasted, "DINGTALK_RATE=" + pasted, "DINGTALK_TIMEOUT=" + pasted, "DINGTALK_CORPID=" + pasted,
				"KAFKA_SASL_MECHANISM=" + pasted, "KAFKA_COMPRESSION=" + pasted, "EVENTS_TOPIC=" + pasted + "/x", "START=" + pasted,
				"POLL_INTERVAL=0s", "OVERLAP=145h", "LOOKBACK=9000h", "ENCODING=avro", "FIELD_NAME=hmac", "FIELD_MOBILE=" + pasted,
				"HTTP_ADDR=" + pasted, "LOG_LEVEL=" + pasted, "GRUOP=" + pasted,
			})
			p.ends(patience, exitUsage)
			said := p.stderr.String()
			for _, name := range []string{
				"DINGTALK_BASE_URL", "DINGTALK_CORP_ID", "DINGTALK_APP_KEY", "DINGTALK_APP_SECRET", "DINGTALK_RATE", "DINGTALK_TIMEOUT",
				"DINGTALK_CORPID", "KAFKA_BROKERS", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_COMPRESSION",
				"EVENTS_TOPIC", "START", "POLL_INTERVAL", "OVERLAP", "LOOKBACK", "ENCODING", "SCHEMA_REGISTRY_URL", "FIELD_HMAC_KEY_FILE",
				"FIELD_MOBILE", "HTTP_ADDR", "LOG_LEVEL", "did you mean GROUP?",
			} {
				if !strings.Contains(said, name) {
					t.Errorf("%s is not named:\n%s", name, said)
				}
			}
			if strings.Contains(said, pasted) {
				t.Errorf("a value was echoed:\n%s", said)
			}
		})
	}
}

func TestASecretFromAFileIsUsedAndNeverSaid(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(canarySecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, kafkatest.Brokers(t))
	p := r.start("run", "DINGTALK_APP_SECRET=", "DINGTALK_APP_SECRET_FILE="+secret)
	p.isReady()
}
