package dingtalk

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what is printed in the place of a secret or of personal data.
const redacted = "REDACTED"

// Private is personal data: a name, a mobile number. However it is printed, logged or encoded, it reads REDACTED.
type Private string

// Plain is the text itself.
func (p Private) Plain() string { return string(p) }

// String is REDACTED.
func (Private) String() string { return redacted }

// GoString is REDACTED.
func (Private) GoString() string { return redacted }

// Format prints REDACTED under every verb: fmt prints the text itself under a verb that does not fit a string.
func (Private) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is REDACTED.
func (Private) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is REDACTED.
func (Private) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Secret is an app's secret or an access token. However it is printed, logged or encoded, it reads REDACTED.
type Secret string

// Plain is the text itself.
func (s Secret) Plain() string { return string(s) }

// String is REDACTED.
func (Secret) String() string { return redacted }

// GoString is REDACTED.
func (Secret) GoString() string { return redacted }

// Format prints REDACTED under every verb, as [Private.Format] does.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is REDACTED.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is REDACTED.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
