// Package registry makes the schema of events known to a schema registry that speaks Confluent's API, and frames values the way that
// registry's readers expect. It is asked once, at the start: whoever publishes needs no more than the schema's id.
//
// What is there already is only read, so that a start needs no right to write, and no registry that takes writes, once a schema is known.
// What is missing is written in this order, each step after the one before it held:
//
//	look up the schema      known: its id
//	                        not known, and the subject holds another type: refused
//	read the compatibility  BACKWARD_TRANSITIVE or FULL_TRANSITIVE: as it should be
//	set the compatibility   to BACKWARD_TRANSITIVE, of the subject alone
//	register the schema     its id, or 409: what is registered is not compatible with it
//
// An error is a *Refusal, which a person has to look at, or one that time may heal: no connection, a time-out, 408, 429, 5xx, or that
// another instance set the compatibility at the same time. Nothing is asked twice here. No redirect is followed: credentials go to the
// configured host alone, or to the proxy of HTTPS_PROXY and HTTP_PROXY.
//
// Sources: Confluent Platform, Schema Registry API reference, and "wire format" of its serializers. Where Apicurio 3.3.3 answers
// differently, the place says so.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/twmb/franz-go/pkg/sr"
)

// Config says which registry, and what may be done there.
type Config struct {
	URL      *url.URL // the root of its API, without user and password
	Username string   // of basic authentication; empty: none
	Password string   `json:"-"`
	Register bool     // register what is missing, and set the subject's compatibility; otherwise both must be there
}

// Format prints the address alone, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.URL.Redacted()) }

// Schema is a schema as registries take it.
type Schema struct {
	Type sr.SchemaType
	Text string
}

// Refusal is what a person has to look at: asking again does not help.
type Refusal struct{ text string }

// Error says what was tried where, what is wrong, and the way out.
func (r *Refusal) Error() string { return r.text }

func refusef(format string, args ...any) *Refusal { return &Refusal{fmt.Sprintf(format, args...)} }

// Settle gives the id, at least 1, under which the registry knows the schema of a subject, once the subject's compatibility is such that
// a reader with the newest schema can read every event that the topic ever took; first says that the subject had no schema before. Its
// error is a *Refusal, or one that time may heal.
func (c Config) Settle(ctx context.Context, subject string, s Schema) (id int, first bool, err error) {
	cl, err := c.open(subject, s)
	if err == nil {
		defer cl.close()
		id, first, err = cl.settle(ctx)
	}
	switch refusal, refused := errors.AsType[*Refusal](err); {
	case refused:
		return 0, false, refusef("schema registry %s: %s", c, refusal.text)
	case err != nil:
		return 0, false, fmt.Errorf("schema registry %s: %w", c, err)
	}
	return id, first, nil
}

func (c *client) settle(ctx context.Context) (id int, first bool, err error) {
	id, others, err := c.lookUp(ctx)
	if err == nil && id == 0 && !c.cfg.Register {
		err = refusef("subject %s: %s", c.subject, notRegistered)
	}
	if err != nil {
		return 0, false, err
	}
	level, err := c.compatibility(ctx)
	if err == nil && !safe(level) {
		err = c.setCompatibility(ctx, level)
	}
	if err != nil || id != 0 {
		return id, false, err
	}
	id, err = c.register(ctx)
	return id, !others, err
}

// notRegistered is what is wrong where nothing may be registered, and the way out.
const notRegistered = "this version's schema is not registered: register the file of schema/, or set SCHEMA_REGISTRY_REGISTER=true"

// safe says whether a level compares a new schema with all that came before it, so that its readers can read all that is in the topic.
func safe(l sr.CompatibilityLevel) bool {
	return slices.Contains([]sr.CompatibilityLevel{sr.CompatBackwardTransitive, sr.CompatFullTransitive}, l)
}

// Header is what stands before every value: a zero byte, the schema's id in four, the highest first, and for Protobuf one zero byte more:
// the value is of the first message of its file.
func Header(t sr.SchemaType, id int) []byte {
	var index []int
	if t == sr.TypeProtobuf {
		index = []int{0}
	}
	h, _ := new(sr.ConfluentHeader).AppendEncode(nil, id, index) // appending does not fail
	return h
}
