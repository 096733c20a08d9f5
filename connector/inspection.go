package connector

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// inspection collects what is wrong, and what is worth a word, while settings are judged. A judgement that found a fault
// gives whatever it likes: the configuration is thrown away. No text holds a value, nor an error of the standard library
// that quotes one.
type inspection struct {
	faults   []string
	warnings []string
}

func (i *inspection) fault(s setting, wrong, remedy string) {
	i.faults = append(i.faults, s.name+" "+wrong+": "+remedy)
}

func (i *inspection) warn(s setting, wrong, remedy string) {
	i.warnings = append(i.warnings, s.name+" "+wrong+": "+remedy)
}

func (i *inspection) required(s setting, remedy string) bool {
	if !s.given() && !s.faulted {
		i.fault(s, "is not set", remedy)
	}
	return s.given()
}

// notBoth refuses two ways to say the same.
func (i *inspection) notBoth(s, file setting) bool {
	if s.given() && file.given() {
		i.fault(s, "and "+file.name+" are both set", "unset one of them")
		return false
	}
	return true
}

// together refuses one of two settings that mean nothing alone.
func (i *inspection) together(a, b setting) {
	if a.given() && !b.given() {
		i.fault(b, "is not set although "+a.name+" is", "set both or none")
	}
	if b.given() && !a.given() {
		i.fault(a, "is not set although "+b.name+" is", "set both or none")
	}
}

// word is the one of the words that the setting names, ignoring case.
func (i *inspection) word(s setting, words ...string) string {
	for _, w := range words {
		if strings.EqualFold(s.text(), w) {
			return w
		}
	}
	i.fault(s, "is no word that it can be", "give "+strings.Join(words[:len(words)-1], ", ")+" or "+words[len(words)-1])
	return ""
}

func (i *inspection) truth(s setting) bool { return i.word(s, "true", "false") == "true" }

// duration is a duration from least to most; most may be math.MaxInt64, which is none.
func (i *inspection) duration(s setting, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(s.text())
	switch {
	case err != nil:
		i.fault(s, "is not a duration", "give a number with its unit, such as 30s, 24h or 8736h")
	case d < least:
		i.fault(s, "is less than "+least.String(), "give at least "+least.String())
	case d > most:
		i.fault(s, fmt.Sprintf("is more than %dh", most/time.Hour), fmt.Sprintf("give at most %dh", most/time.Hour))
	}
	return d
}

// durationOrZero is a duration of at least least, or 0, which turns something off.
func (i *inspection) durationOrZero(s setting, least time.Duration) time.Duration {
	if d, err := time.ParseDuration(s.text()); err == nil && d == 0 {
		return 0
	}
	return i.duration(s, least, math.MaxInt64)
}

// identifier is a required text on one line, without blanks and without the characters in barred.
func (i *inspection) identifier(s setting, barred string) string {
	const remedy = "give it as DingTalk's console shows it"
	id := s.text()
	switch {
	case !i.required(s, remedy):
	case strings.ContainsFunc(id, func(r rune) bool { return r == ' ' || unprintable(r) }):
		i.fault(s, "holds a space or a control character, or is not UTF-8", remedy)
	case strings.ContainsAny(id, barred):
		i.fault(s, `holds a "`+barred+`"`, remedy)
	}
	return id
}

// unprintable says of the runes of a text whether they have no place in a name; what is not UTF-8 gives U+FFFD.
func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// secret is the required secret that stands in s or in the file that file names.
func (i *inspection) secret(s, file setting) string {
	switch {
	case !i.notBoth(s, file):
	case file.given():
		secret, err := file.readSecret()
		if err != nil {
			i.faults = append(i.faults, err.Error())
		}
		return secret
	case i.required(s, "set it, or name a file that holds it with "+file.name):
		if !isSecret(trimNewline(s.value)) {
			i.fault(s, "holds a line break or a control character, or is not UTF-8", "give the secret alone")
		}
	}
	return trimNewline(s.value)
}

// rereadSecret is secret for one that is rotated while the program runs: the file is read again at each call.
func (i *inspection) rereadSecret(s, file setting) func() (string, error) {
	secret := i.secret(s, file)
	if file.given() {
		return file.readSecret
	}
	return func() (string, error) { return secret, nil }
}

// readSecret is the secret in the file that the setting names, without the newline at its end.
func (s setting) readSecret() (string, error) {
	b, err := s.readFile()
	if err != nil {
		return "", err
	}
	secret := trimNewline(string(b))
	if strings.TrimSpace(secret) == "" {
		return "", s.fileError(errEmpty)
	}
	if !isSecret(secret) {
		return "", s.fileError(errNoSecret)
	}
	return secret, nil
}

func isSecret(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// trimNewline takes the line breaks off the end: editors and echo put one there.
func trimNewline(text string) string { return strings.TrimRight(text, "\r\n") }

// file is what the file holds that the setting names; nil if it names none, or one that cannot be used.
func (i *inspection) file(s setting) []byte {
	if !s.given() {
		return nil
	}
	b, err := s.readFile()
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		err = s.fileError(errEmpty)
	}
	if err != nil {
		i.faults = append(i.faults, err.Error())
		return nil
	}
	return b
}

// listenAddress is an address to listen on. Without a host it is every interface; port 0 lets the system choose.
func (i *inspection) listenAddress(s setting) string {
	host, port, err := net.SplitHostPort(s.text())
	if err != nil || host != "" && !isHost(host) || port != "0" && !isPort(port) {
		i.fault(s, "is not host:port", "give an address to listen on, such as 127.0.0.1:8080 or :8080")
	}
	return s.text()
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// isHost keeps out what no host name or address has, and whatever belongs to a URL.
func isHost(text string) bool {
	return text != "" && !strings.ContainsAny(text, " /@,?#\"'=") && !strings.ContainsFunc(text, unprintable)
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.IsLoopback()
}
