package connector

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode/utf8"

	"departures/connector/dingtalk"
)

// Treatment is what becomes of a personal field before it is published. The zero value is Keep.
type Treatment string

// The treatments. A field that DingTalk left out stays left out and an empty one, unless omitted, stays empty: neither
// tells anything about a person.
const (
	Keep Treatment = "keep" // as DingTalk gave it
	Omit Treatment = "omit" // left out
	Mask Treatment = "mask" // a name keeps its first character, a mobile number its last two; the rest is a fixed text
	HMAC Treatment = "hmac" // a digest that only the holder of the key can compare
)

const (
	// maskText stands for whatever was masked. It is the same for every value, so that the length does not show.
	maskText = "**"
	// maskedMobile is the least length, in characters, at which a mobile number keeps its last two: of a shorter one two
	// would be too much.
	maskedMobile = 7
)

// Privacy says how the personal fields of a leave record are treated, in events and in quarantine alike.
//
//	        Keep           Mask    HMAC, lower-case hexadecimal of 32 bytes
//	name    张三            张**    HMAC-SHA256(Key, "name:张三")
//	mobile  185xxxx7676    **76    HMAC-SHA256(Key, "mobile:185xxxx7676")
//
// The field's name is part of what is digested, so that a digest cannot be carried from one field to the other. The value
// is digested as the UTF-8 of what DingTalk sent, without trimming or folding; the country code is not part of it.
type Privacy struct {
	Name   Treatment
	Mobile Treatment
	Key    []byte // of HMAC
}

// String is the treatments, without the key.
func (p Privacy) String() string { return fmt.Sprintf("name: %s, mobile: %s", p.Name, p.Mobile) }

// GoString is the treatments, without the key.
func (p Privacy) GoString() string { return "connector.Privacy(" + p.String() + ")" }

// LogValue is the treatments, without the key.
func (p Privacy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// name is an employee's name as it may be published; nil where there is nothing to publish.
func (p Privacy) name(v *dingtalk.Private) *string { return p.treat("name", plain(v)) }

// mobile is an employee's mobile number as it may be published; nil where there is nothing to publish.
func (p Privacy) mobile(v *dingtalk.Private) *string { return p.treat("mobile", plain(v)) }

// treat is what becomes of the value of a personal field, field being "name" or "mobile". A treatment that it does not
// know leaves the field out.
func (p Privacy) treat(field string, v *string) *string {
	t := p.treatment(field)
	switch {
	case v == nil:
		return nil
	case t == Keep, *v == "" && (t == Mask || t == HMAC):
		return v
	case t == Mask && field == "mobile":
		return new(maskMobile(*v))
	case t == Mask:
		return new(maskName(*v))
	case t == HMAC:
		return new(p.digest(field, *v))
	}
	return nil
}

func (p Privacy) treatment(field string) Treatment {
	if field == "mobile" {
		return cmp.Or(p.Mobile, Keep)
	}
	return cmp.Or(p.Name, Keep)
}

func (p Privacy) digest(field, v string) string { return p.keyed(field + ":" + v) }

func (p Privacy) keyed(text string) string {
	h := hmac.New(sha256.New, p.Key)
	io.WriteString(h, text)
	return hex.EncodeToString(h.Sum(nil))
}

// keyID tells the keys of digests apart without telling anything of them; empty where nothing is digested. It is made of the key itself, so
// that a new key in the same file has a new one.
func (p Privacy) keyID() string {
	if p.treatment("name") != HMAC && p.treatment("mobile") != HMAC {
		return ""
	}
	return p.keyed("key id")[:8] // no field's digest: those have a colon
}

// maskName keeps the first character. That of a name of one character is all of it, and nothing tells that it is.
func maskName(v string) string {
	_, size := utf8.DecodeRuneInString(v)
	return v[:size] + maskText
}

func maskMobile(v string) string {
	runes := []rune(v)
	if len(runes) < maskedMobile {
		return maskText
	}
	return maskText + string(runes[len(runes)-2:])
}

// redactRecord is the text of a leave record that cannot be published, for quarantine: its beginning, at most limit bytes,
// not cut within a character. What is not UTF-8 in the record is not UTF-8 in the text.
//
// Where everything is kept it is the raw text. Otherwise the value of every key that is "name" or "mobile", in any case and
// at any depth, is treated: a string as in an event, null where it would be left out; anything else that is not null,
// which is no place for a name or a number, becomes null. All other bytes stay as they were, in their order.
//
// A record that is no JSON object has no keys to tell its fields by. It is then withheld but for its size; the digest in the
// record's key still tells whether two are the same.
func (p Privacy) redactRecord(raw json.RawMessage, limit int) string {
	text := string(raw)
	if p.treatment("name") != Keep || p.treatment("mobile") != Keep {
		text = p.treatRecord(raw)
	}
	return beginning(text, limit)
}

func (p Privacy) treatRecord(raw json.RawMessage) string {
	withheld := fmt.Sprintf("withheld: %d bytes that are no JSON object, in which personal fields cannot be told", len(raw))
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) || !json.Valid(raw) {
		return withheld
	}
	text, err := p.treatFields(raw)
	if err != nil {
		return withheld
	}
	return text
}

// treatFields copies the JSON object raw and puts treated values in the place of the personal ones. It walks the tokens
// rather than decode the object: order, repeated keys and the writing of everything else are what quarantine is read for.
func (p Privacy) treatFields(raw json.RawMessage) (string, error) {
	var (
		text   strings.Builder
		copied int64        // raw is in text up to here
		open   []json.Delim // the objects and arrays around the token
		isKey  bool         // the next token is a key, or the end of an object
	)
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // a number that fits no float64 is no error
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			text.Write(raw[copied:])
			return text.String(), nil
		}
		if err != nil {
			return "", err
		}
		if key, ok := token.(string); ok && isKey {
			field, personal := personalField(key)
			if !personal || p.treatment(field) == Keep {
				isKey = false
				continue
			}
			var value json.RawMessage
			if err := dec.Decode(&value); err != nil {
				return "", err
			}
			end := dec.InputOffset()
			text.Write(raw[copied : end-int64(len(value))])
			text.Write(p.treatValue(field, value))
			copied = end
			continue
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open = append(open, token.(json.Delim))
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		isKey = len(open) > 0 && open[len(open)-1] == '{'
	}
}

// personalField is the personal field that a key names, ignoring case and blanks around it.
func personalField(key string) (field string, personal bool) {
	for _, field := range []string{"name", "mobile"} {
		if strings.EqualFold(strings.TrimSpace(key), field) {
			return field, true
		}
	}
	return "", false
}

// treatValue is the JSON value of a personal field, treated.
func (p Privacy) treatValue(field string, value json.RawMessage) []byte {
	var v *string
	if json.Unmarshal(value, &v) != nil {
		return []byte("null")
	}
	if v = p.treat(field, v); v == nil {
		return []byte("null")
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(*v) != nil {
		return []byte("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// beginning is at most limit bytes of the text, not cut within a character.
func beginning(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := max(limit, 0)
	for back := 0; end > 0 && back < utf8.UTFMax && !utf8.RuneStart(text[end]); back++ {
		end--
	}
	return text[:end]
}
