package schema_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"departures/schema"
)

// binaryRecord is record with a value that is no text. A value alone has no key.
func binaryRecord(key string, value []byte, headers ...schema.Header) []byte {
	var b bytes.Buffer
	if key != "" {
		fmt.Fprintf(&b, "key: %s\n", key)
	}
	for _, h := range headers {
		fmt.Fprintf(&b, "header: %s: %s\n", h.Key, h.Value)
	}
	fmt.Fprintf(&b, "value:\n%s", hex.Dump(value))
	return b.Bytes()
}

// golden is a record as a golden file holds it.
type golden struct {
	key     string
	headers []schema.Header
	value   []byte
}

// parseGolden reads what record or binaryRecord wrote.
func parseGolden(t *testing.T, file []byte) (g golden) {
	t.Helper()
	for {
		line, rest, _ := bytes.Cut(file, []byte("\n"))
		name, text, ok := strings.Cut(string(line), ":")
		text = strings.TrimPrefix(text, " ")
		switch {
		case ok && name == "key":
			g.key = text
		case ok && name == "header":
			key, value, _ := strings.Cut(text, ": ")
			g.headers = append(g.headers, schema.Header{Key: key, Value: value})
		case ok && name == "value" && text == "":
			g.value = undump(t, string(rest))
			return g
		case ok && name == "value":
			g.value = []byte(text)
			return g
		default:
			t.Fatalf("a golden file holds the line %q", line)
		}
		file = rest
	}
}

// undump reads what [hex.Dump] wrote.
func undump(t *testing.T, dump string) (b []byte) {
	t.Helper()
	for line := range strings.Lines(dump) {
		_, line, _ = strings.Cut(line, "  ")
		digits, _, _ := strings.Cut(line, "|")
		part, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	return b
}
