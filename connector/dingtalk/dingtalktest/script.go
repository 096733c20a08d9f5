package dingtalktest

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Step is a command and when it is due. In JSON it is the command's object with one more field, "after".
type Step struct {
	After Duration `json:"after"` // since the script began
	Command
}

// Script is what happens by itself.
type Script []Step

// ReadScript reads a JSON list of steps. Unknown fields are refused.
func ReadScript(r io.Reader) (Script, error) { return readJSON[Script](r, "script") }

// Check says what is wrong with the script by itself, and in which step.
func (x Script) Check() error {
	_, err := x.plan(time.Time{})
	return err
}

// Play begins a script now, beside those that were begun before. Nothing runs by itself: whatever is due is carried out before the server
// is asked anything, one step after the other, each as if at its own time by Options.Now. A step that fails then is told by
// [Server.Played], and the next ones follow.
func (s *Server) Play(x Script) error {
	if err := x.Check(); err != nil {
		return err
	}
	now := s.enter()
	defer s.mu.Unlock()
	plan, _ := x.plan(now) // as above
	s.script.steps = append(s.script.steps, plan...)
	slices.SortStableFunc(s.script.steps[s.script.done:], func(a, b planned) int { return a.due.Compare(b.due) })
	s.play(now)
	return nil
}

// Played is one step of a script that was begun.
type Played struct {
	Due     time.Time `json:"due"`
	Command string    `json:"command"` // what it does, e.g. "leave"
	Done    bool      `json:"done"`
	Error   string    `json:"error,omitempty"` // why it could not be done
}

// Played is every step of every script, in the order of its time.
func (s *Server) Played() []Played {
	s.enter()
	defer s.mu.Unlock()
	all := make([]Played, len(s.script.steps))
	for i, p := range s.script.steps {
		all[i] = Played{Due: p.due, Command: p.name, Done: i < s.script.done}
		if p.err != nil {
			all[i].Error = p.err.Error()
		}
	}
	return all
}

// script is all steps, in the order of their time from done on.
type script struct {
	steps []planned
	done  int
}

// planned is a step that was looked through.
type planned struct {
	due  time.Time
	name string
	do   deed
	err  error
}

func (x Script) plan(start time.Time) ([]planned, error) {
	plan := make([]planned, len(x))
	for i, step := range x {
		do, err := step.deed()
		if err == nil && step.After < 0 {
			err = fmt.Errorf("after %s: below 0", time.Duration(step.After))
		}
		if err != nil {
			return nil, fmt.Errorf("script: step %d: %w", i+1, err)
		}
		plan[i] = planned{due: start.Add(time.Duration(step.After)), name: step.said()[0], do: do}
	}
	return plan, nil
}

// play carries out what is due.
func (s *Server) play(now time.Time) {
	x := &s.script
	for x.done < len(x.steps) && !x.steps[x.done].due.After(now) {
		p := &x.steps[x.done]
		x.done++
		s.book.ripen(p.due)
		p.err = p.do(s, p.due)
	}
}
