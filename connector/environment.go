package connector

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/kelseyhightower/envconfig"
)

// environment is every variable that the program knows, in the order of the README's table. What envconfig is asked for is
// the names, the defaults and the reading; judging is done afterwards, in one pass that finds every fault (see LoadConfig).
// That is why each field is a setting: envconfig itself stops at the first value that it cannot convert, and prints it.
// There is no prefix, and so no fall-back to a name without it.
//
// The tag need says that a variable has to be set, in place of envconfig's required, which an empty value satisfies. The first three of
// them may also stand in the file that ORGS_FILE names.
type environment struct {
	BaseURL       setting `envconfig:"DINGTALK_BASE_URL" default:"https://api.dingtalk.io" desc:"token and data calls use the same host; redirects are refused, HTTPS_PROXY is honoured"`
	CorpID        setting `envconfig:"DINGTALK_CORP_ID" need:"required" desc:"names the organisation; part of every key"`
	AppKey        setting `envconfig:"DINGTALK_APP_KEY" need:"required" desc:"the app's key (client id)"`
	AppSecret     setting `envconfig:"DINGTALK_APP_SECRET" need:"required" desc:"the app's secret; or DINGTALK_APP_SECRET_FILE"`
	AppSecretFile setting `envconfig:"DINGTALK_APP_SECRET_FILE" desc:"a file with the app's secret, read again when a token is renewed"`
	Rate          setting `envconfig:"DINGTALK_RATE" default:"5" desc:"calls a second (standard edition allows 20)"`
	Timeout       setting `envconfig:"DINGTALK_TIMEOUT" default:"30s" desc:"per call; at most 1h"`
	Token         setting `envconfig:"DINGTALK_TOKEN" default:"app" desc:"app (/v1.0/oauth2/accessToken) or corp (/v1.0/oauth2/{corpId}/token)"`
	EndTime       setting `envconfig:"DINGTALK_END_TIME" default:"always" desc:"whether endTime is sent: always; or never, where DingTalk refuses it (then at most 200,000 records after the mark)"`
	OrgsFile      setting `envconfig:"ORGS_FILE" desc:"a YAML list of many organisations, in place of DINGTALK_CORP_ID, DINGTALK_APP_KEY and DINGTALK_APP_SECRET (see Many organisations)"`

	Brokers      setting `envconfig:"KAFKA_BROKERS" need:"required" desc:"host:port, comma separated"`
	TLS          setting `envconfig:"KAFKA_TLS" desc:"true: speak TLS to the brokers"`
	TLSCAFile    setting `envconfig:"KAFKA_TLS_CA_FILE" desc:"PEM certificates to trust instead of the system's"`
	TLSCertFile  setting `envconfig:"KAFKA_TLS_CERT_FILE" desc:"PEM client certificate; needs KAFKA_TLS_KEY_FILE"`
	TLSKeyFile   setting `envconfig:"KAFKA_TLS_KEY_FILE" desc:"PEM key of the client certificate"`
	Mechanism    setting `envconfig:"KAFKA_SASL_MECHANISM" desc:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"`
	Username     setting `envconfig:"KAFKA_SASL_USERNAME" desc:"SASL user"`
	Password     setting `envconfig:"KAFKA_SASL_PASSWORD" desc:"SASL password; or KAFKA_SASL_PASSWORD_FILE"`
	PasswordFile setting `envconfig:"KAFKA_SASL_PASSWORD_FILE" desc:"a file with the SASL password"`
	Compression  setting `envconfig:"KAFKA_COMPRESSION" default:"gzip" desc:"gzip, zstd, lz4, snappy, none; gzip is what every client reads"`
	InstanceID   setting `envconfig:"KAFKA_INSTANCE_ID" desc:"makes this instance a static group member"`

	Group           setting `envconfig:"GROUP" default:"departures" desc:"consumer group that shares the organisations among instances"`
	EventsTopic     setting `envconfig:"EVENTS_TOPIC" default:"employee-left" desc:"where departures are published"`
	StateTopic      setting `envconfig:"STATE_TOPIC" default:"employee-left-state" desc:"checkpoints and ledger; compacted"`
	QuarantineTopic setting `envconfig:"QUARANTINE_TOPIC" default:"employee-left-quarantine" desc:"leave records that cannot be published"`
	CreateTopics    setting `envconfig:"CREATE_TOPICS" default:"true" desc:"create what is missing, then verify; false: verify only"`

	Start             setting `envconfig:"START" desc:"where to begin when there is no checkpoint: now, a time, a date, or a duration back (8736h is 364 days)"`
	PollInterval      setting `envconfig:"POLL_INTERVAL" default:"10s" desc:"jittered; from 1s to 24h"`
	Overlap           setting `envconfig:"OVERLAP" default:"24h" desc:"how far each poll looks behind its mark; at most 144h"`
	ReconcileInterval setting `envconfig:"RECONCILE_INTERVAL" default:"1h" desc:"how often LOOKBACK is read again; 0 turns reconcile off"`
	Lookback          setting `envconfig:"LOOKBACK" default:"720h" desc:"how far reconcile looks back; at most 8736h"`

	Encoding             setting `envconfig:"ENCODING" default:"json" desc:"of events: json, avro, protobuf; the last two need SCHEMA_REGISTRY_URL"`
	RegistryURL          setting `envconfig:"SCHEMA_REGISTRY_URL" desc:"root of a Confluent-compatible API; events are then written in its wire format, also as json"`
	RegistryUsername     setting `envconfig:"SCHEMA_REGISTRY_USERNAME" desc:"user for basic authentication"`
	RegistryPassword     setting `envconfig:"SCHEMA_REGISTRY_PASSWORD" desc:"its password; or SCHEMA_REGISTRY_PASSWORD_FILE"`
	RegistryPasswordFile setting `envconfig:"SCHEMA_REGISTRY_PASSWORD_FILE" desc:"a file with the password"`
	RegistryRegister     setting `envconfig:"SCHEMA_REGISTRY_REGISTER" default:"true" desc:"register the schema, and set its compatibility to BACKWARD_TRANSITIVE; false: both must be there already"`

	FieldName   setting `envconfig:"FIELD_NAME" default:"keep" desc:"keep, omit, mask, hmac"`
	FieldMobile setting `envconfig:"FIELD_MOBILE" default:"keep" desc:"keep, omit, mask, hmac"`
	HMACKeyFile setting `envconfig:"FIELD_HMAC_KEY_FILE" desc:"a file with the key for hmac"`
	HTTPAddr    setting `envconfig:"HTTP_ADDR" default:"127.0.0.1:8080" desc:"admin server"`
	LogLevel    setting `envconfig:"LOG_LEVEL" default:"info" desc:"debug, info, warn, error"`
	LogFormat   setting `envconfig:"LOG_FORMAT" default:"auto" desc:"text, json, or auto: text on a terminal, JSON otherwise"`
}

// Variable is one line of the table of variables.
type Variable struct {
	Name    string
	Default string // "required" for a variable that has to be set
	Meaning string
}

// Variables is every variable that LoadConfig knows, in the order of the README's table.
func Variables() []Variable {
	t := reflect.TypeFor[environment]()
	all := make([]Variable, t.NumField())
	for i := range all {
		tag := t.Field(i).Tag
		all[i] = Variable{Name: tag.Get("envconfig"), Default: tag.Get("default") + tag.Get("need"), Meaning: tag.Get("desc")}
	}
	return all
}

// setting is one variable, or one line of ORGS_FILE, as it was found. Its value may be a secret, whatever its name: somebody will paste one into the
// wrong line. So a setting prints its name only.
type setting struct {
	name    string
	value   string
	faulted bool // it was refused: it has no value and is not missed
}

// Set takes the value as it stands. It is what envconfig calls.
func (s *setting) Set(value string) error {
	s.value = value
	return nil
}

// String is the variable's name, never its value.
func (s setting) String() string { return s.name }

// GoString is the variable's name, never its value.
func (s setting) GoString() string { return s.name }

// text is the value without the blanks around it.
func (s setting) text() string { return strings.TrimSpace(s.value) }

// given says whether the variable is set: an empty or blank one counts as not set.
func (s setting) given() bool { return s.text() != "" }

// readEnvironment reads the process environment. A variable that is not given has its default.
func readEnvironment() environment {
	var e environment
	if envconfig.Process("", &e) != nil {
		panic("connector: environment holds a field that is no setting")
	}
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		s, tag := v.Field(i).Addr().Interface().(*setting), v.Type().Field(i).Tag
		s.name = tag.Get("envconfig")
		if !s.given() {
			s.value = tag.Get("default")
		}
	}
	return e
}

// ofOrg is the settings of one organisation, by their names in ORGS_FILE.
func (e *environment) ofOrg() map[string]*setting {
	settings := map[string]*setting{}
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		if name, ours := orgSetting(v.Type().Field(i).Tag.Get("envconfig")); ours {
			settings[name] = v.Field(i).Addr().Interface().(*setting)
		}
	}
	return settings
}

// orgSetting is the name that a variable has in ORGS_FILE, if it describes an organisation.
func orgSetting(variable string) (name string, ours bool) {
	name, ours = strings.CutPrefix(variable, "DINGTALK_")
	return strings.ToLower(name), ours
}

// orgSettings is what an organisation may be told in the file, in the order of the README's table.
func orgSettings() (names []string) {
	for _, v := range Variables() {
		if name, ours := orgSetting(v.Name); ours && name != "app_secret" {
			names = append(names, name)
		}
	}
	return names
}

// maxSettingFile bounds a file that a variable names, in bytes: a bundle of certificates has some 250,000.
const maxSettingFile = 4 << 20

// readFile reads the file that the variable names. Its error gives the variable and the reason, not the path, which is the
// variable's value. Only a regular file can be read again when a secret is rotated.
func (s setting) readFile() ([]byte, error) {
	info, err := os.Stat(s.text())
	if err != nil {
		return nil, s.fileError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, s.fileError(errNotRegular)
	}
	f, err := os.Open(s.text())
	if err != nil {
		return nil, s.fileError(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSettingFile+1))
	if err != nil {
		return nil, s.fileError(err)
	}
	if len(b) > maxSettingFile {
		return nil, s.fileError(errTooLarge)
	}
	return b, nil
}

func (s setting) fileError(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return fmt.Errorf("%s names a file that cannot be used: %w: name a file that holds it and that this process may read", s.name, err)
}

var (
	errEmpty      = errors.New("it is empty")
	errNotRegular = errors.New("it is no regular file")
	errTooLarge   = errors.New("it is larger than 4 MiB")
	errNoSecret   = errors.New("it holds more than one line, or a control character, or is not UTF-8")
)

// serviceLink matches what Kubernetes and old Docker links inject for each service in reach; a service named kafka gives
// KAFKA_PORT, KAFKA_SERVICE_HOST, KAFKA_PORT_9092_TCP_ADDR. Source: Kubernetes, "Service", "Environment variables".
var serviceLink = regexp.MustCompile(`^[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// ownPrefixes begin names that nobody but us would give to this program, so that an unknown one is worth a word however
// far it is from a known name. KAFKA_ is not among them: images and charts set many such names of their own.
var ownPrefixes = []string{"KAFKA_SASL_", "KAFKA_TLS_", "SCHEMA_REGISTRY_", "FIELD_"}

// misspelt looks for names that were probably meant for us. An unknown DINGTALK_* is a fault, another likely misspelling
// a warning; environ is in the form of os.Environ.
func (i *inspection) misspelt(environ []string) {
	var known []string
	for _, v := range Variables() {
		known = append(known, v.Name)
	}
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(variable, "=")
		if strings.TrimSpace(value) == "" || slices.Contains(known, name) || serviceLink.MatchString(name) {
			continue
		}
		upper := strings.ToUpper(name)
		near := nearest(upper, known)
		shown := setting{name: printable(name)}
		switch {
		case strings.HasPrefix(upper, "DINGTALK_"):
			i.fault(shown, "is no variable of this program", "did you mean "+near+"?")
		case edits(upper, near) <= tolerated(near) || slices.ContainsFunc(ownPrefixes, func(p string) bool { return strings.HasPrefix(upper, p) }):
			i.warn(shown, "is no variable of this program and has no effect", "did you mean "+near+"?")
		}
	}
}

// nearest is the first of the known names that the fewest edits make of name.
func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return edits(name, a) - edits(name, b) })
}

// tolerated is how many edits away from the name another still looks like it: in a short name two edits make another word.
func tolerated(name string) int {
	if len(name) <= 8 {
		return 1
	}
	return 2
}

// edits counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
// alignment), byte by byte.
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// printable is the name of a foreign variable, fit for one line of a message.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
	return name[:min(len(name), 80)]
}
