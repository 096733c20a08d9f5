// Package kafkatest gives tests, and the demo, a Kafka to speak to: kfake in this process, or the real brokers that
// KAFKA_TEST_BROKERS names, with their secured side where KAFKA_TEST_SECURED says so, and a network in between that can be cut at a
// chosen request.
package kafkatest

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Env is the variable that names real brokers, comma separated; every test that can then runs against them.
const Env = "KAFKA_TEST_BROKERS"

// brokerAttr marks a test with the broker that it met, so that they can be counted.
const brokerAttr = "broker"

// Real says whether tests run against real brokers.
func Real() bool { return os.Getenv(Env) != "" }

// Start starts an embedded broker in this process, in memory, on a free port of 127.0.0.1. The caller closes it.
func Start(opts ...kfake.Opt) (*kfake.Cluster, error) {
	return kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
}

// Brokers are the addresses of a Kafka for the test: the real one of KAFKA_TEST_BROKERS, shared by all tests, or an embedded
// broker of its own that ends with the test. Topics and groups take their names from Name.
func Brokers(t testing.TB) []string {
	t.Helper()
	if Real() {
		t.Attr(brokerAttr, "Apache Kafka")
		return strings.Split(os.Getenv(Env), ",")
	}
	return Fake(t, "").ListenAddrs()
}

// Fake is an embedded broker with options, for what a shared real broker cannot give; the test is then skipped on a real
// one, saying why.
func Fake(t testing.TB, why string, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	if Real() {
		t.Skipf("only on kfake: %s", why)
	}
	t.Attr(brokerAttr, "kfake")
	c, err := Start(opts...)
	if err != nil {
		t.Fatalf("start kfake: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// Name is a topic or group name that no other test and no earlier run uses: base and a random suffix.
func Name(t testing.TB, base string) string {
	t.Helper()
	return base + "-" + strings.ToLower(rand.Text()[:10])
}
