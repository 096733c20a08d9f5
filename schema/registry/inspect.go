package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
)

// Level says how bad a Finding is.
type Level int

// The levels, from the best to the worst.
const (
	Fine    Level = iota // as it should be
	Warning              // could not be told
	Fault                // Settle would wait, or refuse
)

// Finding is one thing that [Config.Inspect] looked at.
type Finding struct {
	Subject string // connection, schema, compatibility, mode
	Level   Level
	Text    string // what was found; of a fault, also the way out
}

// inspection is one run of Inspect.
type inspection struct {
	*client
	found []Finding
}

func (i *inspection) add(subject string, l Level, format string, args ...any) {
	i.found = append(i.found, Finding{subject, l, fmt.Sprintf(format, args...)})
}

// Inspect says what Settle would do and whether it could, with all that is wrong, and writes nothing: it makes six requests at most. What
// it cannot tell is whether the right to write is there.
func (c Config) Inspect(ctx context.Context, subject string, s Schema) []Finding {
	cl, err := c.open(subject, s)
	if err != nil {
		return []Finding{{"connection", Fault, err.Error()}}
	}
	defer cl.close()
	i := &inspection{client: cl}
	i.look(ctx)
	return i.found
}

func (i *inspection) look(ctx context.Context) {
	id, others, err := i.lookUp(ctx)
	if err != nil {
		i.fails("schema", err)
		return
	}
	i.add("connection", Fine, "the registry answers")
	level, err := i.compatibility(ctx)
	if err != nil {
		i.fails("compatibility", err)
		return
	}
	i.judgeLevel(level)
	i.judgeSchema(ctx, id, others, safe(level))
	if i.cfg.Register && (id == 0 || !safe(level)) {
		i.mode(ctx)
	}
}

// fails finds a fault. One that a run would wait for is the connection's.
func (i *inspection) fails(subject string, err error) {
	if _, refused := errors.AsType[*Refusal](err); refused {
		i.add(subject, Fault, "%v", err)
		return
	}
	i.add("connection", Fault, "%v: a run would wait for the registry; if it lasts: check SCHEMA_REGISTRY_URL, the firewall, and HTTPS_PROXY", err)
}

func (i *inspection) judgeLevel(level sr.CompatibilityLevel) {
	const subject = "compatibility"
	switch {
	case safe(level):
		i.add(subject, Fine, "of subject %s: %s", i.subject, level)
	case i.cfg.Register:
		i.add(subject, Fine, "of subject %s: %s; the next run sets it to BACKWARD_TRANSITIVE", i.subject, level)
	default:
		i.add(subject, Fault, "subject %s: %s", i.subject, tooWeak(level))
	}
}

// judgeSchema says whether the schema is registered, or could be.
func (i *inspection) judgeSchema(ctx context.Context, id int, others, strict bool) {
	const subject = "schema"
	const next = "subject %s: the next run registers it"
	switch {
	case id != 0:
		i.add(subject, Fine, "subject %s: registered, with the id %d", i.subject, id)
	case !i.cfg.Register:
		i.add(subject, Fault, "subject %s: %s", i.subject, notRegistered)
	case !others:
		i.add(subject, Fine, next+" as the first", i.subject)
	case !strict: // the registry would compare by the weaker level
		i.add(subject, Warning, next+", if it is compatible, which can be told once the compatibility is BACKWARD_TRANSITIVE", i.subject)
	default:
		i.compare(ctx)
	}
}

// compare asks whether the schema could be registered beside the others.
func (i *inspection) compare(ctx context.Context) {
	const subject, all = "schema", -2
	answer, err := i.sr.CheckCompatibility(sr.WithParams(ctx, sr.Normalize, sr.Verbose), i.subject, all, i.schema)
	switch {
	case err != nil:
		i.add(subject, Warning, "the next run registers it, if it is compatible, which cannot be told: %v", i.explained("compare the schema", err))
	case !answer.Is:
		i.add(subject, Fault, "subject %s: %s (%s)", i.subject, incompatible, i.quoted(strings.Join(answer.Messages, "; "))) // Apicurio: none
	default:
		i.add(subject, Fine, "subject %s: the next run registers it; it is compatible with those that are registered", i.subject)
	}
}

// mode looks whether the registry takes writes; where it does not tell, a write will.
func (i *inspection) mode(ctx context.Context) {
	mode := i.sr.Mode(sr.WithParams(ctx, sr.DefaultToGlobal), i.subject)[0]
	if mode.Err == nil && mode.Mode != sr.ModeReadWrite {
		i.add("mode", Fault, "subject %s is in mode %s: %s", i.subject, mode.Mode, shut)
	}
}
