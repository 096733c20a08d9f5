package operate

import (
	"context"
	"fmt"

	"departures/connector"
	"departures/schema/registry"
)

// levels are the registry's levels as a report has them.
var levels = map[registry.Level]Level{registry.Fine: Fine, registry.Warning: Warning, registry.Fault: Fault}

// checkRegistry looks at the schema registry, and whether a run would come to an id of the schema there.
func checkRegistry(ctx context.Context, cfg connector.Config) Section {
	s := Section{Title: fmt.Sprintf("Schema registry at %s", cfg.Registry)}
	found := cfg.Registry.Inspect(ctx, connector.Subject(cfg.Kafka.EventsTopic), cfg.Encoding.Schema())
	if ctx.Err() != nil {
		s.add("connection", Fault, interrupted)
		return s
	}
	for _, f := range found {
		s.add(f.Subject, levels[f.Level], "%s", f.Text)
	}
	return s
}
