package registry

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/twmb/franz-go/pkg/sr"
)

// Error codes of the API.
const (
	subjectUnknown = 40401
	schemaUnknown  = 40403
	notPermitted   = 42205
)

// unknown says that the registry understood the question, and does not have what was asked for.
func unknown(err error) bool {
	answer, ok := errors.AsType[*sr.ResponseError](err)
	return ok && (answer.ErrorCode == subjectUnknown || answer.ErrorCode == schemaUnknown)
}

const (
	// mostAnswer is how much of an answer is read, in bytes. The longest that is of use holds a schema, of some kilobytes.
	mostAnswer = 1 << 20
	// mostQuoted is how much of a registry's message is repeated, in bytes: Confluent's hold whole schemas.
	mostQuoted = 300
	// foreign is what an answer is that no registry gives.
	foreign = "the answer is not a schema registry's: make SCHEMA_REGISTRY_URL the root of a Confluent-compatible API"
)

// wholly gives an answer when all of it is there, within the client's time, or the first mostAnswer of it, which is no JSON then. It refuses
// a redirect.
type wholly struct{ base *http.Transport }

func (w wholly) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 3 {
		return nil, refusef("redirected (%d)%s, which is not followed: set SCHEMA_REGISTRY_URL to where the registry is", resp.StatusCode, target(resp))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// target is the host that a redirect leads to.
func target(resp *http.Response) string {
	to, err := resp.Location()
	if err != nil {
		return ""
	}
	return " to " + printable(to.Scheme+"://"+to.Host)
}

func (c *client) refused(attempt, format string, args ...any) *Refusal {
	return refusef("%s of subject %s: %s", attempt, c.subject, fmt.Sprintf(format, args...))
}

// explained says what was tried and what the error means: a *Refusal if a person must act.
func (c *client) explained(attempt string, err error) error {
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return c.refused(attempt, "%s", refusal.text)
	}
	if answer, ok := errors.AsType[*sr.ResponseError](err); ok {
		return c.answered(attempt, answer)
	}
	if cut, ok := errors.AsType[*url.Error](err); ok { // the address stands there already
		return fmt.Errorf("%s of subject %s: %w", attempt, c.subject, cut.Err)
	}
	return c.refused(attempt, "%s (%s)", foreign, c.quoted(cmp.Or(errors.Unwrap(err), err).Error())) // no JSON, or of another kind
}

// answered is explained for a registry that answers with an error.
func (c *client) answered(attempt string, answer *sr.ResponseError) error {
	said := fmt.Sprintf("refused with %d (%s)", answer.StatusCode, c.quoted(answer.Message))
	switch status := answer.StatusCode; {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout,
		status == http.StatusConflict && attempt != registering: // Apicurio: another instance sets the compatibility at the same time
		return fmt.Errorf("%s of subject %s: answered with %d (%s)", attempt, c.subject, status, c.quoted(answer.Message))
	case status == http.StatusUnauthorized && c.cfg.Username == "":
		return c.refused(attempt, "%s: set SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD", said)
	case status == http.StatusUnauthorized:
		return c.refused(attempt, "%s: correct SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD", said)
	case status == http.StatusForbidden:
		return c.refused(attempt, "%s: give the user of SCHEMA_REGISTRY_USERNAME the right to it", said)
	case status == http.StatusProxyAuthRequired:
		return c.refused(attempt, "%s: the proxy wants a user and a password in HTTP_PROXY", said)
	case status == http.StatusConflict:
		return c.refused(attempt, "%s: %s", said, incompatible)
	case answer.ErrorCode == notPermitted:
		return c.refused(attempt, "%s: %s", said, shut)
	case status == http.StatusUnprocessableEntity:
		return c.refused(attempt, "%s: the registry has to take schemas of type %s", said, c.schema.Type)
	}
	return c.refused(attempt, "%s: make SCHEMA_REGISTRY_URL the root of a Confluent-compatible API", said)
}

const (
	incompatible = "this version's schema is not compatible with what is registered: use the version of departures that goes with it, " +
		"or another EVENTS_TOPIC"
	shut = "set the mode of the registry, or of the subject, to READWRITE, or register the file of schema/ where it is taken, with the " +
		"subject's compatibility, and set SCHEMA_REGISTRY_REGISTER=false"
)

// quoted is the beginning of what a registry says, on one line. What repeats credentials is not repeated here.
func (c *client) quoted(message string) string {
	credentials := base64.StdEncoding.EncodeToString([]byte(c.cfg.Username + ":" + c.cfg.Password))
	switch {
	case message == "":
		return "without a registry's message"
	case c.cfg.Password != "" && (strings.Contains(message, c.cfg.Password) || strings.Contains(message, credentials)):
		return "its message holds the password"
	}
	return printable(message)
}

// printable makes one short line of any text.
func printable(text string) string {
	text = strings.Join(strings.FieldsFunc(text[:min(len(text), 2*mostQuoted)], func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar
	}), " ")
	if len(text) > mostQuoted {
		text = strings.ToValidUTF8(text[:mostQuoted], "") + " …"
	}
	return text
}
