// Package registry makes the schema of events known to a schema registry that speaks Confluent's API, and frames values the way that
// registry's readers expect. It is asked once, at the start: whoever publishes needs no more than the schema's id.
//
// Source: Confluent, Schema Registry API; "wire format" of its serializers.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

// timeout bounds one request.
const timeout = 10 * time.Second

// Config says which registry, and what may be done there.
type Config struct {
	URL      *url.URL
	Username string // of basic authentication; empty: none
	Password string
	Register bool // register what is missing, and set the subject's compatibility; otherwise both must be there
}

// Format prints the address alone.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.URL.Redacted()) }

// Schema is a schema as registries take it.
type Schema struct {
	Type sr.SchemaType
	Text string
}

// Refusal is what a person has to look at: asking again does not help.
type Refusal struct{ text string }

func (r *Refusal) Error() string { return r.text }

func refusef(format string, args ...any) *Refusal { return &Refusal{fmt.Sprintf(format, args...)} }

// Settle gives the id under which the registry knows the schema of a subject, once the subject's compatibility is such that older
// readers are safe: BACKWARD_TRANSITIVE or FULL_TRANSITIVE. Its error is a *Refusal, or one that time may heal.
func (c Config) Settle(ctx context.Context, subject string, s Schema) (id int, err error) {
	opts := []sr.ClientOpt{
		sr.URLs(c.URL.String()), sr.UserAgent("departures"), sr.HTTPClient(&http.Client{Timeout: timeout}),
	}
	if c.Username != "" {
		opts = append(opts, sr.BasicAuth(c.Username, c.Password))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return 0, fmt.Errorf("schema registry: %w", err)
	}
	if err := c.settleCompatibility(ctx, client, subject); err != nil {
		return 0, err
	}
	ctx = sr.WithParams(ctx, sr.Normalize)
	settle := client.LookupSchema
	if c.Register {
		settle = client.CreateSchema
	}
	known, err := settle(ctx, subject, sr.Schema{Type: s.Type, Schema: s.Text})
	return known.ID, c.explained("schema of subject "+subject, err)
}

func (c Config) settleCompatibility(ctx context.Context, client *sr.Client, subject string) error {
	attempt := "compatibility of subject " + subject
	found := client.Compatibility(sr.WithParams(ctx, sr.RawParams(url.Values{"defaultToGlobal": {"true"}})), subject)[0]
	if found.Err != nil {
		return c.explained(attempt, found.Err)
	}
	switch {
	case slices.Contains([]sr.CompatibilityLevel{sr.CompatBackwardTransitive, sr.CompatFullTransitive}, found.Level):
		return nil
	case !c.Register:
		return refusef("the registry's %s is %s, with which a later schema may break older readers: set it to BACKWARD_TRANSITIVE, or SCHEMA_REGISTRY_REGISTER=true",
			attempt, found.Level)
	}
	set := client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatBackwardTransitive}, subject)[0]
	return c.explained(attempt, set.Err)
}

// explained says what an answer means, and whether a person must act.
func (c Config) explained(attempt string, err error) error {
	if err == nil {
		return nil
	}
	var answer *sr.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests {
		return fmt.Errorf("schema registry %s: %s: %w", c, attempt, err)
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return refusef("schema registry %s: %s: refused with %d: SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD, or their rights on the subject", c, attempt, answer.StatusCode)
	case answer.StatusCode == http.StatusConflict:
		return refusef("schema registry %s: %s: what is registered is not compatible with this version's (%s): use the version of departures that goes with it, or another EVENTS_TOPIC", c, attempt, answer.Message)
	case answer.StatusCode == http.StatusNotFound && !c.Register:
		return refusef("schema registry %s: %s: not registered: register the file in schema/, or set SCHEMA_REGISTRY_REGISTER=true", c, attempt)
	}
	return refusef("schema registry %s: %s: refused with %d (%s): is SCHEMA_REGISTRY_URL the root of a Confluent-compatible API?", c, attempt, answer.StatusCode, answer.Message)
}

// Header is what stands before every value: a zero byte, the schema's id, and for Protobuf that it is the first message of its file.
func Header(t sr.SchemaType, id int) []byte {
	var index []int
	if t == sr.TypeProtobuf {
		index = []int{0}
	}
	h, _ := new(sr.ConfluentHeader).AppendEncode(nil, id, index) // appending does not fail
	return h
}
