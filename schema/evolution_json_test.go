package schema_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// jsonBreaks is what a newer JSON Schema breaks of an older one, for those who validate new values with the old schema or old values with
// the new one, and for those who rely on what was said of a property. Within a version properties may be added, of a type that the old
// schema lets pass, and the texts may be written anew; whatever else is said of an object or a property stays as it is. path names the
// object, for people.
func jsonBreaks(path string, older, newer map[string]any) (broken []string) {
	say := func(format string, args ...any) { broken = append(broken, path+"/: "+fmt.Sprintf(format, args...)) }
	if newer["additionalProperties"] == false {
		say("additionalProperties is false: nothing could be added any more")
	}
	for _, keyword := range keywords(older, newer) {
		if was, is := silent(older[keyword]), silent(newer[keyword]); !reflect.DeepEqual(was, is) {
			say("%s was %v and is %v", keyword, was, is)
		}
	}
	olds, news := properties(older), properties(newer)
	for _, name := range slices.Sorted(maps.Keys(olds)) {
		if _, there := news[name]; !there {
			say("%s was removed", name)
			continue
		}
		broken = append(broken, jsonBreaks(path+"/"+name, olds[name].(map[string]any), news[name].(map[string]any))...)
	}
	for _, name := range slices.Sorted(maps.Keys(news)) {
		let, _ := older["additionalProperties"].(map[string]any)
		if is := news[name].(map[string]any)["type"]; olds[name] == nil && let["type"] != nil && let["type"] != is {
			say("%s was added as %v, and the older schema lets only %v pass", name, is, let["type"])
		}
	}
	was, _ := older["required"].([]any)
	is, _ := newer["required"].([]any)
	for _, name := range was {
		if !slices.Contains(is, name) {
			say("%s was always there and need not be any more", name)
		}
	}
	for _, name := range is {
		if !slices.Contains(was, name) {
			say("%s need not have been there and must be now", name)
		}
	}
	if items, ok := older["items"].(map[string]any); ok {
		newItems, _ := newer["items"].(map[string]any)
		broken = append(broken, jsonBreaks(path+"[]", items, newItems)...)
	}
	return broken
}

// keywords are those of two schemas that only stay as they are: neither texts nor what jsonBreaks looks into.
func keywords(older, newer map[string]any) []string {
	all := map[string]any{}
	maps.Copy(all, older)
	maps.Copy(all, newer)
	maps.DeleteFunc(all, func(keyword string, _ any) bool {
		return slices.Contains([]string{"properties", "required", "items", "title", "description", "examples", "$comment", "deprecated"}, keyword)
	})
	return slices.Sorted(maps.Keys(all))
}

func properties(s map[string]any) map[string]any {
	p, _ := s["properties"].(map[string]any)
	return p
}

func TestABrokenJSONSchemaIsFound(t *testing.T) {
	property := func(s map[string]any, name string) map[string]any { return properties(s)[name].(map[string]any) }
	for _, c := range []struct {
		name   string
		change func(s map[string]any)
		want   string // in what is said; empty: nothing is
	}{
		{"as it is", func(map[string]any) {}, ""},
		{"other texts", func(s map[string]any) {
			s["title"], s["examples"], property(s, "name")["description"] = "Left", nil, "His or her name."
		}, ""},
		{"an added property", func(s map[string]any) { properties(s)["title"] = map[string]any{"type": "string"} }, ""},
		{"a property that is no longer used", func(s map[string]any) { property(s, "stateCode")["deprecated"] = true }, ""},
		{"a property removed", func(s map[string]any) { delete(properties(s), "stateCode") }, "/: stateCode was removed"},
		{"a property renamed", func(s map[string]any) {
			properties(s)["reason"] = properties(s)["leaveReason"]
			delete(properties(s), "leaveReason")
		}, "leaveReason was removed"},
		{"another type", func(s map[string]any) { property(s, "stateCode")["type"] = "integer" }, "/stateCode/: type was string and is integer"},
		{"two types", func(s map[string]any) { property(s, "name")["type"] = []any{"string", "null"} }, "/name/: type was string"},
		{"a constraint tightened", func(s map[string]any) { property(s, "userId")["minLength"] = 2.0 }, "/userId/: minLength was 1 and is 2"},
		{"a constraint added", func(s map[string]any) { property(s, "userId")["maxLength"] = 64.0 }, "/userId/: maxLength was <nil> and is 64"},
		{"a constraint dropped", func(s map[string]any) { delete(property(s, "corpId"), "minLength") }, "/corpId/: minLength was 1 and is <nil>"},
		{"an open set closed", func(s map[string]any) { property(s, "leaveReason")["enum"] = []any{"leave"} }, "/leaveReason/: enum"},
		{"a time that is none any more", func(s map[string]any) { delete(property(s, "leaveTime"), "format") }, "/leaveTime/: format"},
		{"something required dropped", func(s map[string]any) { s["required"] = []any{"userId", "corpId", "observedAt"} }, "leaveTime was always there"},
		{"something required added", func(s map[string]any) { s["required"] = append(s["required"].([]any), "name") }, "name need not have been there"},
		{"an added property that is required", func(s map[string]any) {
			properties(s)["later"] = map[string]any{"type": "string"}
			s["required"] = append(s["required"].([]any), "later")
		}, "later need not have been there"},
		{"an added property that older schemas refuse", func(s map[string]any) { properties(s)["rehired"] = map[string]any{"type": "boolean"} }, "/: rehired was added as boolean"},
		{"a closed object", func(s map[string]any) { s["additionalProperties"] = false }, "additionalProperties is false"},
		{"an opened object", func(s map[string]any) { delete(s, "additionalProperties") }, "additionalProperties was map[type:string]"},
		{"a closed object, by another word", func(s map[string]any) { s["unevaluatedProperties"] = false }, "unevaluatedProperties"},
		{"another identity", func(s map[string]any) { s["$id"] = "urn:departures:employee-left:v2" }, "$id"},
		{"another draft", func(s map[string]any) { s["$schema"] = "https://json-schema.org/draft/2020-12/schema" }, "$schema"},
		{"no object any more", func(s map[string]any) { s["type"] = "array" }, "type was object"},
	} {
		today, changed := object(t, read(t, "employee-left.schema.json")), object(t, read(t, "employee-left.schema.json"))
		c.change(changed)
		wantBreaks(t, c.name, jsonBreaks("", today, changed), c.want)
	}

	today, changed := object(t, read(t, "checkpoint.schema.json")), object(t, read(t, "checkpoint.schema.json"))
	items := property(changed, "gaps")["items"].(map[string]any)
	delete(properties(items), "end")
	wantBreaks(t, "a property of an item removed", jsonBreaks("", today, changed), "/gaps[]/: end was removed")
}

// TestJSONSchemasAreOfTheirDraft holds the schemas against the metaschema that they name, and wants no word that it does not know: a
// misspelt keyword would be passed over by every validator. The draft is the newest that all registries can compare: Apicurio 3.3.3 takes
// a schema of 2020-12, and answers every later one under its subject with 500.
func TestJSONSchemasAreOfTheirDraft(t *testing.T) {
	const draft = "http://json-schema.org/draft-07/schema#"
	meta := compile(t, map[string]any{"$ref": draft})
	for name := range jsonSchemas {
		s := object(t, read(t, name))
		if s["$schema"] != draft {
			t.Errorf("%s is of the draft %v", name, s["$schema"])
		}
		if err := meta.Validate(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, unknown := range unknownKeywords(s) {
			t.Errorf("%s: %q is no keyword", name, unknown)
		}
	}
	for name, change := range map[string]func(userID map[string]any){
		"a type that there is not": func(p map[string]any) { p["type"] = "text" },
		"a length below zero":      func(p map[string]any) { p["minLength"] = json.Number("-1") },
		"examples that are no list": func(p map[string]any) {
			p["examples"] = "a"
		},
	} {
		s := object(t, read(t, "employee-left.schema.json"))
		change(properties(s)["userId"].(map[string]any))
		if meta.Validate(s) == nil {
			t.Errorf("%s is not found", name)
		}
	}
	if got := unknownKeywords(map[string]any{"properties": map[string]any{"a": map[string]any{"minlength": 1}}}); len(got) != 1 {
		t.Errorf("a misspelt keyword is not found, but %q", got)
	}
}

// unknownKeywords are the words in a schema that are none of those that ours use.
func unknownKeywords(s map[string]any) (unknown []string) {
	for keyword, value := range s {
		switch keyword {
		case "$schema", "$id", "title", "description", "examples", "type", "format", "minLength", "minimum", "contentEncoding", "required":
		case "items", "additionalProperties":
			unknown = append(unknown, unknownKeywords(value.(map[string]any))...)
		case "properties":
			for _, p := range value.(map[string]any) {
				unknown = append(unknown, unknownKeywords(p.(map[string]any))...)
			}
		default:
			unknown = append(unknown, keyword)
		}
	}
	return unknown
}

// TestTheExamplesInJSONSchemasAreTheGoldens: an example is a value that was really written.
func TestTheExamplesInJSONSchemasAreTheGoldens(t *testing.T) {
	ids := map[string]string{}
	for name, records := range jsonSchemas {
		s := object(t, read(t, name))
		var want []any
		for _, record := range records {
			want = append(want, object(t, parseGolden(t, goldens()[record]).value))
		}
		if !reflect.DeepEqual(s["examples"], want) {
			t.Errorf("%s has the examples\n%v, want\n%v", name, s["examples"], want)
		}
		ids[name], _ = s["$id"].(string)
	}
	want := map[string]string{
		"employee-left.schema.json":            "urn:departures:employee-left:v1",
		"employee-left-quarantine.schema.json": "urn:departures:employee-left-quarantine:v1",
		"checkpoint.schema.json":               "urn:departures:checkpoint:v1",
	}
	if !reflect.DeepEqual(ids, want) {
		t.Errorf("the schemas are %q, want %q", ids, want)
	}
}
