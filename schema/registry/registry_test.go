package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/goleak"

	"departures/schema/registry"
)

func TestMain(m *testing.M) {
	os.Setenv("HTTP_PROXY", "http://proxy.test:3128") // is read once; nobody asks it for 127.0.0.1
	goleak.VerifyTestMain(m)
}

const (
	user   = "reader"
	canary = "canary-password-91c4"
	header = "cmVhZGVyOmNhbmFyeS1wYXNzd29yZC05MWM0" // both, as they are sent
)

// wanted is the schema that is asked about.
var wanted = registry.Schema{Type: sr.TypeAvro, Text: `{"type":"record","name":"R","fields":[]}`}

// exchange is a request, and how it is answered.
type exchange struct {
	request string
	status  int
	body    string
}

// The requests.
const (
	lookUp   = "POST /subjects/t-value?normalize=true"
	latest   = "GET /subjects/t-value/versions/latest"
	level    = "GET /config/t-value?defaultToGlobal=true"
	global   = "GET /config"
	setLevel = "PUT /config/t-value"
	register = "POST /subjects/t-value/versions?normalize=true"
	compare  = "POST /compatibility/subjects/t-value/versions?normalize=true&verbose=true"
	mode     = "GET /mode/t-value?defaultToGlobal=true"
)

// The answers of the two registries.
const (
	known       = `{"subject":"t-value","version":1,"id":7,"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}"}`
	noSubject   = `{"message":"Subject 't-value' not found.","error_code":40401}`
	strict      = `{"compatibilityLevel":"BACKWARD_TRANSITIVE"}`
	strictlySet = `{"compatibility":"BACKWARD_TRANSITIVE"}`

	apicurioNoSchema     = `{"message":"The given schema does not match any schema under the subject t-value","error_code":40403}`
	apicurioIncompatible = `{"message":"io.apicurio.registry.rules.violation.RuleViolationException: Incompatible artifact: t-value [AVRO], ` +
		`num of incompatible diffs: {6}, list of diff types: [reader union lacking writer type: STRING at /fields/2/type/1, reader union lacking ` +
		`writer type: STRING at /fields/5/type/1, reader type: INT not compatible with writer type: STRING at /fields/6/type, beyond the bound]","error_code":409}`
	apicurioUnreadable = `{"message":"com.fasterxml.jackson.core.JsonParseException: Unrecognized token 'syntax': was expecting (JSON String, Number, ` +
		`Array, Object or token 'null', 'true' or 'false')\n at [Source: REDACTED; line: 1, column: 1]","error_code":42201}`
	apicurioBroken = `{"message":"#: could not determine version","error_code":0}`

	confluentNoSchema     = `{"error_code":40403,"message":"Schema not found"}`
	confluentIncompatible = `{"error_code":40901,"message":"Schema being registered is incompatible with an earlier schema for subject \"t-value\", ` +
		`details: [{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'…'}, {oldSchemaVersion: 1}, {compatibility: 'BACKWARD_TRANSITIVE'}]"}`
	confluentShut = `{"error_code":42205,"message":"Subject t-value is in read-only mode"}`
)

// script is a registry that answers the exchanges in their order, and fails the test for any other request.
func script(t *testing.T, exchanges []exchange) *url.URL {
	t.Helper()
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Method + " " + r.URL.RequestURI()
		if n == len(exchanges) || asked != exchanges[n].request {
			t.Errorf("request %d: %s", n+1, asked)
			http.Error(w, "", http.StatusTeapot)
			return
		}
		checkRequest(t, r)
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		w.WriteHeader(exchanges[n].status)
		io.WriteString(w, exchanges[n].body)
		n++
	}))
	t.Cleanup(func() {
		server.Close()
		if n < len(exchanges) {
			t.Errorf("%d requests, then no %s", n, exchanges[n].request)
		}
	})
	return parsed(t, server.URL)
}

// checkRequest wants the credentials, and in the body what the request is about.
func checkRequest(t *testing.T, r *http.Request) {
	if u, p, ok := r.BasicAuth(); !ok || u != user || p != canary {
		t.Errorf("%s %s with the credentials %q, %q", r.Method, r.URL, u, p)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	switch r.Method {
	case http.MethodPut:
		if string(body) != strictlySet {
			t.Errorf("%s %s with %s", r.Method, r.URL, body)
		}
	case http.MethodPost:
		var got map[string]string
		if err := json.Unmarshal(body, &got); err != nil || got["schema"] != wanted.Text || got["schemaType"] != "AVRO" && got["schemaType"] != "" {
			t.Errorf("%s %s with %s: %v", r.Method, r.URL, body, err)
		}
	}
}

func parsed(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func at(u *url.URL, mayRegister bool) registry.Config {
	return registry.Config{URL: u, Username: user, Password: canary, Register: mayRegister}
}

// Verdicts of Settle.
const (
	settled = "settled"
	refused = "refused" // a person has to look at it
	waiting = "waiting" // time may heal it
)

// verdict is which of the three, and the error's text, in which no secret may stand.
func verdict(t *testing.T, id int, err error) (string, string) {
	t.Helper()
	if err == nil {
		return settled, fmt.Sprint(id)
	}
	text := err.Error()
	if strings.Contains(text, canary) || strings.Contains(text, header) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) || len(text) > 900 {
		t.Errorf("the error is long, has several lines or holds the password:\n%s", text)
	}
	if id != 0 {
		t.Errorf("the id %d with the error %s", id, text)
	}
	if _, ok := errors.AsType[*registry.Refusal](err); ok {
		return refused, text
	}
	return waiting, text
}

// TestSettling asks no more than it has to, and writes what is missing where it may.
func TestSettling(t *testing.T) {
	t.Parallel()
	const may, mayNot = true, false
	for _, c := range []struct {
		name      string
		register  bool
		exchanges []exchange
		verdict   string
		says      string
	}{
		{"all is there", may, []exchange{{lookUp, 200, known}, {level, 200, strict}}, settled, "7"},
		{"all is there, and nothing may be written", mayNot, []exchange{{lookUp, 200, known}, {level, 200, strict}}, settled, "7"},
		{"a stronger level than needed", mayNot, []exchange{{lookUp, 200, known}, {level, 200, `{"compatibilityLevel":"FULL_TRANSITIVE"}`}}, settled, "7"},
		{
			"a new subject at Confluent's", may,
			[]exchange{{lookUp, 404, noSubject}, {level, 200, `{"compatibilityLevel":"BACKWARD"}`}, {setLevel, 200, strictlySet}, {register, 200, `{"id":7}`}},
			settled, "7",
		},
		{
			"a new subject at Apicurio's", may,
			[]exchange{
				{lookUp, 404, noSubject},
				{level, 404, noSubject},
				{global, 200, `{"compatibilityLevel":"NONE"}`},
				{setLevel, 200, `{"compatibility":"BACKWARD_TRANSITIVE","normalize":false}`},
				{register, 200, `{"id":7}`},
			},
			settled, "7",
		},
		{
			"a new subject where all levels are safe", may,
			[]exchange{{lookUp, 404, noSubject}, {level, 404, noSubject}, {global, 200, strict}, {register, 200, `{"id":7}`}},
			settled, "7",
		},
		{
			"a newer Confluent's answer to registering", may,
			[]exchange{{lookUp, 404, noSubject}, {level, 200, strict}, {register, 200, known}},
			settled, "7",
		},
		{
			"a level that is too weak, of a schema that is known", may,
			[]exchange{{lookUp, 200, known}, {level, 200, `{"compatibilityLevel":"NONE"}`}, {setLevel, 200, strictlySet}},
			settled, "7",
		},
		{
			"a level that is too weak, and nothing may be written", mayNot,
			[]exchange{{lookUp, 200, known}, {level, 200, `{"compatibilityLevel":"BACKWARD"}`}},
			refused,
			"subject t-value: its compatibility is BACKWARD, which lets a schema in that cannot read all that is in the topic: set it to BACKWARD_TRANSITIVE, or set SCHEMA_REGISTRY_REGISTER=true",
		},
		{
			"forward compatibility, with which no reader can read what is older", mayNot,
			[]exchange{{lookUp, 200, known}, {level, 200, `{"compatibilityLevel":"FORWARD_TRANSITIVE"}`}},
			refused, "FORWARD_TRANSITIVE",
		},
		{
			"a new version of the schema at Confluent's", may,
			[]exchange{{lookUp, 404, confluentNoSchema}, {latest, 200, known}, {level, 200, strict}, {register, 200, `{"id":8}`}},
			settled, "8",
		},
		{
			"a new version of the schema at Apicurio's", may,
			[]exchange{{lookUp, 404, apicurioNoSchema}, {latest, 200, known}, {level, 200, strict}, {register, 200, `{"id":8}`}},
			settled, "8",
		},
		{
			"an incompatible schema at Confluent's", may,
			[]exchange{{lookUp, 404, confluentNoSchema}, {latest, 200, known}, {level, 200, strict}, {register, 409, confluentIncompatible}},
			refused,
			"register the schema of subject t-value: refused with 409 (Schema being registered is incompatible with an earlier schema",
		},
		{
			"an incompatible schema at Apicurio's", may,
			[]exchange{{lookUp, 404, apicurioNoSchema}, {latest, 200, known}, {level, 200, strict}, {register, 409, apicurioIncompatible}},
			refused,
			"…): this version's schema is not compatible with what is registered: use the version of departures that goes with it, or another EVENTS_TOPIC",
		},
		{"nothing is registered, nor may be", mayNot, []exchange{{lookUp, 404, noSubject}}, refused, "subject t-value: this version's schema is not registered: register the file of schema/, or set SCHEMA_REGISTRY_REGISTER=true"},
		{"another version is registered, and nothing may be", mayNot, []exchange{{lookUp, 404, confluentNoSchema}, {latest, 200, known}}, refused, "SCHEMA_REGISTRY_REGISTER=true"},
		{
			"a subject of JSON schemas at Apicurio's", may,
			[]exchange{{lookUp, 422, apicurioUnreadable}, {latest, 200, `{"subject":"t-value","version":1,"id":7,"schema":"{}","schemaType":"JSON"}`}},
			refused,
			"subject t-value holds schemas of type JSON, and ENCODING wants AVRO: set the ENCODING that the topic has, or another EVENTS_TOPIC",
		},
		{
			"a subject of Protobuf schemas at Confluent's", may,
			[]exchange{{lookUp, 404, confluentNoSchema}, {latest, 200, `{"subject":"t-value","version":1,"id":7,"schema":"syntax…","schemaType":"PROTOBUF"}`}},
			refused,
			"holds schemas of type PROTOBUF, and ENCODING wants AVRO",
		},
		{
			"a schema that the registry cannot read", may,
			[]exchange{{lookUp, 422, `{"error_code":42201,"message":"Invalid schema"}`}, {latest, 200, known}},
			refused,
			"look up the schema of subject t-value: refused with 422 (Invalid schema): the registry has to take schemas of type AVRO",
		},
		{
			"a type that the registry does not take", may,
			[]exchange{{lookUp, 422, `{"error_code":42201,"message":"Invalid schema type AVRO"}`}, {latest, 404, noSubject}},
			refused,
			"look up the schema of subject t-value: refused with 422 (Invalid schema type AVRO): the registry has to take schemas of type AVRO",
		},
		{
			"a registry that takes no writes", may,
			[]exchange{{lookUp, 404, noSubject}, {level, 200, strict}, {register, 422, confluentShut}},
			refused,
			"(Subject t-value is in read-only mode): set the mode of the registry, or of the subject, to READWRITE",
		},
		{
			"a level that may not be set", may,
			[]exchange{{lookUp, 404, noSubject}, {level, 200, `{"compatibilityLevel":"NONE"}`}, {setLevel, 403, `{"error_code":40301,"message":"User is denied operation WriteCompatibility on Subject: t-value"}`}},
			refused, "set the compatibility to BACKWARD_TRANSITIVE of subject t-value: refused with 403 (User is denied operation WriteCompatibility on Subject: t-value): give the user of SCHEMA_REGISTRY_USERNAME the right to it",
		},
		{
			"another instance that sets the level at the same time, at Apicurio's", may,
			[]exchange{{lookUp, 404, noSubject}, {level, 404, noSubject}, {global, 200, `{"compatibilityLevel":"NONE"}`}, {setLevel, 409, `{"message":"A rule named 'COMPATIBILITY' already exists.","error_code":409}`}},
			waiting, "set the compatibility to BACKWARD_TRANSITIVE of subject t-value: answered with 409 (A rule named 'COMPATIBILITY' already exists.)",
		},
		{"a wrong password", may, []exchange{{lookUp, 401, `{"error_code":401,"message":"Unauthorized"}`}}, refused, "refused with 401 (Unauthorized): correct SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD"},
		{"another path", may, []exchange{{lookUp, 404, ``}}, refused, "refused with 404 (no response): make SCHEMA_REGISTRY_URL the root of a Confluent-compatible API"},
		{"another path, and nothing may be written", mayNot, []exchange{{lookUp, 404, ``}}, refused, "make SCHEMA_REGISTRY_URL the root"},
		{"a web server's page", may, []exchange{{lookUp, 404, "<!DOCTYPE html><html><body>canary-page</body></html>"}}, refused, "refused with 404 (without a registry's message): make SCHEMA_REGISTRY_URL the root"},
		{"a web page that is well", may, []exchange{{lookUp, 200, "<!DOCTYPE html><html></html>"}}, refused, "look up the schema of subject t-value: the answer is not a schema registry's: make SCHEMA_REGISTRY_URL the root of a Confluent-compatible API (invalid character '<' looking for beginning of value)"},
		{"JSON of another kind", may, []exchange{{lookUp, 200, `["hello"]`}}, refused, "the answer is not a schema registry's"},
		{"JSON without an id", may, []exchange{{lookUp, 200, `{}`}}, refused, "the answer is not a schema registry's"},
		{"an id that does not fit", may, []exchange{{lookUp, 200, `{"id":4294967296}`}}, refused, "the answer is not a schema registry's"},
		{"no id after registering", may, []exchange{{lookUp, 404, noSubject}, {level, 200, strict}, {register, 200, `{}`}}, refused, "register the schema of subject t-value: the answer is not a schema registry's"},
		{"an answer without a level", may, []exchange{{lookUp, 200, known}, {level, 200, `{}`}}, refused, "read the compatibility of subject t-value: the answer is not a schema registry's"},
		{"a level that nobody knows", may, []exchange{{lookUp, 200, known}, {level, 200, `{"compatibilityLevel":"SIDEWAYS"}`}}, refused, `unknown compatibility level "SIDEWAYS"`},
		{"a proxy that wants a password", may, []exchange{{lookUp, 407, ``}}, refused, "the proxy wants a user and a password"},
		{"another method", may, []exchange{{lookUp, 405, `{"error_code":405,"message":"HTTP 405 Method Not Allowed"}`}}, refused, "refused with 405 (HTTP 405 Method Not Allowed): make SCHEMA_REGISTRY_URL"},
		{"a message that repeats the password", may, []exchange{{lookUp, 400, `{"message":"no ` + canary + `"}`}}, refused, "its message holds the password"},
		{"a message that repeats the request", may, []exchange{{lookUp, 400, `{"message":"Authorization: Basic ` + header + `"}`}}, refused, "its message holds the password"},
		{"a message of several lines", may, []exchange{{lookUp, 400, `{"message":"a\n\tb\u001b[31m\u0000 c"}`}}, refused, "(a b [31m c)"},
		{"a long message", may, []exchange{{lookUp, 400, `{"message":"` + strings.Repeat("漢", 100_000) + `"}`}}, refused, strings.Repeat("漢", 100) + " …)"},
		{"an outage at Confluent's", may, []exchange{{lookUp, 500, `{"error_code":50001,"message":"Error in the backend data store"}`}}, waiting, "look up the schema of subject t-value: answered with 500 (Error in the backend data store)"},
		{"an outage at Apicurio's", may, []exchange{{lookUp, 404, apicurioNoSchema}, {latest, 200, known}, {level, 200, strict}, {register, 500, apicurioBroken}}, waiting, "register the schema of subject t-value: answered with 500 (#: could not determine version)"},
		{"an outage before the type is known", may, []exchange{{lookUp, 404, confluentNoSchema}, {latest, 500, `{"error_code":50002,"message":"Operation timed out"}`}}, waiting, "read the latest schema of subject t-value: answered with 500 (Operation timed out)"},
		{"a load balancer without a registry", may, []exchange{{lookUp, 503, "<html><body>no backend</body></html>"}}, waiting, "answered with 503 (without a registry's message)"},
		{"a registry that is slow to read", may, []exchange{{lookUp, 408, ``}}, waiting, "answered with 408 (no response)"},
		{"too many requests", may, []exchange{{lookUp, 200, known}, {level, 429, `{"error_code":42901,"message":"Too many requests"}`}}, waiting, "read the compatibility of subject t-value: answered with 429 (Too many requests)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := script(t, c.exchanges)
			id, first, err := at(u, c.register).Settle(t.Context(), "t-value", wanted)
			got, text := verdict(t, id, err)
			if first != (got == settled && c.exchanges[0].body == noSubject) {
				t.Errorf("first: %t", first)
			}
			if got != c.verdict || !strings.Contains(text, c.says) {
				t.Errorf("%s, %q; want it %s, with %q", got, text, c.verdict, c.says)
			}
			if err != nil && !strings.HasPrefix(text, "schema registry "+u.String()+": ") {
				t.Errorf("%q does not begin with the registry", text)
			}
		})
	}
}

// TestCredentialsThatAreMissing has a registry that wants some.
func TestCredentialsThatAreMissing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("credentials that nobody has")
		}
		http.Error(w, `{"error_code":401,"message":"Unauthorized"}`, http.StatusUnauthorized)
	}))
	defer server.Close()
	id, _, err := registry.Config{URL: parsed(t, server.URL)}.Settle(t.Context(), "t-value", wanted)
	if got, text := verdict(t, id, err); got != refused || !strings.HasSuffix(text, ": set SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD") {
		t.Errorf("%s: %s", got, text)
	}
}

// TestTheFrame is what Confluent's deserialisers look for.
func TestTheFrame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind sr.SchemaType
		id   int
		want string
	}{
		{sr.TypeAvro, 1, "\x00\x00\x00\x00\x01"},
		{sr.TypeJSON, 0x01020304, "\x00\x01\x02\x03\x04"},
		{sr.TypeProtobuf, 0x7fffffff, "\x00\x7f\xff\xff\xff\x00"},
	} {
		if got := registry.Header(c.kind, c.id); string(got) != c.want {
			t.Errorf("%s %d: % x, want % x", c.kind, c.id, got, c.want)
		}
	}
}

// TestAConfigurationKeepsItsPassword however it is printed.
func TestAConfigurationKeepsItsPassword(t *testing.T) {
	t.Parallel()
	c := at(parsed(t, "https://u:"+canary+"@registry.test/api"), true)
	marshalled, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{fmt.Sprint(registry.Config{}), string(marshalled)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		texts = append(texts, fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, []any{c, struct{ R registry.Config }{c}}))
	}
	for _, text := range texts {
		if strings.Contains(text, canary) {
			t.Errorf("the password is printed: %s", text)
		}
	}
}
