package connector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk"
	"departures/schema"
)

// leastEnvironment is the least environment that the program starts with.
func leastEnvironment() map[string]string {
	return map[string]string{
		"DINGTALK_CORP_ID":    "ding8f2",
		"DINGTALK_APP_KEY":    "dingkey",
		"DINGTALK_APP_SECRET": "s3cret",
		"KAFKA_BROKERS":       "broker-1:9092",
	}
}

// environmentWith is the least environment and the given pairs on top; a variable set to "-" is taken out.
func environmentWith(pairs ...string) map[string]string {
	set := leastEnvironment()
	for n := 0; n < len(pairs); n += 2 {
		set[pairs[n]] = pairs[n+1]
		if pairs[n+1] == "-" {
			delete(set, pairs[n])
		}
	}
	return set
}

// registryWith is environmentWith, with a registry first.
func registryWith(pairs ...string) map[string]string {
	return environmentWith(append([]string{"SCHEMA_REGISTRY_URL", "https://r:8081"}, pairs...)...)
}

// loadFrom is LoadConfig in a process environment that holds nothing else.
func loadFrom(t testing.TB, set map[string]string) (Config, error) {
	t.Helper()
	before := os.Environ()
	defer func() {
		os.Clearenv()
		for _, variable := range before {
			name, value, _ := strings.Cut(variable, "=")
			os.Setenv(name, value)
		}
	}()
	os.Clearenv()
	for name, value := range set {
		if err := os.Setenv(name, value); err != nil {
			t.Skip(err) // no environment can be like that
		}
	}
	return LoadConfig()
}

func mustLoad(t *testing.T, set map[string]string) Config {
	t.Helper()
	c, err := loadFrom(t, set)
	if err != nil {
		t.Fatalf("LoadConfig: %v", err)
	}
	return c
}

// wantFaults wants an error with faults that begin so, each in its place, that say what to do, and a text with all of them.
func wantFaults(t *testing.T, err error, want []string) {
	t.Helper()
	e, ok := errors.AsType[*ConfigError](err)
	if !ok {
		t.Fatalf("error %v, want a *ConfigError", err)
	}
	if len(e.Faults) != len(want) {
		t.Fatalf("%d faults, want %d:\n%v", len(e.Faults), len(want), err)
	}
	for n, begin := range want {
		if !strings.HasPrefix(e.Faults[n], begin) || !strings.Contains(e.Faults[n], ": ") {
			t.Errorf("fault %q, want it to begin with %q and to say what to do", e.Faults[n], begin)
		}
		if !strings.Contains(e.Error(), e.Faults[n]) {
			t.Errorf("the error's text leaves out %q", e.Faults[n])
		}
	}
}

// everything is all that a person gets to read.
func everything(c Config, err error) string {
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "config", c, "privacy", c.Privacy)
	return fmt.Sprintf("%v\n%s\n%v %+v %#v %+v %#v\n%s", err, strings.Join(c.Warnings, "\n"), c, c, c, c.Privacy, c.Privacy, log.String())
}

func fileWith(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheLeastEnvironmentGivesTheDefaults(t *testing.T) {
	c := mustLoad(t, leastEnvironment())
	o, k := c.Orgs[0], c.Kafka
	secret, err := o.DingTalk.Secret()
	got := []any{
		o.CorpID, o.AppKeyDigest, o.DingTalk.BaseURL.String(), o.DingTalk.CorpID, o.DingTalk.AppKey, secret, err, o.DingTalk.Rate,
		o.DingTalk.Timeout, o.DingTalk.Token, o.DingTalk.EndTime, strings.Join(k.Brokers, " "), k.TLS == nil, k.Mechanism, k.Username,
		k.Password, k.Compression, k.InstanceID, k.Group, k.EventsTopic, k.StateTopic, k.QuarantineTopic, k.CreateTopics, k.Encoding,
		string(k.PartitionKey([]byte("a@b@c"))), c.Start.IsZero(), c.PollInterval, c.Overlap, c.ReconcileInterval, c.Lookback,
		c.Privacy.Name, c.Privacy.Mobile, c.HTTPAddr, c.LogLevel, c.LogFormat, len(c.Warnings),
	}
	want := []any{
		"ding8f2", schema.Digest([]byte("dingkey")), "https://api.dingtalk.io", "ding8f2", "dingkey", "s3cret", nil, 5.0,
		30 * time.Second, dingtalk.AppToken, true, "broker-1:9092", true, "", "",
		"", "gzip", "", "departures", "employee-left", "employee-left-state", "employee-left-quarantine", true, "json",
		"a@b", true, 10 * time.Second, 24 * time.Hour, time.Hour, 720 * time.Hour,
		Keep, Keep, "127.0.0.1:8080", slog.LevelInfo, "auto", 0,
	}
	for n := range want {
		if got[n] != want[n] {
			t.Errorf("number %d: %v, want %v", n, got[n], want[n])
		}
	}
	if !strings.HasSuffix(k.Instance, fmt.Sprintf("-%d", os.Getpid())) {
		t.Errorf("Instance %q does not end with the process id", k.Instance)
	}
}

func TestEveryVariableHasTheTablesOrderAndDefault(t *testing.T) {
	const table = `DINGTALK_BASE_URL=https://api.dingtalk.io DINGTALK_CORP_ID=required DINGTALK_APP_KEY=required
		DINGTALK_APP_SECRET=required DINGTALK_APP_SECRET_FILE= DINGTALK_RATE=5 DINGTALK_TIMEOUT=30s DINGTALK_TOKEN=app
		DINGTALK_END_TIME=always ORGS_FILE= KAFKA_BROKERS=required KAFKA_TLS= KAFKA_TLS_CA_FILE= KAFKA_TLS_CERT_FILE=
		KAFKA_TLS_KEY_FILE= KAFKA_SASL_MECHANISM= KAFKA_SASL_USERNAME= KAFKA_SASL_PASSWORD= KAFKA_SASL_PASSWORD_FILE=
		KAFKA_COMPRESSION=gzip KAFKA_INSTANCE_ID= GROUP=departures EVENTS_TOPIC=employee-left STATE_TOPIC=employee-left-state
		QUARANTINE_TOPIC=employee-left-quarantine CREATE_TOPICS=true START= POLL_INTERVAL=10s OVERLAP=24h RECONCILE_INTERVAL=1h
		LOOKBACK=720h ENCODING=json SCHEMA_REGISTRY_URL= SCHEMA_REGISTRY_USERNAME= SCHEMA_REGISTRY_PASSWORD=
		SCHEMA_REGISTRY_PASSWORD_FILE= SCHEMA_REGISTRY_REGISTER=true FIELD_NAME=keep FIELD_MOBILE=keep FIELD_HMAC_KEY_FILE=
		HTTP_ADDR=127.0.0.1:8080 LOG_LEVEL=info LOG_FORMAT=auto`
	var got []string
	for _, v := range Variables() {
		got = append(got, v.Name+"="+v.Default)
		if v.Meaning == "" {
			t.Errorf("%s has no meaning", v.Name)
		}
	}
	if want := strings.Fields(table); !slices.Equal(got, want) {
		t.Errorf("variables\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFaults(t *testing.T) {
	empty, secret, lines := fileWith(t, "\n"), fileWith(t, "s3cret\n"), fileWith(t, "one\ntwo\n")
	cert, key := certificate(t)
	_, strange := certificate(t)
	missing, folder := filepath.Join(t.TempDir(), "none"), t.TempDir()
	long := strings.Repeat("t", 250)
	for _, c := range []struct {
		name string
		set  map[string]string
		want []string // the beginning of each fault, in order
	}{
		{"nothing is set", nil, []string{"DINGTALK_CORP_ID is not set", "DINGTALK_APP_KEY is not set", "DINGTALK_APP_SECRET is not set", "KAFKA_BROKERS is not set"}},
		{"required variables are empty or blank", environmentWith("DINGTALK_CORP_ID", "", "DINGTALK_APP_SECRET", " ", "KAFKA_BROKERS", "\t"), []string{"DINGTALK_CORP_ID is not set", "DINGTALK_APP_SECRET is not set", "KAFKA_BROKERS is not set"}},
		{"several faults come at once, in the table's order", environmentWith("LOG_LEVEL", "loud", "OVERLAP", "145h", "DINGTALK_RATE", "fast", "KAFKA_COMPRESSION", "rar"), []string{"DINGTALK_RATE is not a number", "KAFKA_COMPRESSION is no word", "OVERLAP is more than 144h", "LOG_LEVEL is no word"}},

		{"the base URL has another scheme", environmentWith("DINGTALK_BASE_URL", "ftp://api.dingtalk.io"), []string{"DINGTALK_BASE_URL does not begin with https://"}},
		{"the base URL has no scheme", environmentWith("DINGTALK_BASE_URL", "api.dingtalk.io"), []string{"DINGTALK_BASE_URL does not begin with https://"}},
		{"the base URL does not parse", environmentWith("DINGTALK_BASE_URL", "https://a b/%zz"), []string{"DINGTALK_BASE_URL is not a URL"}},
		{"the base URL has no host", environmentWith("DINGTALK_BASE_URL", "https:///"), []string{"DINGTALK_BASE_URL has no host"}},
		{"the base URL has a port without a number", environmentWith("DINGTALK_BASE_URL", "https://a:"), []string{"DINGTALK_BASE_URL has no host, or no valid port"}},
		{"the base URL has a port too high", environmentWith("DINGTALK_BASE_URL", "https://a:65536"), []string{"DINGTALK_BASE_URL has no host, or no valid port"}},
		{"the base URL has a user", environmentWith("DINGTALK_BASE_URL", "https://u:p@a"), []string{"DINGTALK_BASE_URL holds more"}},
		{"the base URL has a query", environmentWith("DINGTALK_BASE_URL", "https://a?b"), []string{"DINGTALK_BASE_URL holds more"}},
		{"the base URL has an empty query", environmentWith("DINGTALK_BASE_URL", "https://a?"), []string{"DINGTALK_BASE_URL holds more"}},
		{"the base URL has a fragment", environmentWith("DINGTALK_BASE_URL", "https://a#b"), []string{"DINGTALK_BASE_URL holds more"}},
		{"the base URL has a path", environmentWith("DINGTALK_BASE_URL", "https://a/v1.0"), []string{"DINGTALK_BASE_URL holds more"}},
		{"the corpId holds a slash", environmentWith("DINGTALK_CORP_ID", "ding/8f2"), []string{`DINGTALK_CORP_ID holds a "/"`}},
		{"the corpId holds a space", environmentWith("DINGTALK_CORP_ID", "ding 8f2"), []string{"DINGTALK_CORP_ID holds a space"}},
		{"the corpId holds a control character", environmentWith("DINGTALK_CORP_ID", "ding\x018f2"), []string{"DINGTALK_CORP_ID holds a space or a control character"}},
		{"the corpId is not UTF-8", environmentWith("DINGTALK_CORP_ID", "ding\xff"), []string{"DINGTALK_CORP_ID holds a space or a control character, or is not UTF-8"}},
		{"the app key holds a line break", environmentWith("DINGTALK_APP_KEY", "a\nb"), []string{"DINGTALK_APP_KEY holds a space or a control"}},
		{"the secret and its file are both set", environmentWith("DINGTALK_APP_SECRET_FILE", secret), []string{"DINGTALK_APP_SECRET and DINGTALK_APP_SECRET_FILE are both set"}},
		{"the secret's file does not exist", environmentWith("DINGTALK_APP_SECRET", "-", "DINGTALK_APP_SECRET_FILE", missing), []string{"DINGTALK_APP_SECRET_FILE names a file that cannot be used: no such file"}},
		{"the secret's file is a folder", environmentWith("DINGTALK_APP_SECRET", "", "DINGTALK_APP_SECRET_FILE", folder), []string{"DINGTALK_APP_SECRET_FILE names a file that cannot be used: it is no regular file"}},
		{"the secret's file is a device", environmentWith("DINGTALK_APP_SECRET", "-", "DINGTALK_APP_SECRET_FILE", "/dev/zero"), []string{"DINGTALK_APP_SECRET_FILE names a file that cannot be used: it is no regular file"}},
		{"the secret's file is empty", environmentWith("DINGTALK_APP_SECRET", "-", "DINGTALK_APP_SECRET_FILE", empty), []string{"DINGTALK_APP_SECRET_FILE names a file that cannot be used: it is empty"}},
		{"the secret's file is far too large", environmentWith("DINGTALK_APP_SECRET", "-", "DINGTALK_APP_SECRET_FILE", fileWith(t, strings.Repeat("s", maxSettingFile+1))), []string{"DINGTALK_APP_SECRET_FILE names a file that cannot be used: it is larger"}},
		{"the secret's file has two lines", environmentWith("DINGTALK_APP_SECRET", "-", "DINGTALK_APP_SECRET_FILE", lines), []string{"DINGTALK_APP_SECRET_FILE names a file that cannot be used: it holds more than one line"}},
		{"the secret has two lines", environmentWith("DINGTALK_APP_SECRET", "one\ntwo"), []string{"DINGTALK_APP_SECRET holds a line break"}},
		{"the rate is zero", environmentWith("DINGTALK_RATE", "0"), []string{"DINGTALK_RATE is not above 0"}},
		{"the rate is below zero", environmentWith("DINGTALK_RATE", "-1"), []string{"DINGTALK_RATE is not above 0"}},
		{"the rate is not a number by name", environmentWith("DINGTALK_RATE", "NaN"), []string{"DINGTALK_RATE is not a number"}},
		{"the rate is infinite", environmentWith("DINGTALK_RATE", "Inf"), []string{"DINGTALK_RATE is not a number"}},
		{"the timeout is zero", environmentWith("DINGTALK_TIMEOUT", "0"), []string{"DINGTALK_TIMEOUT is less than 1ms"}},
		{"the timeout has no unit", environmentWith("DINGTALK_TIMEOUT", "30"), []string{"DINGTALK_TIMEOUT is not a duration"}},
		{"the token is another word", environmentWith("DINGTALK_TOKEN", "user"), []string{"DINGTALK_TOKEN is no word that it can be: give app or corp"}},
		{"the end time is another word", environmentWith("DINGTALK_END_TIME", "sometimes"), []string{"DINGTALK_END_TIME is no word that it can be: give always or never"}},
		{"one organisation and a file of many are both given", environmentWith("ORGS_FILE", missing), []string{"DINGTALK_CORP_ID and ORGS_FILE are both set", "DINGTALK_APP_KEY and ORGS_FILE are both set", "DINGTALK_APP_SECRET and ORGS_FILE are both set", "ORGS_FILE names a file that cannot be used: no such file"}},

		{"the broker list has an empty element", environmentWith("KAFKA_BROKERS", "a:1,,b:2"), []string{"KAFKA_BROKERS has an empty element (number 2)"}},
		{"the broker list is one comma", environmentWith("KAFKA_BROKERS", ","), []string{"KAFKA_BROKERS has an empty element (number 1)", "KAFKA_BROKERS has an empty element (number 2)"}},
		{"a broker has no port", environmentWith("KAFKA_BROKERS", "a:1, b"), []string{"KAFKA_BROKERS has an element that is not host:port (number 2)"}},
		{"a broker has no host", environmentWith("KAFKA_BROKERS", ":9092"), []string{"KAFKA_BROKERS has an element that is not host:port (number 1)"}},
		{"a broker has port 0", environmentWith("KAFKA_BROKERS", "a:0"), []string{"KAFKA_BROKERS has an element that is not host:port (number 1)"}},
		{"a broker has a listener's name", environmentWith("KAFKA_BROKERS", "PLAINTEXT://a:9092"), []string{"KAFKA_BROKERS has an element with a protocol (number 1)"}},
		{"brokers are separated by blanks", environmentWith("KAFKA_BROKERS", "a:1 b:2"), []string{"KAFKA_BROKERS has an element that is not host:port (number 1)"}},
		{"TLS is neither true nor false", environmentWith("KAFKA_TLS", "maybe"), []string{"KAFKA_TLS is no word"}},
		{"a CA file is given without TLS", environmentWith("KAFKA_TLS_CA_FILE", cert), []string{"KAFKA_TLS_CA_FILE is set although KAFKA_TLS is not true"}},
		{"the CA file cannot be read", environmentWith("KAFKA_TLS", "true", "KAFKA_TLS_CA_FILE", missing), []string{"KAFKA_TLS_CA_FILE names a file that cannot be used: no such file"}},
		{"the CA file holds no certificate", environmentWith("KAFKA_TLS", "true", "KAFKA_TLS_CA_FILE", secret), []string{"KAFKA_TLS_CA_FILE names a file without a certificate"}},
		{"a certificate comes without its key", environmentWith("KAFKA_TLS", "true", "KAFKA_TLS_CERT_FILE", cert), []string{"KAFKA_TLS_KEY_FILE is not set although KAFKA_TLS_CERT_FILE is"}},
		{"a key comes without its certificate", environmentWith("KAFKA_TLS", "true", "KAFKA_TLS_KEY_FILE", key), []string{"KAFKA_TLS_CERT_FILE is not set although KAFKA_TLS_KEY_FILE is"}},
		{"the key is another certificate's", environmentWith("KAFKA_TLS", "true", "KAFKA_TLS_CERT_FILE", cert, "KAFKA_TLS_KEY_FILE", strange), []string{"KAFKA_TLS_CERT_FILE and KAFKA_TLS_KEY_FILE are no certificate with its key"}},
		{"the SASL mechanism is another word", environmentWith("KAFKA_SASL_MECHANISM", "GSSAPI", "KAFKA_SASL_USERNAME", "u", "KAFKA_SASL_PASSWORD", "p"), []string{"KAFKA_SASL_MECHANISM is no word"}},
		{"a mechanism comes without user and password", environmentWith("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256"), []string{"KAFKA_SASL_USERNAME is not set", "KAFKA_SASL_PASSWORD is not set"}},
		{"a user comes without a mechanism", environmentWith("KAFKA_SASL_USERNAME", "u"), []string{"KAFKA_SASL_MECHANISM is not set although KAFKA_SASL_USERNAME is"}},
		{"a password comes without a mechanism", environmentWith("KAFKA_SASL_PASSWORD", "p"), []string{"KAFKA_SASL_MECHANISM is not set although KAFKA_SASL_PASSWORD is"}},
		{"the password and its file are both set", environmentWith("KAFKA_SASL_MECHANISM", "PLAIN", "KAFKA_SASL_USERNAME", "u", "KAFKA_SASL_PASSWORD", "p", "KAFKA_SASL_PASSWORD_FILE", secret), []string{"KAFKA_SASL_PASSWORD and KAFKA_SASL_PASSWORD_FILE are both set"}},
		{"the password's file is missing", environmentWith("KAFKA_SASL_MECHANISM", "PLAIN", "KAFKA_SASL_USERNAME", "u", "KAFKA_SASL_PASSWORD_FILE", missing), []string{"KAFKA_SASL_PASSWORD_FILE names a file that cannot be used: no such file"}},
		{"the instance id holds a slash", environmentWith("KAFKA_INSTANCE_ID", "a/b"), []string{"KAFKA_INSTANCE_ID holds a character that Kafka does not allow"}},
		{"the group holds a control character", environmentWith("GROUP", "a\x02b"), []string{"GROUP holds a control character"}},
		{"a topic holds a space", environmentWith("EVENTS_TOPIC", "employee left"), []string{"EVENTS_TOPIC holds a character that Kafka does not allow"}},
		{"a topic is a dot", environmentWith("STATE_TOPIC", "."), []string{`STATE_TOPIC is "." or ".."`}},
		{"a topic is too long", environmentWith("QUARANTINE_TOPIC", long), []string{"QUARANTINE_TOPIC is longer than 249"}},
		{"a topic is the brokers' own", environmentWith("STATE_TOPIC", "__consumer_offsets"), []string{"STATE_TOPIC is a topic that the brokers keep"}},
		{"two topics are the same", environmentWith("STATE_TOPIC", "employee-left"), []string{"STATE_TOPIC is the same topic to Kafka as EVENTS_TOPIC"}},
		{"two topics differ in dot and underscore only", environmentWith("STATE_TOPIC", "a.b", "QUARANTINE_TOPIC", "a_b"), []string{"QUARANTINE_TOPIC is the same topic to Kafka as STATE_TOPIC"}},
		{"topics may be created perhaps", environmentWith("CREATE_TOPICS", "yes"), []string{"CREATE_TOPICS is no word that it can be: give true or false"}},

		{"the start is a word", environmentWith("START", "yesterday"), []string{"START is neither now nor a time nor a duration"}},
		{"the start has no zone", environmentWith("START", "2024-06-01T00:00:00"), []string{"START is neither now"}},
		{"the start is a duration of nothing", environmentWith("START", "0s"), []string{"START is neither now"}},
		{"the start is in the future", environmentWith("START", "2999-01-01T00:00:00Z"), []string{"START is in the future"}},
		{"the start is a duration forward", environmentWith("START", "-1h"), []string{"START is in the future"}},
		{"the start is before 1970", environmentWith("START", "1969-12-31"), []string{"START is before 1970"}},
		{"the start is a duration to before 1970", environmentWith("START", "2000000h"), []string{"START is before 1970"}},
		{"the poll interval is too short", environmentWith("POLL_INTERVAL", "999ms"), []string{"POLL_INTERVAL is less than 1s"}},
		{"the overlap is nothing", environmentWith("OVERLAP", "0"), []string{"OVERLAP is less than 1s"}},
		{"the reconcile interval is short and not nothing", environmentWith("RECONCILE_INTERVAL", "1ms"), []string{"RECONCILE_INTERVAL is less than 1s"}},
		{"the reconcile interval is negative", environmentWith("RECONCILE_INTERVAL", "-1h"), []string{"RECONCILE_INTERVAL is less than 1s"}},
		{"the lookback is longer than 364 days", environmentWith("LOOKBACK", "8736h1s"), []string{"LOOKBACK is more than 8736h"}},
		{"the encoding is another word", environmentWith("ENCODING", "xml"), []string{"ENCODING is no word that it can be: give json, avro or protobuf"}},
		{"avro comes without a registry", environmentWith("ENCODING", "avro"), []string{"SCHEMA_REGISTRY_URL is not set although ENCODING is avro: give"}},
		{"protobuf comes without a registry", environmentWith("ENCODING", "protobuf"), []string{"SCHEMA_REGISTRY_URL is not set although ENCODING is protobuf: give"}},
		{"a user and a password come without a registry", environmentWith("SCHEMA_REGISTRY_USERNAME", "u", "SCHEMA_REGISTRY_PASSWORD", "p"), []string{"SCHEMA_REGISTRY_USERNAME is set although SCHEMA_REGISTRY_URL is not", "SCHEMA_REGISTRY_PASSWORD is set although SCHEMA_REGISTRY_URL is not"}},
		{"a registry's password and its file are both set", registryWith("SCHEMA_REGISTRY_USERNAME", "u", "SCHEMA_REGISTRY_PASSWORD", "p", "SCHEMA_REGISTRY_PASSWORD_FILE", secret), []string{"SCHEMA_REGISTRY_PASSWORD and SCHEMA_REGISTRY_PASSWORD_FILE are both set"}},
		{"a registry's user has no password", registryWith("SCHEMA_REGISTRY_USERNAME", "u"), []string{"SCHEMA_REGISTRY_PASSWORD is not set"}},
		{"a registry's password has no user", registryWith("SCHEMA_REGISTRY_PASSWORD", "p"), []string{"SCHEMA_REGISTRY_USERNAME is not set: give the user that the password is of"}},
		{"a registry's user comes with the password", registryWith("SCHEMA_REGISTRY_USERNAME", "u:p", "SCHEMA_REGISTRY_PASSWORD", "p"), []string{"SCHEMA_REGISTRY_USERNAME holds a colon: give the user alone"}},
		{"the registry is no URL", environmentWith("SCHEMA_REGISTRY_URL", "http://[::1"), []string{"SCHEMA_REGISTRY_URL is not a URL"}},
		{"the registry has no scheme", environmentWith("SCHEMA_REGISTRY_URL", "registry:8081"), []string{"SCHEMA_REGISTRY_URL does not begin with https:// or http://"}},
		{"the registry has no host", environmentWith("SCHEMA_REGISTRY_URL", "https:///api"), []string{"SCHEMA_REGISTRY_URL has no host"}},
		{"the registry has no valid port", environmentWith("SCHEMA_REGISTRY_URL", "https://r:99999"), []string{"SCHEMA_REGISTRY_URL has no host, or no valid port"}},
		{"the registry's password stands in its URL", environmentWith("SCHEMA_REGISTRY_URL", "https://u:canary@r"), []string{"SCHEMA_REGISTRY_URL holds a user or a password: give them as SCHEMA_REGISTRY_USERNAME"}},
		{"the registry has a query", environmentWith("SCHEMA_REGISTRY_URL", "https://r/?a=b"), []string{"SCHEMA_REGISTRY_URL holds a question mark"}},
		{"the registry's URL fills every event", environmentWith("SCHEMA_REGISTRY_URL", "https://r/"+strings.Repeat("a", 512)), []string{"SCHEMA_REGISTRY_URL is longer than 512 bytes"}},
		{"schemas may be registered perhaps", environmentWith("SCHEMA_REGISTRY_REGISTER", "perhaps"), []string{"SCHEMA_REGISTRY_REGISTER is no word"}},
		{"a field's treatment is another word", environmentWith("FIELD_NAME", "hide", "FIELD_MOBILE", "show"), []string{"FIELD_NAME is no word", "FIELD_MOBILE is no word"}},
		{"a field is digested without a key", environmentWith("FIELD_MOBILE", "hmac"), []string{"FIELD_HMAC_KEY_FILE is not set although FIELD_NAME or FIELD_MOBILE is hmac"}},
		{"the digest's key is empty", environmentWith("FIELD_MOBILE", "hmac", "FIELD_HMAC_KEY_FILE", empty), []string{"FIELD_HMAC_KEY_FILE names a file that cannot be used: it is empty"}},
		{"the admin address has no port", environmentWith("HTTP_ADDR", "127.0.0.1"), []string{"HTTP_ADDR is not host:port"}},
		{"the admin address has a port too high", environmentWith("HTTP_ADDR", ":70000"), []string{"HTTP_ADDR is not host:port"}},
		{"the log format is another word", environmentWith("LOG_FORMAT", "xml"), []string{"LOG_FORMAT is no word"}},

		{"a variable of DingTalk is misspelt", environmentWith("DINGTALK_APP_SECRT", "x"), []string{"DINGTALK_APP_SECRT is no variable of this program: did you mean DINGTALK_APP_SECRET?"}},
		{"a variable of DingTalk is in lower case", environmentWith("dingtalk_rate", "1"), []string{"dingtalk_rate is no variable of this program: did you mean DINGTALK_RATE?"}},
		{"a variable of DingTalk is near to none", environmentWith("DINGTALK_COLOUR_OF_THE_SKY", "blue"), []string{"DINGTALK_COLOUR_OF_THE_SKY is no variable of this program: did you mean DINGTALK_"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadFrom(t, c.set)
			wantFaults(t, err, c.want)
		})
	}
}

func TestWhatIsAllowed(t *testing.T) {
	cert, key := certificate(t)
	password := fileWith(t, "p w\r\n")
	for _, c := range []struct {
		name string
		set  map[string]string
		ok   func(Config) bool
	}{
		{"an empty variable has its default", environmentWith("DINGTALK_RATE", "", "LOG_LEVEL", " ", "EVENTS_TOPIC", ""), func(c Config) bool {
			return c.Orgs[0].DingTalk.Rate == 5 && c.LogLevel == slog.LevelInfo && c.Kafka.EventsTopic == "employee-left"
		}},
		{"an empty secret beside its file", environmentWith("DINGTALK_APP_SECRET", "", "DINGTALK_APP_SECRET_FILE", password), func(c Config) bool {
			s, err := c.Orgs[0].DingTalk.Secret()
			return s == "p w" && err == nil
		}},
		{"brokers with blanks around them, and one by its IPv6 address", environmentWith("KAFKA_BROKERS", " a:1 ,\t[::1]:9092"), func(c Config) bool {
			return slices.Equal(c.Kafka.Brokers, []string{"a:1", "[::1]:9092"})
		}},
		{"a base URL that ends with a slash", environmentWith("DINGTALK_BASE_URL", "HTTPS://api.dingtalk.com:443/"), func(c Config) bool {
			return c.Orgs[0].DingTalk.BaseURL.String() == "https://api.dingtalk.com:443"
		}},
		{"an http base URL on this machine", environmentWith("DINGTALK_BASE_URL", "http://127.0.0.1:8081"), func(c Config) bool {
			return c.Orgs[0].DingTalk.BaseURL.String() == "http://127.0.0.1:8081"
		}},
		{"the corp token without endTime", environmentWith("DINGTALK_TOKEN", "corp", "DINGTALK_END_TIME", "never"), func(c Config) bool {
			return c.Orgs[0].DingTalk.Token == dingtalk.CorpToken && !c.Orgs[0].DingTalk.EndTime
		}},
		{"words in any case", environmentWith("LOG_LEVEL", "ERROR", "CREATE_TOPICS", "False", "LOG_FORMAT", "JSON"), func(c Config) bool {
			return c.LogLevel == slog.LevelError && !c.Kafka.CreateTopics && c.LogFormat == "json"
		}},
		{"TLS with the system's certificates", environmentWith("KAFKA_TLS", "true"), func(c Config) bool {
			return c.Kafka.TLS != nil && c.Kafka.TLS.RootCAs == nil
		}},
		{"TLS with everything", environmentWith("KAFKA_TLS", "true", "KAFKA_TLS_CA_FILE", cert, "KAFKA_TLS_CERT_FILE", cert, "KAFKA_TLS_KEY_FILE", key), func(c Config) bool {
			return c.Kafka.TLS.RootCAs != nil && len(c.Kafka.TLS.Certificates) == 1
		}},
		{"SASL with a password from a file", environmentWith("KAFKA_SASL_MECHANISM", "scram-sha-512", "KAFKA_SASL_USERNAME", "u", "KAFKA_SASL_PASSWORD_FILE", password), func(c Config) bool {
			return c.Kafka.Mechanism == "SCRAM-SHA-512" && c.Kafka.Username == "u" && c.Kafka.Password == "p w"
		}},
		{"a static member", environmentWith("KAFKA_INSTANCE_ID", "departures-0"), func(c Config) bool {
			return c.Kafka.InstanceID == "departures-0" && c.Kafka.Instance == "departures-0"
		}},
		{"reconcile turned off", environmentWith("RECONCILE_INTERVAL", "0"), func(c Config) bool { return c.ReconcileInterval == 0 }},
		{"all durations at their limits", environmentWith("POLL_INTERVAL", "1s", "OVERLAP", "144h", "RECONCILE_INTERVAL", "1s", "LOOKBACK", "8736h"), func(c Config) bool {
			return c.PollInterval == time.Second && c.Overlap == 144*time.Hour && c.ReconcileInterval == time.Second && c.Lookback == 8736*time.Hour
		}},
		{"a rate of 20", environmentWith("DINGTALK_RATE", "20"), func(c Config) bool { return c.Orgs[0].DingTalk.Rate == 20 }},
		{"registering schemas, as by default", environmentWith("SCHEMA_REGISTRY_REGISTER", "true"), func(c Config) bool {
			return c.Encoding == JSON && c.Registry == nil && c.Kafka.Encoding == "json"
		}},
		{"json with a registry", environmentWith("SCHEMA_REGISTRY_URL", "https://r:8081/apis/ccompat/v7/"), func(c Config) bool {
			return c.Encoding == JSON && c.Registry.Register && c.Registry.URL.String() == "https://r:8081/apis/ccompat/v7/" && c.Kafka.Encoding == "json-registry"
		}},
		{"avro with a registry that knows us", registryWith("ENCODING", "Avro", "SCHEMA_REGISTRY_USERNAME", "u", "SCHEMA_REGISTRY_PASSWORD_FILE", password, "SCHEMA_REGISTRY_REGISTER", "false"), func(c Config) bool {
			return c.Encoding == Avro && !c.Registry.Register && c.Registry.Username == "u" && c.Registry.Password == "p w" && c.Kafka.Encoding == "avro"
		}},
		{"protobuf with a registry in the clear, without a password", registryWith("ENCODING", "protobuf", "SCHEMA_REGISTRY_URL", "http://r:8081"), func(c Config) bool {
			return c.Encoding == Protobuf && c.Registry.URL.Host == "r:8081" && c.Kafka.Encoding == "protobuf"
		}},
		{"digests with a key", environmentWith("FIELD_NAME", "hmac", "FIELD_MOBILE", "omit", "FIELD_HMAC_KEY_FILE", fileWith(t, "0123456789abcdef\n")), func(c Config) bool {
			return c.Privacy.Name == HMAC && c.Privacy.Mobile == Omit && string(c.Privacy.Key) == "0123456789abcdef"
		}},
		{"an admin server on every interface", environmentWith("HTTP_ADDR", ":0"), func(c Config) bool { return c.HTTPAddr == ":0" }},
		{"links that Kubernetes injects", environmentWith("KAFKA_PORT", "tcp://10.0.0.1:9092", "KAFKA_SERVICE_HOST", "10.0.0.1", "KAFKA_SERVICE_PORT", "9092",
			"DEPARTURES_PORT_8080_TCP", "tcp://10.0.0.2:8080", "DEPARTURES_SERVICE_PORT_HTTP", "8080", "DINGTALK_SIM_SERVICE_HOST", "10.0.0.3",
			"DINGTALK_PORT_80_TCP_ADDR", "10.0.0.4", "SCHEMA_REGISTRY_PORT", "tcp://10.0.0.5:8081"), func(Config) bool { return true }},
		{"variables of others", environmentWith("HTTPS_PROXY", "http://proxy:3128", "HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "x", "https_proxy", "y", "SHELL", "sh",
			"HOSTNAME", "h", "KAFKA_HEAP_OPTS", "-Xmx1g", "LANG", "C", "GOPATH", "/", "PATH", "/bin", "HOME", "/", "STATE", "1"), func(Config) bool { return true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := loadFrom(t, c.set)
			if err != nil || len(got.Warnings) > 0 {
				t.Fatalf("error %v, warnings %q, want none", err, got.Warnings)
			}
			if !c.ok(got) {
				t.Errorf("the configuration does not say so: %#v", got.Kafka.Brokers)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	sasl := []string{"KAFKA_SASL_MECHANISM", "PLAIN", "KAFKA_SASL_USERNAME", "u", "KAFKA_SASL_PASSWORD", "p"}
	for _, c := range []struct {
		name, want string
		set        map[string]string
	}{
		{"a rate above what the standard edition allows", "DINGTALK_RATE is above 20 ", environmentWith("DINGTALK_RATE", "20.5")},
		{"an http base URL elsewhere", "DINGTALK_BASE_URL is http://", environmentWith("DINGTALK_BASE_URL", "http://dingtalksim:8081")},
		{"a plain password without TLS", "KAFKA_SASL_MECHANISM is PLAIN without KAFKA_TLS", environmentWith(sasl...)},
		{"a short key for digests", "FIELD_HMAC_KEY_FILE names a key of less than 16 bytes", environmentWith("FIELD_NAME", "hmac", "FIELD_HMAC_KEY_FILE", fileWith(t, "short"))},
		{"a key without digests", "FIELD_HMAC_KEY_FILE has no effect", environmentWith("FIELD_HMAC_KEY_FILE", fileWith(t, "0123456789abcdef"))},
		{"registering without a registry", "SCHEMA_REGISTRY_REGISTER has no effect", environmentWith("SCHEMA_REGISTRY_REGISTER", "false")},
		{"a registry's password in the clear", "SCHEMA_REGISTRY_URL is http://", registryWith("SCHEMA_REGISTRY_URL", "http://r", "SCHEMA_REGISTRY_USERNAME", "u", "SCHEMA_REGISTRY_PASSWORD", "p")},
		{"a letter missing", "KAFKA_BROKRS is no variable of this program and has no effect: did you mean KAFKA_BROKERS?", environmentWith("KAFKA_BROKRS", "x")},
		{"two letters swapped in a short name", "GRUOP is no variable of this program and has no effect: did you mean GROUP?", environmentWith("GRUOP", "x")},
		{"the singular", "EVENT_TOPIC is no variable of this program and has no effect: did you mean EVENTS_TOPIC?", environmentWith("EVENT_TOPIC", "x")},
		{"lower case", "kafka_tls is no variable of this program and has no effect: did you mean KAFKA_TLS?", environmentWith("kafka_tls", "true")},
		{"another tool's word behind our prefix", "KAFKA_SASL_USER is no variable of this program and has no effect: did you mean KAFKA_SASL_USERNAME?", environmentWith("KAFKA_SASL_USER", "x")},
		{"the wrong wing's prefix", "DINGTAK_RATE is no variable of this program and has no effect: did you mean DINGTALK_RATE?", environmentWith("DINGTAK_RATE", "x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustLoad(t, c.set)
			if len(got.Warnings) != 1 || !strings.HasPrefix(got.Warnings[0], c.want) {
				t.Errorf("warnings %q, want one that begins with %q", got.Warnings, c.want)
			}
		})
	}
}

func TestAnErrorShowsLikelyMisspellingsToo(t *testing.T) {
	_, err := loadFrom(t, environmentWith("KAFKA_BROKERS", "-", "KAFKA_BROKRS", "a:1"))
	if err == nil || !strings.Contains(err.Error(), "KAFKA_BROKERS is not set") || !strings.Contains(err.Error(), "also: KAFKA_BROKRS is no variable") {
		t.Errorf("error %v, want it to name both KAFKA_BROKERS and KAFKA_BROKRS", err)
	}
}

func TestStart(t *testing.T) {
	now := time.Date(2024, 6, 1, 12, 0, 0, 987_654_321, time.FixedZone("", 8*3600))
	for _, c := range []struct{ text, want string }{
		{"now", "2024-06-01T04:00:00Z"},
		{"NOW", "2024-06-01T04:00:00Z"},
		{"8736h", "2023-06-03T04:00:00Z"},
		{"1h30m0.5s", "2024-06-01T02:30:00Z"},
		{"2024-05-31T10:00:00+08:00", "2024-05-31T02:00:00Z"},
		{"2024-05-31T10:00:00.999Z", "2024-05-31T10:00:00Z"},
		{"2024-05-31", "2024-05-31T00:00:00Z"},
		{"1970-01-01", "1970-01-01T00:00:00Z"},
	} {
		s := mustLoad(t, environmentWith("START", c.text)).Start
		at := s.At(now)
		if got := at.Format(time.RFC3339Nano); s.IsZero() || got != c.want || at.Location() != time.UTC {
			t.Errorf("START=%s begins at %s, want %s", c.text, got, c.want)
		}
	}
}

func TestARotatedSecretIsReadAgain(t *testing.T) {
	path := fileWith(t, "first\r\n")
	secret := mustLoad(t, environmentWith("DINGTALK_APP_SECRET", "-", "DINGTALK_APP_SECRET_FILE", path)).Orgs[0].DingTalk.Secret
	expect := func(want, wantErr string) {
		t.Helper()
		got, err := secret()
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("secret %q, error %v; want %q, %q", got, err, want, wantErr)
		}
		if err != nil && strings.Contains(err.Error(), path) {
			t.Errorf("error %v shows the path", err)
		}
	}
	expect("first", "")
	os.WriteFile(path, []byte(" second "), 0o600)
	expect(" second ", "")
	os.WriteFile(path, nil, 0o600)
	expect("", "DINGTALK_APP_SECRET_FILE names a file that cannot be used: it is empty")
	os.Remove(path)
	expect("", "no such file")
}

func TestNoValueIsEverEchoed(t *testing.T) {
	const canary = "zq7canary7qz"
	shapes := []string{
		"%s", "\x01%s", "https://u:%s@host/", "http://%s.example", "https://a b/%%zz%s", "https://h:1%s", "%s:9092,,%s", "x://%s:1", "/nonexistent/%s",
		"-1%s", "5%s", "1h%s", "2024-06-01T00:00:00%s", "true%s", "a/%s", "%s\nsecond",
	}
	for _, v := range append(Variables(), Variable{Name: "DINGTALK_UNKNOWN"}, Variable{Name: "KAFKA_SASL_PASWORD"}) {
		for _, shape := range shapes {
			text := strings.ReplaceAll(shape, "%s", canary)
			c, err := loadFrom(t, environmentWith(v.Name, text))
			if got := everything(c, err); strings.Contains(got, canary) {
				t.Errorf("%s=%q comes back: %s", v.Name, text, got)
			}
		}
	}
}

func TestAFileIsNeverEchoed(t *testing.T) {
	const canary = "zq7canary7qz"
	for _, v := range Variables() {
		if strings.HasSuffix(v.Name, "_FILE") {
			c, err := loadFrom(t, environmentWith(v.Name, fileWith(t, canary), "DINGTALK_APP_SECRET", "", "KAFKA_TLS", "true", "FIELD_NAME", "hmac"))
			if got := everything(c, err); strings.Contains(got, canary) {
				t.Errorf("what is in %s comes back: %s", v.Name, got)
			}
		}
	}
}

func TestEveryVariableIsJudged(t *testing.T) {
	for _, v := range Variables() {
		_, err := loadFrom(t, environmentWith(v.Name, "a\x01 b"))
		if err == nil || !strings.Contains(err.Error(), v.Name) {
			t.Errorf("%s with a control character: error %v, want one that names it", v.Name, err)
		}
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"START", "STRAT", 1}, {"START", "TART", 1}, {"START", "SMART", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3}} {
		if got := edits(c.a, c.b); got != c.want {
			t.Errorf("%q to %q in %d edits, want %d", c.a, c.b, got, c.want)
		}
	}
}

// certificate writes a self-signed certificate and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, b []byte) string {
		return fileWith(t, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}

// FuzzLoadConfig gives two variables any value: no panic, the same answer twice, every fault names a variable, and no value
// comes back unless the words are ours.
func FuzzLoadConfig(f *testing.F) {
	for n := range Variables() {
		f.Add(uint8(n), uint8(n+1), "5", "https://user:hunter2@example.com/")
		f.Add(uint8(n), uint8(n+7), "true", "a:9092, b:9092")
		f.Add(uint8(n), uint8(n+13), "8736h", "2024-06-01T00:00:00Z")
	}
	ours := ourWords(f)
	all := Variables()
	f.Fuzz(func(t *testing.T, a, b uint8, one, two string) {
		first, second := all[int(a)%len(all)].Name, all[int(b)%len(all)].Name
		set := environmentWith()
		maps.Copy(set, map[string]string{first: one, second: two})
		c, err := loadFrom(t, set)
		again, errAgain := loadFrom(t, set)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || !reflect.DeepEqual(c.Warnings, again.Warnings) {
			t.Fatalf("twice the same environment: %v, then %v", err, errAgain)
		}
		if e, ok := errors.AsType[*ConfigError](err); err != nil && (!ok || len(e.Faults) == 0) {
			t.Fatalf("error %v without a fault", err)
		}
		if err == nil && (len(c.Kafka.Brokers) == 0 || c.Orgs[0].DingTalk.BaseURL == nil || !(c.Orgs[0].DingTalk.Rate > 0) || c.PollInterval < time.Second) {
			t.Fatalf("%s=%q %s=%q is accepted", first, one, second, two)
		}
		for _, value := range []string{one, two} {
			value = strings.TrimSpace(value)
			if len(value) >= 6 && !strings.Contains(ours, value) && strings.Contains(everything(c, err), value) {
				t.Fatalf("a value comes back: %q in %s", value, everything(c, err))
			}
		}
	})
}
