package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// nodesEnv names folders, separated as in PATH, into which .ci/kafka/start has put real brokers that a test may kill and start again.
const nodesEnv = "KAFKA_TEST_NODES"

// node is a real broker, in a process of its own.
type node struct {
	folder string
	id     int32
	addr   string
}

var nodeSettings = regexp.MustCompile(`(?s)\nnode\.id=(\d+)\n.*\nlisteners=PLAINTEXT://([^,]+),`)

// nodeIn is the broker of a folder; false if that holds none.
func nodeIn(folder string) (node, bool) {
	settings, err := os.ReadFile(filepath.Join(folder, "server.properties"))
	found := nodeSettings.FindStringSubmatch(string(settings))
	if err != nil || found == nil {
		return node{}, false
	}
	id, _ := strconv.Atoi(found[1])
	return node{folder, int32(id), found[2]}, true
}

// kill is SIGKILL. What the broker has written to its files by then is the system's to keep.
func (n node) kill(t testing.TB) {
	t.Helper()
	pid := n.pid()
	if pid == 0 {
		t.Fatalf("no broker runs in %s", n.folder)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for n.pid() != 0 {
		time.Sleep(time.Millisecond)
	}
}

// pid is the broker's process, 0 if it does not live: its number can have gone to somebody else since.
func (n node) pid() int {
	text, _ := os.ReadFile(filepath.Join(n.folder, "pid"))
	pid := strings.TrimSpace(string(text))
	command, _ := os.ReadFile("/proc/" + pid + "/cmdline")
	if !strings.HasSuffix(string(command), "\x00kafka.Kafka\x00"+n.folder+"/server.properties\x00") {
		return 0
	}
	id, _ := strconv.Atoi(pid)
	return id
}

// again starts it on the port and the data that it had, and returns when it can be used.
func (n node) again(t testing.TB) {
	t.Helper()
	if said, err := exec.Command("bash", "../../.ci/kafka/start", "--again", n.folder).CombinedOutput(); err != nil {
		t.Fatalf("start %s again: %v\n%s", n.folder, err, said)
	}
}

// tail is the last of its log.
func (n node) tail() string {
	log, err := os.ReadFile(filepath.Join(n.folder, "log"))
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-4000):])
}

// cluster is the brokers of one Kafka.
type cluster struct {
	nodes []node
	cl    *kgo.Client
	adm   *kadm.Client
}

// clusterIn is the Kafka of a folder: one broker, or several in folders of their own.
func clusterIn(t testing.TB, folder string) *cluster {
	t.Helper()
	c := &cluster{}
	folders, _ := filepath.Glob(filepath.Join(folder, "[0-9]*"))
	for _, folder := range append(folders, folder) {
		if n, ok := nodeIn(folder); ok {
			c.nodes = append(c.nodes, n)
		}
	}
	if len(c.nodes) == 0 {
		t.Fatalf("%s of %s holds no broker", folder, nodesEnv)
	}
	var err error
	c.cl, err = kgo.NewClient(kgo.SeedBrokers(c.addrs()...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.cl.Close)
	c.adm = kadm.NewClient(c.cl)
	return c
}

func (c *cluster) addrs() (addrs []string) {
	for _, n := range c.nodes {
		addrs = append(addrs, n.addr)
	}
	return addrs
}

// isInSync waits until every replica of every partition is in sync.
func (c *cluster) isInSync(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		behind := c.behind(ctx)
		if behind == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited too long for the replicas: %s", behind)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// behind says which replicas are not in sync, "" if all are.
func (c *cluster) behind(ctx context.Context) string {
	meta, err := c.adm.Metadata(ctx)
	if err != nil {
		return err.Error()
	}
	if len(meta.Brokers) < len(c.nodes) {
		return fmt.Sprintf("%d of %d brokers live", len(meta.Brokers), len(c.nodes))
	}
	for _, topic := range meta.Topics.Sorted() {
		for _, p := range topic.Partitions.Sorted() {
			if len(p.ISR) < len(p.Replicas) || p.Leader < 0 {
				return fmt.Sprintf("%s/%d: leader %d, %v of %v in sync", topic.Topic, p.Partition, p.Leader, p.ISR, p.Replicas)
			}
		}
	}
	return ""
}

// role is what makes a broker worth killing.
type role struct {
	name string
	node func(ctx context.Context, c *cluster, r *rig, draw *rand.Rand) (id int32, err error)
}

var roles = []role{
	{"the active controller", func(ctx context.Context, c *cluster, _ *rig, _ *rand.Rand) (int32, error) { return c.controller(ctx) }},
	{"the leader of the organisation's state", func(ctx context.Context, c *cluster, r *rig, _ *rand.Rand) (int32, error) {
		topics, err := c.adm.ListTopics(ctx, r.topics.State)
		return topics[r.topics.State].Partitions[r.statePartition()].Leader, err
	}},
	{"the transaction coordinator", func(ctx context.Context, c *cluster, r *rig, _ *rand.Rand) (int32, error) {
		id := fmt.Sprintf("%s-%d", r.topics.State, r.statePartition())
		found := c.adm.FindTxnCoordinators(ctx, id)
		return found[id].NodeID, found.Error()
	}},
	{"the group coordinator", func(ctx context.Context, c *cluster, r *rig, _ *rand.Rand) (int32, error) {
		found := c.adm.FindGroupCoordinators(ctx, r.env["GROUP"])
		return found[r.env["GROUP"]].NodeID, found.Error()
	}},
	{"any broker", func(_ context.Context, c *cluster, _ *rig, draw *rand.Rand) (int32, error) {
		return c.nodes[draw.IntN(len(c.nodes))].id, nil
	}},
}

// statePartition is where the organisation lives.
func (r *rig) statePartition() int32 {
	r.t.Helper()
	for _, p := range r.processes {
		if open := p.lines("session open"); len(open) > 0 {
			return int32(open[0]["partition"].(float64))
		}
	}
	r.t.Fatal("no session was opened yet")
	return 0
}

// controller is the node that leads the quorum of controllers. In Metadata any broker says that it were the controller.
func (c *cluster) controller(ctx context.Context) (int32, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = []kmsg.DescribeQuorumRequestTopic{{
		Topic:      "__cluster_metadata",
		Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}},
	}}
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("the quorum's answer is %+v", resp)
	}
	return resp.Topics[0].Partitions[0].LeaderID, nil
}

// who is the node that has a role at the moment.
func (c *cluster) who(t testing.TB, has role, r *rig, draw *rand.Rand) node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	id, err := has.node(ctx, c, r, draw)
	for _, n := range c.nodes {
		if err == nil && n.id == id {
			return n
		}
	}
	t.Fatalf("who is %s? node %d (%v)", has.name, id, err)
	return node{}
}
