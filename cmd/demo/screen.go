package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Columns of an event's line, which is at most 98 wide.
const (
	nameWidth   = 18
	userIDWidth = 22
	reasonWidth = 8
	timeWidth   = 20
	lateWidth   = 8
)

// colour is an ANSI sequence; the screen uses it on a terminal only.
type colour string

const (
	plain  colour = ""
	bold   colour = "\x1b[1m"
	faint  colour = "\x1b[2m"
	red    colour = "\x1b[1;31m"
	green  colour = "\x1b[32m"
	yellow colour = "\x1b[33m"
	reset         = "\x1b[0m"
)

// screen writes whole lines, from many goroutines.
type screen struct {
	mu       sync.Mutex
	w        io.Writer
	coloured bool
}

func newScreen(w io.Writer) *screen { return &screen{w: w, coloured: wantsColour(w)} }

// wantsColour says whether w is a terminal whose owner does not object; see no-color.org.
func wantsColour(w io.Writer) bool {
	file, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// line writes one line.
func (s *screen) line(c colour, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if s.coloured && c != plain {
		text = string(c) + text + reset
	}
	fmt.Fprintln(s.w, text)
}

// happening is a line among the events: a mark, the time, and what happened to the connector.
func (s *screen) happening(c colour, mark, format string, args ...any) {
	s.line(c, "%s %s  %s", mark, clock(time.Now()), fmt.Sprintf(format, args...))
}

// heading names the columns of the events.
func (s *screen) heading() {
	s.line(faint, "  %-10s  %s  %s  %s  %s  %*s", "UTC", pad("name", nameWidth), pad("userId", userIDWidth), pad("reason", reasonWidth),
		pad("leaveTime", timeWidth), lateWidth, "how late")
}

// event shows an event as it is read; again, if it was read before.
func (s *screen) event(e event, now time.Time, again bool) {
	c, mark := plain, " "
	switch {
	case again:
		c, mark = red, "!"
	case now.Sub(e.LeaveTime) > 48*time.Hour: // history: let the living stand out
		c = faint
	}
	s.line(c, "%s %s  %s  %s  %s  %s  %*s", mark, clock(now), pad(e.Name, nameWidth), pad(e.UserID, userIDWidth), pad(e.LeaveReason, reasonWidth),
		pad(e.LeaveTime.Format(time.RFC3339), timeWidth), lateWidth, late(now.Sub(e.LeaveTime)))
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.0") }

// late is a duration to be read at a glance.
func late(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// pad cuts or fills a text to so many columns of a terminal.
func pad(text string, columns int) string {
	var b strings.Builder
	for _, r := range text {
		if wide := width(r); wide <= columns {
			b.WriteRune(r)
			columns -= wide
			continue
		}
		break
	}
	return b.String() + strings.Repeat(" ", columns)
}

// width is how many columns a terminal gives a character: two for Chinese.
func width(r rune) int {
	if r >= 0x2e80 && r <= 0xffdc {
		return 2
	}
	return 1
}
