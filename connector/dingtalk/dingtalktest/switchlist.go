package dingtalktest

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Switch is one field of [Switches] as flags, JSON and help texts see it.
type Switch struct {
	Name    string   // in kebab case, e.g. "last-token"
	Rule    string   // of the package comment, e.g. "S15"
	Subject string   // of that rule
	Doubt   string   // what nobody knows about the real DingTalk
	Kinds   []string // every value that there is, the default first; nil: see Takes
	Default string   // as Text gives it

	field  int
	signed bool // a duration below 0 has a meaning
}

// AllSwitches are the fields of [Switches], in order of their rules.
func AllSwitches() []Switch { return slices.Clone(allSwitches) }

// SwitchNamed is the switch with this name. The error names all that there are.
func SwitchNamed(name string) (Switch, error) {
	names := make([]string, len(allSwitches))
	for i, x := range allSwitches {
		if x.Name == name {
			return x, nil
		}
		names[i] = x.Name
	}
	return Switch{}, fmt.Errorf("switch %q: none of %s", name, strings.Join(names, ", "))
}

// Text is the switch's value in sw, as Set reads it.
func (x Switch) Text(sw Switches) string { return fmt.Sprint(x.value(&sw).Interface()) }

// Takes says what Set reads, in a word or two.
func (x Switch) Takes() string {
	switch {
	case x.Kinds != nil:
		return "kind"
	case x.IsBool():
		return "true or false"
	}
	switch x.value(new(Switches)).Interface().(type) {
	case int:
		return "number"
	case time.Duration:
		return "duration"
	}
	return "text"
}

// IsBool reports whether the switch is on or off.
func (x Switch) IsBool() bool { return x.value(new(Switches)).Kind() == reflect.Bool }

// Set gives the switch in sw the value that text says. The error says what it takes.
func (x Switch) Set(sw *Switches, text string) error {
	wrong := func(want string) error { return fmt.Errorf("switch %s %q: %s", x.Name, text, want) }
	v := x.value(sw)
	if x.Kinds != nil && !slices.Contains(x.Kinds, text) {
		return wrong("none of " + strings.Join(x.Kinds, ", "))
	}
	switch v.Interface().(type) {
	case bool:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return wrong("neither true nor false")
		}
		v.SetBool(on)
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return wrong("no whole number")
		}
		v.SetInt(int64(n))
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 && !x.signed {
			return wrong("no duration of at least 0, such as 1m30s")
		}
		v.SetInt(int64(d))
	default:
		v.SetString(text)
	}
	return nil
}

func (x Switch) value(sw *Switches) reflect.Value { return reflect.ValueOf(sw).Elem().Field(x.field) }

// complete is s with every default filled in. A value that is none of its kind is a mistake in the test and panics.
func (s Switches) complete() Switches {
	for _, x := range allSwitches {
		v := x.value(&s)
		if v.IsZero() {
			_ = x.Set(&s, x.Default) // Default is what Set reads
		}
		if x.Kinds != nil && !slices.Contains(x.Kinds, v.String()) {
			panic(fmt.Sprintf("dingtalktest: switch %s %q is none of %q", x.Name, v, x.Kinds))
		}
	}
	return s
}

// allSwitches is read off the tags once.
var allSwitches = readTags()

func readTags() []Switch {
	t := reflect.TypeFor[Switches]()
	all := make([]Switch, t.NumField())
	for i := range all {
		tag := t.Field(i).Tag
		x := Switch{
			Name: tag.Get("name"), Rule: tag.Get("rule"), Subject: subjects[tag.Get("rule")], Doubt: tag.Get("doubt"),
			Kinds: kinds[t.Field(i).Type], Default: tag.Get("default"), field: i, signed: tag.Get("signed") != "",
		}
		switch {
		case x.Kinds != nil:
			x.Default = x.Kinds[0]
		case x.Default == "":
			x.Default = x.Text(Switches{})
		}
		all[i] = x
	}
	return all
}

// kinds are the values of every type of switch that has a closed set of them, the default first.
var kinds = map[reflect.Type][]string{
	reflect.TypeFor[LastToken]():   texts(LastTokens()),
	reflect.TypeFor[Repeats]():     texts(AllRepeats()),
	reflect.TypeFor[Order]():       texts(Orders()),
	reflect.TypeFor[Paging]():      texts(Pagings()),
	reflect.TypeFor[Bounds]():      texts(AllBounds()),
	reflect.TypeFor[FilterField](): texts(FilterFields()),
	reflect.TypeFor[TimeFormat]():  texts(TimeFormats()),
	reflect.TypeFor[Presence]():    texts(Presences()),
	reflect.TypeFor[BlockPage]():   texts(BlockPages()),
}

func texts[T ~string](all []T) []string {
	var ts []string
	for _, v := range all {
		ts = append(ts, string(v))
	}
	return ts
}

// subjects are what the rules with switches are about.
var subjects = map[string]string{
	"S2":  "headers",
	"S3":  "errors",
	"S5":  "access token",
	"S8":  "permission",
	"S10": "missing parameters",
	"S11": "times in requests",
	"S12": "limits of a window",
	"S13": "size of a page",
	"S14": "nextToken",
	"S15": "end of a walk",
	"S16": "pages",
	"S17": "order and paging",
	"S18": "what a window holds",
	"S19": "leaveTime",
	"S20": "fields of a record",
	"S22": "rate",
	"S23": "monthly quota",
	"S24": "IP block",
	"S25": "connection and clock",
}
