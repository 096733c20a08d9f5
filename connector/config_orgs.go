package connector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"departures/connector/dingtalk"
	"departures/schema"
)

// orgs is the one organisation that the DINGTALK_ variables describe, or those of ORGS_FILE. That is YAML, a list with a mapping for each
// organisation. The keys are the variables' names in lower case, without DINGTALK_:
//
//	# comments may stand anywhere
//	- corp_id: ding8f2
//	  app_key: dingapp
//	  app_secret_file: secrets/ding8f2    # relative to the folder of ORGS_FILE
//	- corp_id: ding77a
//	  app_key: dingother
//	  app_secret_file: secrets/ding77a
//	  rate: 20
//
// These three are required, and the secret itself may not stand there. For whatever else is left out the variable counts, or its default.
// A value counts as it is written, plain or in quotes; one that is empty or null is left out. There are no aliases, since what an
// organisation is told must stand in its own lines.
func (i *inspection) orgs(e environment) []Org {
	if !e.OrgsFile.given() {
		return []Org{i.org(e, dingtalk.Config{}, i.rereadSecret)}
	}
	shared := i.shared(e)
	var orgs []Org
	above := newRoll()
	for _, n := range i.list(e.OrgsFile) {
		l, ok := i.listed(e.OrgsFile, n)
		if !ok {
			continue
		}
		o := i.org(l.environment, shared, i.secretFromFile)
		i.apart(above, l, o.DingTalk)
		orgs = append(orgs, o)
	}
	return orgs
}

// affordable warns of apps that may not make as many calls as the polls of their organisations are.
func (i *inspection) affordable(orgs []Org, poll time.Duration) {
	of := map[string]int{}
	for _, o := range orgs {
		of[o.DingTalk.AppKey]++
	}
	for _, o := range orgs {
		n := of[o.DingTalk.AppKey]
		of[o.DingTalk.AppKey] = 0 // once is enough
		if allowed := o.DingTalk.Rate * poll.Seconds(); n > 1 && allowed > 0 && float64(n) > allowed {
			i.warnings = append(i.warnings, fmt.Sprintf("ORGS_FILE lists %d organisations of one app, whose rate allows %.0f polls in each POLL_INTERVAL: they are polled less often: raise the rate or the interval", n, allowed))
		}
	}
}

// org is the organisation that settings describe; what they leave out is as in shared.
func (i *inspection) org(s environment, shared dingtalk.Config, secret func(s, file setting) func() (string, error)) Org {
	d := shared
	if s.BaseURL.given() {
		d.BaseURL = i.baseURL(s.BaseURL)
	}
	d.CorpID = i.identifier(s.CorpID, "/") // a "/" ends the corpId in every key
	d.AppKey = i.identifier(s.AppKey, "")
	d.Secret = secret(s.AppSecret, s.AppSecretFile)
	i.terms(s, &d)
	return Org{CorpID: d.CorpID, AppKeyDigest: schema.Digest([]byte(d.AppKey)), DingTalk: d}
}

// shared is what the variables say for every organisation that the file lists.
func (i *inspection) shared(e environment) dingtalk.Config {
	d := dingtalk.Config{BaseURL: i.baseURL(e.BaseURL)}
	for _, s := range []setting{e.CorpID, e.AppKey, e.AppSecret, e.AppSecretFile} {
		i.notBoth(s, e.OrgsFile)
	}
	i.terms(e, &d)
	return d
}

// terms takes into d on what terms calls are made, as far as the settings say it.
func (i *inspection) terms(s environment, d *dingtalk.Config) {
	if s.Rate.given() {
		d.Rate = i.rate(s.Rate)
	}
	if s.Timeout.given() {
		d.Timeout = i.duration(s.Timeout, leastTimeout, mostTimeout)
	}
	if s.Token.given() {
		d.Token = dingtalk.CorpToken // after a fault too: only app tokens can be at odds
		if i.word(s.Token, "app", "corp") == "app" {
			d.Token = dingtalk.AppToken
		}
	}
	if s.EndTime.given() {
		d.EndTime = i.word(s.EndTime, "always", "never") == "always"
	}
}

// secretFromFile is the secret in a file, read again at each call. In s there may be none.
func (i *inspection) secretFromFile(s, file setting) func() (string, error) {
	if s.given() {
		i.fault(s, "is no place for a secret", "put it into a file and name that with app_secret_file")
		file.faulted = true // one fault is enough if there is none
	}
	if i.required(file, "name the file that holds the app's secret") {
		if _, err := file.readSecret(); err != nil {
			i.faults = append(i.faults, err.Error())
		}
	}
	return file.readSecret
}

// list is the elements of the list that the file holds; none after a fault.
func (i *inspection) list(file setting) []*yaml.Node {
	const remedy = `list the organisations, each beginning with "- corp_id: "`
	text := i.file(file)
	if text == nil {
		return nil
	}
	switch root, err := document(text); {
	case errors.Is(err, errSecondDocument):
		i.fault(lineOf(file, root.Line), "begins a second document", "write one list of organisations")
	case err != nil && !errors.Is(err, io.EOF):
		i.fault(file, "is not YAML"+nearLine(err), "look there for a tab, for an indent, for a value with special characters that needs quotes")
	case err != nil, root.Tag == "!!null", root.Kind == yaml.SequenceNode && len(root.Content) == 0:
		i.fault(file, "lists no organisation", remedy)
	case root.Kind != yaml.SequenceNode:
		i.fault(lineOf(file, root.Line), "begins no list", remedy)
	default:
		return root.Content
	}
	return nil
}

var errSecondDocument = errors.New("a second document")

// document is what the one document in text holds, or the second one with errSecondDocument. No document at all is io.EOF.
func document(text []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := d.Decode(&first); err != nil {
		return nil, err
	}
	switch err := d.Decode(&second); {
	case err == nil:
		return &second, errSecondDocument
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return first.Content[0], nil
}

// yamlLine matches the line in an error of the YAML library. What comes behind it may quote the file.
var yamlLine = regexp.MustCompile(`^yaml: line ([0-9]+): `)

// nearLine says where the file is no YAML, if that is known: the library counts some lines from 0 and others from 1.
func nearLine(err error) string {
	if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
		return " near line " + found[1]
	}
	return ""
}

// lineOf names a line of the file in a fault, or the setting that stands there.
func lineOf(file setting, n int, key ...string) setting {
	return setting{name: strings.Join(append([]string{fmt.Sprintf("%s line %d", file.name, n)}, key...), ": ")}
}

// listed is an organisation in the file: of the environment it has what the file says of this one.
type listed struct {
	environment
	line int // where it begins
}

// listed reads one element of the list.
func (i *inspection) listed(file setting, n *yaml.Node) (l listed, ok bool) {
	if n.Kind != yaml.MappingNode {
		i.fault(lineOf(file, n.Line), "is no organisation", `give its settings, beginning with "- corp_id: "`)
		return l, false
	}
	l.line = n.Line
	settings, seen := l.ofOrg(), map[string]bool{}
	for key, s := range settings {
		*s = lineOf(file, n.Line, key)
	}
	for at := 0; at < len(n.Content); at += 2 {
		key, value := n.Content[at], n.Content[at+1]
		s, known := settings[key.Value]
		if !known || key.Kind != yaml.ScalarNode || isTagged(key) {
			i.unknown(lineOf(file, key.Line), key)
			continue
		}
		if seen[key.Value] {
			i.fault(lineOf(file, key.Line, key.Value), "is given again for the same organisation", "take one of the two out")
			continue
		}
		seen[key.Value] = true
		*s = lineOf(file, key.Line, key.Value)
		i.take(s, value)
	}
	if s := &l.AppSecretFile; s.given() && !filepath.IsAbs(s.text()) {
		s.value = filepath.Join(filepath.Dir(file.text()), s.text())
	}
	return l, true
}

// unknown refuses a key without showing it: where a colon or a comma is wrong, a value comes to stand there.
func (i *inspection) unknown(at setting, key *yaml.Node) {
	names := orgSettings()
	remedy := "give " + strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
	switch {
	case key.Tag == "!!merge":
		remedy = "write the settings out; what all organisations share may stand in the DINGTALK_ variables"
	case key.Kind == yaml.ScalarNode:
		near := nearest(strings.TrimPrefix(strings.ToLower(key.Value), "dingtalk_"), append(names, "app_secret"))
		if near == "app_secret" {
			near = "app_secret_file"
		}
		remedy = "did you mean " + near + "?"
	}
	i.fault(at, "has a key that is no setting of an organisation", remedy)
}

// take takes a value as it is written.
func (i *inspection) take(s *setting, value *yaml.Node) {
	before := len(i.faults)
	switch {
	case value.Kind == yaml.AliasNode:
		i.fault(*s, "is an alias", "write the value out")
	case value.Kind != yaml.ScalarNode:
		i.fault(*s, "is a list or a mapping", "give one value")
	case isTagged(value):
		i.fault(*s, "has a tag that is not taken here", "give plain text, or text in quotes")
	case value.Tag != "!!null":
		s.value = value.Value
	}
	s.faulted = len(i.faults) > before
}

// isTagged says that a scalar has a tag with a meaning beyond its text.
func isTagged(n *yaml.Node) bool {
	return n.Style&yaml.TaggedStyle != 0 && !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool"}, n.Tag)
}

// roll is the organisations listed so far, as far as others may not be like them.
type roll struct {
	corpIDs map[string]int       // the line of each
	apps    map[string]listedApp // the first organisation of each app
	tokens  map[string]int       // the line of the organisation that the app's own token is for, by app key
}

// listedApp is an organisation and its line.
type listedApp struct {
	line int
	dingtalk.Config
}

func newRoll() roll {
	return roll{corpIDs: map[string]int{}, apps: map[string]listedApp{}, tokens: map[string]int{}}
}

// apart refuses an organisation that cannot stand beside those listed above it, and lists it.
func (i *inspection) apart(above roll, l listed, d dingtalk.Config) {
	if at, taken := above.corpIDs[d.CorpID]; taken && d.CorpID != "" {
		i.fault(l.CorpID, fmt.Sprintf("is that of line %d too", at), "list each organisation once")
		return
	}
	above.corpIDs[d.CorpID] = l.line
	if d.AppKey == "" {
		return
	}
	first, shared := above.apps[d.AppKey]
	if !shared {
		first = listedApp{l.line, d}
		above.apps[d.AppKey] = first
	}
	if !isSameHost(first.BaseURL, d.BaseURL) {
		i.fault(l.AppKey, fmt.Sprintf("is that of line %d too, which has another base_url", first.line), "give both the one where the app lives")
	}
	if first.Rate != d.Rate && first.Rate > 0 && d.Rate > 0 {
		i.fault(l.AppKey, fmt.Sprintf("is that of line %d too, which has another rate", first.line), "give both one rate: DingTalk counts the calls of an app")
	}
	if at, taken := above.tokens[d.AppKey]; taken && d.Token == dingtalk.AppToken {
		i.fault(l.AppKey, fmt.Sprintf("is that of line %d too, and both have app tokens", at),
			"give each an app of its own, or corp tokens (token: corp): an app token shows one organisation")
	}
	if d.Token == dingtalk.AppToken {
		above.tokens[d.AppKey] = l.line
	}
}

// isSameHost passes over URLs that had a fault.
func isSameHost(a, b *url.URL) bool {
	return a == nil || b == nil || strings.EqualFold(a.String(), b.String())
}
