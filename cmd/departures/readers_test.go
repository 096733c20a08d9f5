package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"departures/connector/kafka/kafkatest"
)

const (
	// readersEnv names the folder that .ci/readers/install made.
	readersEnv = "KAFKA_TEST_READERS"
	// registryEnv has the base URL that .ci/registry/start printed.
	registryEnv = "SCHEMA_REGISTRY_TEST_URL"
	// readBound is for a program that starts, reads some hundred records and waits for more, on a machine that does much else besides.
	readBound = 3 * time.Minute
)

// reader is a program of somebody else that reads the topic.
type reader struct {
	name    string
	command []string // below the folder of the readers; the brokers and the topic come behind the program and its script
	rest    []string // comes behind those; "REGISTRY" stands for its base URL
	parse   func(printed []byte) ([]seen, error)
}

var (
	inPython = reader{"Python, confluent-kafka", []string{"venv/bin/python", "read.py"}, []string{"REGISTRY"}, parseObjects}
	inNode   = reader{"Node, kafkajs", []string{"node", "read.mjs"}, []string{"REGISTRY"}, parseObjects}
	inGo     = reader{"Go, franz-go", []string{"read-go"}, []string{"REGISTRY"}, parseObjects}
)

func kcat(parse func([]byte) ([]seen, error), rest ...string) reader {
	return reader{name: strings.TrimSpace("kcat " + strings.Join(rest, " ")), command: []string{"read-kcat"}, rest: rest, parse: parse}
}

func console(value func(string) (fields, error), rest ...string) reader {
	return reader{
		name: strings.TrimSpace("Java, console consumer " + strings.Join(rest, " ")), command: []string{"read-console"}, rest: rest,
		parse: func(printed []byte) ([]seen, error) { return parseConsole(printed, value) },
	}
}

// TestEveryReaderReadsEveryEncoding: what the real program publishes is read by programs in five languages as the simulated DingTalk has
// it, field by field, and none of them shows what was aborted in between.
func TestEveryReaderReadsEveryEncoding(t *testing.T) {
	t.Parallel()
	folder, registry := os.Getenv(readersEnv), os.Getenv(registryEnv)
	if folder == "" || registry == "" || !kafkatest.Real() {
		t.Skipf("it wants readers (%s), a schema registry (%s) and real brokers (%s)", readersEnv, registryEnv, kafkatest.Env)
	}
	for _, c := range []struct {
		encoding string
		env      []string
		readers  []reader
	}{
		{"json", nil, []reader{inPython, inNode, inGo, kcat(parseKcat), console(jsonText)}},
		{"json-registry", []string{"SCHEMA_REGISTRY_URL=" + registry}, []reader{
			inPython, inNode, inGo, kcat(parseKcatBytes, "bytes"), console(escapedBytes, "bytes"), console(jsonText, "json", "REGISTRY"),
		}},
		{"avro", []string{"ENCODING=avro", "SCHEMA_REGISTRY_URL=" + registry}, []reader{
			inPython, inNode, inGo, kcat(parseKcatBytes, "bytes"), console(escapedBytes, "bytes"), console(avroText, "avro", "REGISTRY"),
		}},
		{"protobuf", []string{"ENCODING=protobuf", "SCHEMA_REGISTRY_URL=" + registry}, []reader{
			inPython, inNode, inGo, kcat(parseKcatBytes, "bytes"), console(escapedBytes, "bytes"), console(protobufText, "protobuf", "REGISTRY"),
		}},
	} {
		t.Run(c.encoding, func(t *testing.T) {
			t.Parallel()
			p := publish(t, c.encoding, c.env)
			for _, rd := range c.readers {
				t.Run(rd.name, func(t *testing.T) {
					t.Parallel()
					printed := rd.read(t, folder, p.rig.brokers, p.rig.topics.Events, registry)
					got, err := rd.parse(printed)
					if err != nil {
						t.Fatal(err)
					}
					compare(t, got, p.want)
				})
			}
			if c.encoding == "json" {
				t.Run("and at read_uncommitted the console consumer shows what was aborted", func(t *testing.T) {
					t.Parallel()
					p.abortedAreShown(t, folder)
				})
			}
		})
	}
}

// read runs the reader on a topic, and gives what it printed.
func (rd reader) read(t *testing.T, folder string, brokers []string, topic, registry string, env ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readBound)
	defer cancel()
	var command []string
	for _, part := range rd.command {
		if path := filepath.Join(folder, part); part != "node" {
			part = path
		}
		command = append(command, part)
	}
	command = append(command, strings.Join(brokers, ","), topic)
	for _, part := range rd.rest {
		command = append(command, strings.ReplaceAll(part, "REGISTRY", registry))
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var said strings.Builder
	cmd.Stderr = &said
	printed, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, printed, said.String())
	}
	return printed
}

// abortedAreShown proves that the other cases could see an aborted record: it stands in the log of every partition, and a reader that does
// not ask for committed records alone does show it.
func (p *publication) abortedAreShown(t *testing.T, folder string) {
	t.Helper()
	rd := console(jsonText)
	got, err := rd.parse(rd.read(t, folder, p.rig.brokers, p.rig.topics.Events, "", "ISOLATION=read_uncommitted"))
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]int{}
	for _, s := range got {
		if strings.HasPrefix(s.Value.UserID, abortedUser) {
			shown[fmt.Sprint("partition ", s.Partition)]++
		}
	}
	for partition := range p.partitions {
		if n := shown[fmt.Sprint("partition ", partition)]; n != p.aborted {
			t.Errorf("%d aborted records in partition %d, want %d", n, partition, p.aborted)
		}
	}
	if want := len(p.want) + p.aborted*p.partitions; len(got) != want {
		t.Errorf("%d records, want %d", len(got), want)
	}
}

// compare holds what a reader showed against the truth: nothing more, nothing less, nothing twice.
func compare(t *testing.T, got []seen, want map[string]seen) {
	t.Helper()
	left := make(map[string]bool, len(want))
	for key := range want {
		left[key] = true
	}
	for _, g := range got {
		w, known := want[g.Key]
		switch {
		case !known:
			t.Errorf("shown, and not there: %v", g)
		case !left[g.Key]:
			t.Errorf("shown twice: %v", g)
		case g.String() != w.as(g).String():
			t.Errorf("shown otherwise:\ngot  %v\nwant %v", g, w.as(g))
		}
		delete(left, g.Key)
	}
	for key := range left {
		t.Errorf("not shown: %v", want[key])
	}
	if !slices.ContainsFunc(got, func(g seen) bool { return g.Value.Name != nil }) {
		t.Error("no name was shown at all")
	}
}
