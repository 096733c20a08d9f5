package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// checkpointPrefix begins the keys of checkpoints; behind it stands the corpId. The state topic has other keys, which are none of a
// consumer's business.
const checkpointPrefix = "checkpoint/"

// checkpoint is what this program needs of a checkpoint: see checkpoint.schema.json. Fields that it does not know are passed over.
type checkpoint struct {
	HighWaterMark time.Time `json:"highWaterMark"`
	Floor         time.Time `json:"floor"`
	Gaps          []gap     `json:"gaps"`
	ObservedAt    time.Time `json:"observedAt"`
}

// gap is a span of leaveTime that DingTalk refused to show.
type gap struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// organisation is where one organisation stands.
type organisation struct {
	corpID string
	checkpoint
	committed time.Time // on the connector's clock, as observedAt is
	seen      time.Time // on ours
}

// parseCheckpoint reads a checkpoint's value. What cannot be read says nothing, rather than something that is not so.
func parseCheckpoint(value []byte) (c checkpoint, err error) {
	if err := json.Unmarshal(value, &c); err != nil {
		return c, err
	}
	if c.HighWaterMark.IsZero() || c.Floor.IsZero() || c.ObservedAt.IsZero() {
		return c, errors.New("highWaterMark, floor or observedAt is missing")
	}
	return c, nil
}

// stands is how far an organisation is complete.
func (o *organisation) stands() string {
	return fmt.Sprintf("complete through %s, observed at %s", o.HighWaterMark.Format(time.RFC3339), o.ObservedAt.Format(time.RFC3339Nano))
}

// more is what else there is to say of it, as a rule nothing.
func (o *organisation) more(silent time.Duration, now time.Time) string {
	var b strings.Builder
	for _, g := range o.Gaps {
		fmt.Fprintf(&b, "; gap %s", g)
	}
	switch {
	case now.Sub(o.seen) > silent:
		fmt.Fprintf(&b, "; silent: no checkpoint since %s", o.seen.UTC().Format(time.RFC3339))
	case o.committed.Sub(o.ObservedAt) > silent:
		b.WriteString("; nothing observed: checkpoints come, but DingTalk's answers do not")
	}
	return b.String()
}

func (g gap) String() string {
	return g.Start.Format(time.RFC3339) + " to " + g.End.Format(time.RFC3339)
}

// day is a calendar day of some zone: from start on, before end.
type day struct {
	name       string
	start, end time.Time
}

func (d *day) String() string { return d.name }

// parseDay is nil where no day is asked for.
func parseDay(date, zone string) (*day, error) {
	if date == "" {
		return nil, nil
	}
	in, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("-zone: %w", err)
	}
	start, err := time.ParseInLocation(time.DateOnly, date, in)
	if err != nil {
		return nil, fmt.Errorf("-day: %w", err)
	}
	return &day{date + " in " + zone, start, start.AddDate(0, 0, 1)}, nil
}

// prevented is, of every organisation for which the day will not be closed, why.
func (d *day) prevented(orgs []*organisation) error {
	var all []error
	for _, o := range orgs {
		if d.start.Before(o.Floor) {
			all = append(all, fmt.Errorf("%s: %s begins before %s, and who left before that is not published", o.corpID, d, o.Floor.Format(time.RFC3339)))
		}
		for _, g := range o.Gaps {
			if g.Start.Before(d.end) && g.End.After(d.start) {
				all = append(all, fmt.Errorf("%s: %s is touched by a gap, %s: DingTalk refused to show who left then", o.corpID, d, g))
			}
		}
	}
	return errors.Join(all...)
}

// missing is for what the day is not complete yet, empty if it is. It is complete when the mark stands beyond it, at the first second of
// the next one or later: within the mark's own second somebody may have left after DingTalk was asked.
func (d *day) missing(orgs map[string]*organisation, corpIDs []string) string {
	if len(corpIDs) == 0 {
		corpIDs = slices.Sorted(maps.Keys(orgs))
	}
	if len(corpIDs) == 0 {
		return "no organisation has a checkpoint"
	}
	var missing []string
	for _, corpID := range corpIDs {
		switch o := orgs[corpID]; {
		case o == nil:
			missing = append(missing, corpID+" has no checkpoint")
		case o.HighWaterMark.Before(d.end):
			missing = append(missing, corpID+" is complete through "+o.HighWaterMark.Format(time.RFC3339))
		}
	}
	return strings.Join(missing, ", ")
}
