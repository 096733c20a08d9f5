package kafka

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/schema"
)

// classpathEnv is the variable that names Kafka's own Java artifacts, as java takes them: FOLDER/lib/* of .ci/kafka/start.
const classpathEnv = "KAFKA_TEST_CLASSPATH"

// TestPartitionsAreThoseOfKafkasOwnProducer asks Kafka's Java code itself, for thousands of people: where it puts a record keyed
// <corpId>/<userId>, there lie the person's departures, and where it puts one keyed <corpId>, the organisation's state.
func TestPartitionsAreThoseOfKafkasOwnProducer(t *testing.T) {
	t.Parallel()
	classpath := os.Getenv(classpathEnv)
	if classpath == "" {
		t.Skipf("needs Kafka's Java artifacts: set %s to FOLDER/lib/* of .ci/kafka/start", classpathEnv)
	}
	counts := []int{1, 2, 3, 12, 50, 1000}
	people, events := hardPeople(), partitioner{"state", schema.PartitionKey}.ForTopic("events")
	var keys []string
	for _, d := range people {
		keys = append(keys, d.CorpID+"/"+d.UserID, d.CorpID)
	}
	places, wrong := javasPlaces(t, classpath, counts, keys), 0
	compare := func(what, key string, n, got int, javas []int) {
		if got == javas[0] && got == javas[1] {
			return
		}
		if wrong++; wrong <= 5 {
			t.Errorf("%s lies in partition %d of %d; Java puts %q into %d by its hash, and into %d as a producer", what, got, n, key, javas[0], javas[1])
		}
	}
	for i, d := range people {
		for j, n := range counts {
			r := &kgo.Record{Key: []byte(d.Key()), Partition: -1}
			compare(fmt.Sprintf("the departure %q", r.Key), keys[2*i], n, events.Partition(r, n), places[2*i][2*j:])
			c := &Cluster{}
			c.topics.Store(&Topics{Partitions: n})
			compare("the state of the organisation", keys[2*i+1], n, int(c.Partition(d.CorpID)), places[2*i+1][2*j:])
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d places are wrong", wrong, len(keys)*len(counts))
	}
}

// hardPeople are departures of people with names of every kind; always the same.
func hardPeople() (all []schema.Departure) {
	userIDs := []string{
		"manager42", "0", "a", "@", "@@", "a@b", "a@2024-01-01T00:00:00Z", "/", "a/b", "/a/", "//", "%", "%2F", " ", "  ", " a b ", "\t", "\x00",
		"\u00a0", "\u200b", "é", "e\u0301", "张三", "離職", "عمر", "Ω", "\U0001f44b", "\U0001f468\u200d\U0001f4bb", "a\U0001f44b@/ ", "\ufffd", "\"", "\\", "\n",
		strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("@", 64), strings.Repeat("/", 64), strings.Repeat("张", 64), strings.Repeat("\U0001f44b", 64),
	}
	draw := rand.New(rand.NewPCG(1, 2))
	letters := []rune("abcXYZ019@/-_. %:éß张三离\U0001f44b")
	for range 5000 {
		id := make([]rune, 1+draw.IntN(64))
		for i := range id {
			id[i] = letters[draw.IntN(len(letters))]
		}
		userIDs = append(userIDs, string(id))
	}
	for i, id := range userIDs {
		corpID := []string{"ding8f2", "d", "ding" + fmt.Sprintf("%032x", draw.Uint64()), "组织"}[i%4]
		all = append(all, schema.Departure{CorpID: corpID, UserID: id, LeaveTime: time.Unix(draw.Int64N(4_000_000_000), 0)})
	}
	return all
}

// javasPlaces is what Java prints for each key.
func javasPlaces(t *testing.T, classpath string, counts []int, keys []string) (places [][]int) {
	t.Helper()
	var in, said bytes.Buffer
	for _, key := range keys {
		fmt.Fprintln(&in, base64.StdEncoding.EncodeToString([]byte(key)))
	}
	args := []string{"-cp", classpath, "../../.ci/kafka/murmur2/Partitions.java"}
	for _, n := range counts {
		args = append(args, fmt.Sprint(n))
	}
	cmd := exec.Command("java", args...)
	cmd.Stdin, cmd.Stderr = &in, &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("java %q: %v (it has to be a JDK, 17 or later)\n%s", args, err, said.String())
	}
	for line := range strings.Lines(string(out)) {
		var numbers []int
		for text := range strings.FieldsSeq(line) {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatalf("java printed %q: %v", line, err)
			}
			numbers = append(numbers, n)
		}
		if len(numbers) != 2*len(counts) {
			t.Fatalf("java printed %q, want two numbers for each of %v", line, counts)
		}
		places = append(places, numbers)
	}
	if len(places) != len(keys) {
		t.Fatalf("java printed %d lines for %d keys\n%s", len(places), len(keys), said.String())
	}
	return places
}
