package dingtalk

import (
	"encoding/json"
	"iter"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// What stands here takes apart what [json.Valid] has found to be JSON: it looks for the ends of values, checks nothing and copies
// nothing. encoding/json would read a page four times and copy most of it three times, which is dearer than all else that is done
// with a leave record.

// members are the keys, decoded, and the values of an object, in their order and as often as they come.
func members(object string) iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for rest := skipSpace(object[1:]); rest[0] != '}'; rest = nextItem(rest) {
			var quoted, value string
			quoted, rest = cutValue(rest)
			rest = skipSpace(rest)[1:] // the colon
			value, rest = cutValue(skipSpace(rest))
			if !yield(decodeKey(quoted), value) {
				return
			}
		}
	}
}

// decodeKey is a key without its quotation marks. Bytes of it that are no UTF-8 stay: no key that anybody looks for has one.
func decodeKey(quoted string) string {
	if isEscaped(quoted) {
		key, _ := unquote(quoted)
		return key
	}
	return quoted[1 : len(quoted)-1]
}

// elements are the values of a list, in their order.
func elements(list string) iter.Seq[string] {
	return func(yield func(value string) bool) {
		for rest := skipSpace(list[1:]); rest[0] != ']'; rest = nextItem(rest) {
			var value string
			if value, rest = cutValue(rest); !yield(value) {
				return
			}
		}
	}
}

// nextItem is what follows an item of an object or of a list: another one, or the closing bracket.
func nextItem(s string) string {
	s = skipSpace(s)
	if s[0] == ',' {
		return skipSpace(s[1:])
	}
	return s
}

// skipSpace is s from its first token on: between tokens only white space is at or below ' '.
func skipSpace(s string) string {
	for len(s) > 0 && s[0] <= ' ' {
		s = s[1:]
	}
	return s
}

// cutValue is the value at the beginning of s, and what follows it.
func cutValue(s string) (value, rest string) {
	n := valueLen(s)
	return s[:n], s[n:]
}

// valueLen is the length of the value at the beginning of s, in bytes.
func valueLen(s string) int {
	switch s[0] {
	case '"':
		return quotedLen(s)
	case '{', '[':
		return nestLen(s)
	}
	if n := strings.IndexAny(s, ",]} \t\r\n"); n >= 0 {
		return n
	}
	return len(s)
}

func quotedLen(s string) int {
	for i := 1; ; i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

func nestLen(s string) int {
	for i, depth := 0, 0; ; i++ {
		switch s[i] {
		case '"':
			i += quotedLen(s[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// isMissing says that a value is null or not there: DingTalk means the same by both.
func isMissing(v string) bool { return v == "" || v[0] == 'n' }

// isNumber says that a JSON value is a number.
func isNumber(v string) bool { return v != "" && (v[0] == '-' || isDigit(v[0])) }

// isDigits says that a JSON value is a number written with digits alone: not negative, no fraction, no exponent.
func isDigits(v string) bool {
	return v != "" && !strings.ContainsFunc(v, func(r rune) bool { return r < '0' || '9' < r })
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// unquote is the text of a JSON value that is a string; a part of that, where nothing is escaped. What is no Unicode in it is
// U+FFFD afterwards; see wellFormed.
func unquote(v string) (string, bool) {
	if v == "" || v[0] != '"' {
		return "", false
	}
	if text := v[1 : len(v)-1]; !isEscaped(text) && utf8.ValidString(text) {
		return text, true
	}
	var text string
	err := json.Unmarshal([]byte(v), &text)
	return text, err == nil
}

func isEscaped(s string) bool { return strings.IndexByte(s, '\\') >= 0 }

// wellFormed says that every character of a JSON string is Unicode: its bytes are UTF-8 and no surrogate is escaped
// without its other half. encoding/json puts U+FFFD in their place and says nothing, so two userIds could become one.
func wellFormed(quoted string) bool {
	if !isEscaped(quoted) || !utf8.ValidString(quoted) {
		return utf8.ValidString(quoted)
	}
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		i++
		if quoted[i] != 'u' {
			continue
		}
		r := hex4(quoted[i+1:])
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		rest := quoted[i+1:]
		if !strings.HasPrefix(rest, `\u`) || utf16.DecodeRune(r, hex4(rest[2:])) == unicode.ReplacementChar {
			return false
		}
		i += 6
	}
	return true
}

// hex4 is the number of the four hexadecimal digits at the beginning of s, which the JSON parser has seen already.
func hex4(s string) rune {
	n, _ := strconv.ParseUint(s[:4], 16, 32)
	return rune(n)
}
