package connector

import (
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"departures/connector/dingtalk"
	"departures/connector/kafka"
	"departures/schema/registry"
)

const (
	// leastDuration is the least interval and overlap: DingTalk's times are whole seconds.
	leastDuration = time.Second
	// leastTimeout is the least time for a call; no answer comes within less. Nobody waits longer than mostTimeout.
	leastTimeout = time.Millisecond
	mostTimeout  = time.Hour
	// mostInterval bounds what is repeated: whoever polls less than once a day wants another program.
	mostInterval = 24 * time.Hour
	// mostOverlap and a day fit together into the longest window, seven days.
	mostOverlap = 144 * time.Hour
	// mostLookback is 364 days: DingTalk refuses what is older than 365.
	mostLookback = 8736 * time.Hour
	// standardRate is what the standard edition of DingTalk allows, in calls a second.
	standardRate = 20
	// leastHMACKey is the length, in bytes, below which a key is a word that can be guessed, and so are the digests.
	leastHMACKey = 16
	// mostURL is the longest address of a registry, in bytes: it stands in a header of every event.
	mostURL = 512
	// mostName is the longest name that Kafka takes for a topic and for a static member.
	mostName = 249
)

// Config is everything that can be set. It holds secrets and prints none of them.
type Config struct {
	Orgs  []Org        // at least one; no two with the same corpId
	Kafka kafka.Config // ready for kafka.New
	Start Start

	PollInterval      time.Duration
	Overlap           time.Duration
	ReconcileInterval time.Duration // 0: reconcile is off
	Lookback          time.Duration

	Encoding  Encoding         // of events
	Registry  *registry.Config // that readers find the schema in; nil: none, and plain JSON
	Privacy   Privacy
	HTTPAddr  string // of the admin server, host:port
	LogLevel  slog.Level
	LogFormat string // auto, text, json

	Warnings []string // what is allowed and deserves a word all the same; each names its variable, none holds a value
}

// Org is one organisation.
type Org struct {
	CorpID       string
	AppKeyDigest string // schema.Digest of the app key
	DingTalk     dingtalk.Config
}

// String tells nothing: there are secrets below.
func (c Config) String() string { return "connector.Config REDACTED" }

// GoString tells nothing either.
func (c Config) GoString() string { return c.String() }

// LogValue tells nothing either.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Start is where an organisation without a checkpoint begins. The zero value is START not set.
type Start struct {
	time time.Time     // not zero: this moment
	back time.Duration // otherwise: so long before now
	set  bool
}

// StartAt is START set to a moment.
func StartAt(t time.Time) Start { return Start{time: t, set: true} }

// IsZero says that START is not set.
func (s Start) IsZero() bool { return !s.set }

// At is the moment to begin at, for a program that looks at its clock and sees now; UTC, whole seconds.
func (s Start) At(now time.Time) time.Time {
	if s.time.IsZero() {
		return now.Add(-s.back).UTC().Truncate(time.Second)
	}
	return s.time.UTC().Truncate(time.Second)
}

// ConfigError is an environment that cannot be used. Each text names the variable, or the line of ORGS_FILE, what is wrong
// and what to do; none holds a value.
type ConfigError struct {
	Faults   []string
	Warnings []string // likely misspellings are among them: they may explain a fault
}

// Error is a line for each fault, then one for each warning.
func (e *ConfigError) Error() string {
	lines := slices.Clone(e.Faults)
	for _, w := range e.Warnings {
		lines = append(lines, "also: "+w)
	}
	return strings.Join(lines, "\n")
}

// LoadConfig reads the process environment and the files that it names, and dials nothing. An empty variable counts as not
// set, and blanks around a value as not there, but for secrets. Its error is a *ConfigError with every fault at once.
func LoadConfig() (Config, error) {
	e, i := readEnvironment(), &inspection{}
	// The order is that of the table: it is also the order of the faults.
	c := Config{
		Orgs:              i.orgs(e),
		Kafka:             i.kafka(e),
		Start:             i.start(e.Start, time.Now()),
		PollInterval:      i.duration(e.PollInterval, leastDuration, mostInterval),
		Overlap:           i.duration(e.Overlap, leastDuration, mostOverlap),
		ReconcileInterval: i.durationOrZero(e.ReconcileInterval, leastDuration),
		Lookback:          i.duration(e.Lookback, leastDuration, mostLookback),
	}
	i.affordable(c.Orgs, c.PollInterval)
	c.Encoding, c.Registry = i.encoding(e)
	c.Kafka.Encoding = c.Encoding.frozen(c.Registry != nil)
	c.Privacy = i.privacy(e)
	c.HTTPAddr = i.listenAddress(e.HTTPAddr)
	c.LogLevel = levels[i.word(e.LogLevel, "debug", "info", "warn", "error")]
	c.LogFormat = i.word(e.LogFormat, "auto", "text", "json")
	i.misspelt(os.Environ())
	if len(i.faults) > 0 {
		return Config{}, &ConfigError{Faults: i.faults, Warnings: i.warnings}
	}
	c.Warnings = i.warnings
	return c, nil
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

func (i *inspection) baseURL(s setting) *url.URL {
	const remedy = "give scheme and host alone, such as https://api.dingtalk.io"
	u := i.httpURL(s, remedy)
	if u == nil {
		return nil
	}
	if u.User != nil || hasMore(s, u) || strings.Trim(u.Path, "/") != "" {
		i.fault(s, "holds more than scheme and host", remedy)
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		i.warn(s, "is http://, so that secrets cross the network in the clear", "use https://, unless this is a proxy or a simulator of yours")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}
}

// httpURL is a URL that can be dialled; nil where the setting is none.
func (i *inspection) httpURL(s setting, remedy string) *url.URL {
	u, err := url.Parse(s.text())
	switch {
	case err != nil:
		i.fault(s, "is not a URL", remedy)
	case u.Scheme != "https" && u.Scheme != "http":
		i.fault(s, "does not begin with https:// or http://", remedy)
	case !hasAddress(u):
		i.fault(s, "has no host, or no valid port", remedy)
	default:
		return u
	}
	return nil
}

// hasMore says whether there is a query or a fragment, be it an empty one.
func hasMore(s setting, u *url.URL) bool {
	return u.RawQuery != "" || u.ForceQuery || strings.Contains(s.text(), "#")
}

// hasAddress says whether there is a host to dial, with a port that can be one or none.
func hasAddress(u *url.URL) bool {
	if u.Port() == "" {
		return u.Hostname() != "" && !strings.HasSuffix(u.Host, ":")
	}
	return u.Hostname() != "" && isPort(u.Port())
}

func (i *inspection) rate(s setting) float64 {
	r, err := strconv.ParseFloat(s.text(), 64)
	switch {
	case err != nil || math.IsNaN(r) || math.IsInf(r, 0):
		i.fault(s, "is not a number", "give calls a second, such as 5")
	case r <= 0:
		i.fault(s, "is not above 0", "give calls a second, such as 5")
	case r > standardRate:
		i.warn(s, fmt.Sprintf("is above %d calls a second, which is all that DingTalk's standard edition allows", standardRate), "lower it unless you bought more")
	}
	return r
}

func (i *inspection) start(s setting, now time.Time) Start {
	if !s.given() {
		return Start{}
	}
	const remedy = "give now, a time such as 2024-06-01T00:00:00Z, a date, or a duration back such as 8736h"
	st, ok := parseStart(s.text())
	switch {
	case !ok:
		i.fault(s, "is neither now nor a time nor a duration", remedy)
	case st.At(now).After(now):
		i.fault(s, "is in the future", remedy)
	case st.At(now).Before(time.Unix(0, 0)):
		i.fault(s, "is before 1970", remedy)
	}
	return st
}

// parseStart reads what START may be. A date is its first second in UTC; a duration of 0 is refused, for it may be meant to
// say "all" as well as "now".
func parseStart(text string) (st Start, ok bool) {
	if strings.EqualFold(text, "now") {
		return Start{set: true}, true
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && !t.IsZero() {
			return Start{time: t, set: true}, true
		}
	}
	d, err := time.ParseDuration(text)
	return Start{back: d, set: true}, err == nil && d != 0
}

// encoding is the encoding of events, with the registry that it needs.
func (i *inspection) encoding(e environment) (Encoding, *registry.Config) {
	encoding := Encoding(i.word(e.Encoding, string(JSON), string(Avro), string(Protobuf)))
	if e.RegistryURL.given() {
		return encoding, i.registry(e)
	}
	if encoding == Avro || encoding == Protobuf {
		i.fault(e.RegistryURL, "is not set although ENCODING is "+string(encoding), "give the registry's address; without a registry only json can be read")
	}
	for _, s := range []setting{e.RegistryUsername, e.RegistryPassword, e.RegistryPasswordFile} {
		if s.given() {
			i.fault(s, "is set although SCHEMA_REGISTRY_URL is not", "set SCHEMA_REGISTRY_URL, or unset it")
		}
	}
	if i.word(e.RegistryRegister, "true", "false") == "false" {
		i.warn(e.RegistryRegister, "has no effect", "set SCHEMA_REGISTRY_URL, or unset it")
	}
	return encoding, nil
}

func (i *inspection) registry(e environment) *registry.Config {
	c := &registry.Config{URL: i.registryURL(e.RegistryURL), Username: e.RegistryUsername.text(), Register: i.truth(e.RegistryRegister)}
	if e.RegistryUsername.given() || e.RegistryPassword.given() || e.RegistryPasswordFile.given() {
		i.required(e.RegistryUsername, "give the user that the password is of")
		if strings.Contains(e.RegistryUsername.text(), ":") {
			i.fault(e.RegistryUsername, "holds a colon", "give the user alone, and its password as SCHEMA_REGISTRY_PASSWORD")
		}
		c.Password = i.secret(e.RegistryPassword, e.RegistryPasswordFile)
		if u := c.URL; u != nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			i.warn(e.RegistryURL, "is http://, so that the password crosses the network in the clear", "use https:// if the registry speaks it")
		}
	}
	return c
}

func (i *inspection) registryURL(s setting) *url.URL {
	const remedy = "give the root of the registry's API, such as https://registry.example.com:8081"
	u := i.httpURL(s, remedy)
	switch {
	case u == nil:
	case u.User != nil:
		i.fault(s, "holds a user or a password", "give them as SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD: the address stands in every event")
	case hasMore(s, u):
		i.fault(s, "holds a question mark or a hash sign", remedy)
	case len(u.String()) > mostURL:
		i.fault(s, fmt.Sprintf("is longer than %d bytes", mostURL), "give a shorter one: it stands in every event")
	}
	return u
}

func (i *inspection) privacy(e environment) Privacy {
	treatment := func(s setting) Treatment {
		return Treatment(i.word(s, string(Keep), string(Omit), string(Mask), string(HMAC)))
	}
	p := Privacy{Name: treatment(e.FieldName), Mobile: treatment(e.FieldMobile)}
	p.Key = []byte(trimNewline(string(i.file(e.HMACKeyFile))))
	digests := p.Name == HMAC || p.Mobile == HMAC
	switch {
	case digests && !e.HMACKeyFile.given():
		i.fault(e.HMACKeyFile, "is not set although FIELD_NAME or FIELD_MOBILE is hmac", "name a file with a random key, at least 32 bytes")
	case !digests && e.HMACKeyFile.given():
		i.warn(e.HMACKeyFile, "has no effect", "set FIELD_NAME or FIELD_MOBILE to hmac, or unset it")
	case digests && len(p.Key) < leastHMACKey:
		i.warn(e.HMACKeyFile, fmt.Sprintf("names a key of less than %d bytes, which can be guessed", leastHMACKey), "take a random key of at least 32 bytes")
	}
	return p
}
