package registry_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"departures/schema/registry"
)

// labels are the levels as the tests below write them.
var labels = map[registry.Level]string{registry.Fine: "fine", registry.Warning: "warning", registry.Fault: "fault"}

// written is the findings, one a line.
func written(t *testing.T, found []registry.Finding) string {
	t.Helper()
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s %s: %s\n", labels[f.Level], f.Subject, f.Text)
	}
	if strings.Contains(b.String(), canary) {
		t.Errorf("the password is reported:\n%s", b.String())
	}
	return b.String()
}

// TestInspecting writes nothing, and finds what Settle would meet.
func TestInspecting(t *testing.T) {
	t.Parallel()
	const (
		may, mayNot = true, false
		answers     = "fine connection: the registry answers\n"
		isStrict    = answers + "fine compatibility: of subject t-value: BACKWARD_TRANSITIVE\n"
		weak        = `{"compatibilityLevel":"BACKWARD"}`
		isWeak      = answers + "fine compatibility: of subject t-value: BACKWARD; the next run sets it to BACKWARD_TRANSITIVE\n"
		open        = `{"mode":"READWRITE"}`
		comparable  = `{"is_compatible":true}`
	)
	for _, c := range []struct {
		name      string
		register  bool
		exchanges []exchange
		want      string
	}{
		{"all is there", may, []exchange{{lookUp, 200, known}, {level, 200, strict}}, isStrict + "fine schema: subject t-value: registered, with the id 7\n"},
		{"all is there, and nothing may be written", mayNot, []exchange{{lookUp, 200, known}, {level, 200, strict}}, isStrict + "fine schema: subject t-value: registered, with the id 7\n"},
		{
			"before the first run", may,
			[]exchange{{lookUp, 404, noSubject}, {level, 404, noSubject}, {global, 200, weak}, {mode, 200, open}},
			isWeak + "fine schema: subject t-value: the next run registers it as the first\n",
		},
		{
			"before a new version's first run", may,
			[]exchange{{lookUp, 404, confluentNoSchema}, {latest, 200, known}, {level, 200, strict}, {compare, 200, comparable}, {mode, 200, open}},
			isStrict + "fine schema: subject t-value: the next run registers it; it is compatible with those that are registered\n",
		},
		{
			"a schema that is not compatible at Confluent's", may,
			[]exchange{
				{lookUp, 404, confluentNoSchema},
				{latest, 200, known},
				{level, 200, strict},
				{compare, 200, `{"is_compatible":false,"messages":["{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE'}","{oldSchemaVersion: 1}"]}`},
				{mode, 200, open},
			},
			isStrict + "fault schema: subject t-value: this version's schema is not compatible with what is registered: use the version of departures " +
				"that goes with it, or another EVENTS_TOPIC ({errorType:'READER_FIELD_MISSING_DEFAULT_VALUE'}; {oldSchemaVersion: 1})\n",
		},
		{
			"a schema that is not compatible at Apicurio's", may,
			[]exchange{{lookUp, 404, apicurioNoSchema}, {latest, 200, known}, {level, 200, strict}, {compare, 200, `{"is_compatible":false}`}, {mode, 200, open}},
			isStrict + "fault schema: subject t-value: this version's schema is not compatible with what is registered: use the version of departures " +
				"that goes with it, or another EVENTS_TOPIC (without a registry's message)\n",
		},
		{
			"a comparison that fails", may,
			[]exchange{{lookUp, 404, apicurioNoSchema}, {latest, 200, known}, {level, 200, strict}, {compare, 500, apicurioBroken}, {mode, 200, open}},
			isStrict + "warning schema: the next run registers it, if it is compatible, which cannot be told: compare the schema of subject t-value: " +
				"answered with 500 (#: could not determine version)\n",
		},
		{
			"a level by which a comparison would say nothing", may,
			[]exchange{{lookUp, 404, confluentNoSchema}, {latest, 200, known}, {level, 200, weak}, {mode, 200, open}},
			isWeak + "warning schema: subject t-value: the next run registers it, if it is compatible, which can be told once the compatibility is BACKWARD_TRANSITIVE\n",
		},
		{
			"a level that is too weak, of a schema that is known", may,
			[]exchange{{lookUp, 200, known}, {level, 200, weak}, {mode, 200, open}},
			isWeak + "fine schema: subject t-value: registered, with the id 7\n",
		},
		{
			"neither level nor schema, nor may they be written", mayNot,
			[]exchange{{lookUp, 404, noSubject}, {level, 200, weak}},
			answers + "fault compatibility: subject t-value: its compatibility is BACKWARD, which lets a schema in that cannot read all that is in the topic: " +
				"set it to BACKWARD_TRANSITIVE, or set SCHEMA_REGISTRY_REGISTER=true\n" +
				"fault schema: subject t-value: this version's schema is not registered: register the file of schema/, or set SCHEMA_REGISTRY_REGISTER=true\n",
		},
		{
			"a registry that takes no writes", may,
			[]exchange{{lookUp, 404, noSubject}, {level, 200, strict}, {mode, 200, `{"mode":"READONLY"}`}},
			isStrict + "fine schema: subject t-value: the next run registers it as the first\n" +
				"fault mode: subject t-value is in mode READONLY: set the mode of the registry, or of the subject, to READWRITE, or register the file of " +
				"schema/ where it is taken, with the subject's compatibility, and set SCHEMA_REGISTRY_REGISTER=false\n",
		},
		{
			"a registry that takes no writes, and needs none", may,
			[]exchange{{lookUp, 200, known}, {level, 200, strict}},
			isStrict + "fine schema: subject t-value: registered, with the id 7\n",
		},
		{
			"a registry without modes", may,
			[]exchange{{lookUp, 404, noSubject}, {level, 200, strict}, {mode, 404, ``}},
			isStrict + "fine schema: subject t-value: the next run registers it as the first\n",
		},
		{
			"a subject of another type", may,
			[]exchange{{lookUp, 404, confluentNoSchema}, {latest, 200, `{"id":7,"schema":"{}","schemaType":"JSON"}`}},
			"fault schema: subject t-value holds schemas of type JSON, and ENCODING wants AVRO: set the ENCODING that the topic has, or another EVENTS_TOPIC\n",
		},
		{
			"a wrong password", may,
			[]exchange{{lookUp, 401, `{"error_code":401,"message":"Unauthorized"}`}},
			"fault schema: look up the schema of subject t-value: refused with 401 (Unauthorized): correct SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD\n",
		},
		{
			"a level that may not be read", may,
			[]exchange{{lookUp, 200, known}, {level, 403, `{"error_code":40301,"message":"denied"}`}},
			answers + "fault compatibility: read the compatibility of subject t-value: refused with 403 (denied): give the user of SCHEMA_REGISTRY_USERNAME the right to it\n",
		},
		{
			"an outage", may,
			[]exchange{{lookUp, 503, ``}},
			"fault connection: look up the schema of subject t-value: answered with 503 (no response): a run would wait for the registry; if it lasts: " +
				"check SCHEMA_REGISTRY_URL, the firewall, and HTTPS_PROXY\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, e := range c.exchanges {
				if method, _, _ := strings.Cut(e.request, " "); method == http.MethodPut || e.request == register {
					t.Fatalf("%s would write", e.request)
				}
			}
			if got := written(t, at(script(t, c.exchanges), c.register).Inspect(t.Context(), "t-value", wanted)); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// TestInspectingWhereNobodyListens finds one fault.
func TestInspectingWhereNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	got := written(t, at(parsed(t, "http://"+l.Addr().String()), true).Inspect(t.Context(), "t-value", wanted))
	if strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "fault connection: look up the schema of subject t-value: dial tcp") {
		t.Error(got)
	}
}
