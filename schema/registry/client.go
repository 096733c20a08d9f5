package registry

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

// timeout bounds one request, with the answer's body.
const timeout = 10 * time.Second

// client asks about one schema of one subject.
type client struct {
	cfg       Config
	subject   string
	schema    sr.Schema
	sr        *sr.Client
	transport *http.Transport
}

func (c Config) open(subject string, s Schema) (*client, error) {
	cl := &client{
		cfg: c, subject: subject, schema: sr.Schema{Type: s.Type, Schema: s.Text},
		transport: http.DefaultTransport.(*http.Transport).Clone(), // for its proxy, and its own bounds
	}
	opts := []sr.ClientOpt{
		sr.URLs(c.URL.String()), sr.UserAgent("departures"),
		sr.HTTPClient(&http.Client{Transport: wholly{cl.transport}, Timeout: timeout}),
	}
	if c.Username != "" {
		opts = append(opts, sr.BasicAuth(c.Username, c.Password))
	}
	var err error
	cl.sr, err = sr.NewClient(opts...)
	return cl, err
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// lookUp gives the schema's id, 0 if it is not registered, and then whether the subject holds other schemas, all of the same type.
func (c *client) lookUp(ctx context.Context) (id int, others bool, err error) {
	const attempt = "look up the schema"
	found, err := c.sr.LookupSchema(sr.WithParams(ctx, sr.Normalize), c.subject, c.schema)
	if err == nil {
		id, err = c.checked(attempt, found.ID)
		return id, false, err
	}
	answer, answered := errors.AsType[*sr.ResponseError](err)
	switch {
	case answered && answer.ErrorCode == subjectUnknown:
		return 0, false, nil
	case answered && (answer.ErrorCode == schemaUnknown || answer.StatusCode == http.StatusUnprocessableEntity):
		return 0, true, c.ofOneType(ctx, attempt, err) // Apicurio: 422 if it cannot read what is there as the schema's type
	}
	return 0, false, c.explained(attempt, err)
}

// checked refuses an id that is none, such as that of an answer without.
func (c *client) checked(attempt string, id int) (int, error) {
	if id < 1 || id > math.MaxInt32 {
		return 0, c.refused(attempt, "%s", foreign)
	}
	return id, nil
}

// ofOneType looks at the type of the latest schema after a lookup failed: no registry's answer to the lookup tells of another. Apicurio
// answers 500 to a schema of another type that is to be registered.
func (c *client) ofOneType(ctx context.Context, attempt string, failed error) error {
	latest, err := c.sr.SchemaByVersion(ctx, c.subject, -1)
	switch {
	case err != nil && !unknown(err):
		return c.explained("read the latest schema", err)
	case err == nil && latest.Type != c.schema.Type:
		return refusef("subject %s holds schemas of type %s, and ENCODING wants %s: set the ENCODING that the topic has, or another EVENTS_TOPIC",
			c.subject, latest.Type, c.schema.Type)
	case unknown(failed):
		return nil
	}
	return c.explained(attempt, failed)
}

// compatibility is the level that holds for the subject, its own or the registry's.
func (c *client) compatibility(ctx context.Context) (sr.CompatibilityLevel, error) {
	const attempt = "read the compatibility"
	found := c.sr.Compatibility(sr.WithParams(ctx, sr.DefaultToGlobal), c.subject)[0]
	if unknown(found.Err) { // Apicurio: of a subject without schema and level
		found = c.sr.Compatibility(ctx, sr.GlobalSubject)[0]
	}
	if found.Err == nil && found.Level == 0 {
		return 0, c.refused(attempt, "%s", foreign)
	}
	return found.Level, c.explained(attempt, found.Err)
}

// setCompatibility makes a weaker level of the subject safe, where it may.
func (c *client) setCompatibility(ctx context.Context, weaker sr.CompatibilityLevel) error {
	if !c.cfg.Register {
		return refusef("subject %s: %s", c.subject, tooWeak(weaker))
	}
	set := c.sr.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatBackwardTransitive}, c.subject)[0]
	return c.explained("set the compatibility to BACKWARD_TRANSITIVE", set.Err)
}

func tooWeak(l sr.CompatibilityLevel) string {
	return "its compatibility is " + l.String() + ", which lets a schema in that cannot read all that is in the topic: " +
		"set it to BACKWARD_TRANSITIVE, or set SCHEMA_REGISTRY_REGISTER=true"
}

// registering is the attempt of which 409 says that the schema is not compatible.
const registering = "register the schema"

func (c *client) register(ctx context.Context) (int, error) {
	id, err := c.sr.RegisterSchema(sr.WithParams(ctx, sr.Normalize), c.subject, c.schema, -1, -1)
	if err != nil {
		return 0, c.explained(registering, err)
	}
	return c.checked(registering, id)
}
