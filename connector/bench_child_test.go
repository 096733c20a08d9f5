package connector_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector"
	"departures/connector/kafka"
	"departures/schema"
)

// Variables of a child's environment, beside those of the connector's own table.
const (
	roleEnv        = "BENCH_ROLE"         // makes this test binary a child
	recordsEnv     = "BENCH_RECORDS"      // how many records to write
	batchEnv       = "BENCH_BATCH"        // how many of them in a transaction
	pollEnv        = "BENCH_POLL"         // a poll interval below what LoadConfig takes
	produceTimeEnv = "BENCH_PRODUCE_TIME" // how long a broker takes for a produce request
	profileEnv     = "BENCH_PROFILE"      // a folder for the child's CPU and allocation profiles; its children inherit it
)

// roles are what a child may be. Each gives how many records it had to do with; the connector's ends with ctx alone.
var roles = map[string]func(context.Context) (int, error){
	"connector":    runConnector,
	"pages":        readPages,
	"poller":       pollBarely,
	"transactions": writeTransactions,
	"state":        writeState,
}

// usage is what a child has used since it was started.
type usage struct {
	At      time.Time
	CPU     time.Duration // user and system
	Peak    int64         // resident, in bytes
	Mallocs uint64

	Goroutines int
	Records    int  // that it had to do with
	Done       bool // its role has ended
}

// megabytes is the peak.
func (u usage) megabytes() float64 { return float64(u.Peak) / (1 << 20) }

// play is the whole life of a child: it says what it has used when its role ends, and before that whenever a line arrives on standard
// input, the end of which is its own.
func play(role string) (code int) {
	tune()
	defer profile(role)()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	said := json.NewEncoder(os.Stdout)
	go func() {
		defer stop()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			_ = said.Encode(used()) // the parent notices
		}
	}()
	n, err := roles[role](ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	if ctx.Err() == nil {
		u := used()
		u.Records, u.Done = n, true
		_ = said.Encode(u)
	}
	<-ctx.Done()
	return 0
}

// tune gives the runtime the settings that cmd/departures gives it.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(connector.GCPercent)
	}
}

// used is what this process has used. Its peak is not the one of rusage: that begins with the peak of the parent, whose memory a child has
// until it executes its program. Of the peak about 3 MB are those parts of the test binary that the program that ships does not have.
func used() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{At: time.Now(), CPU: cpu(), Peak: peak(), Mallocs: m.Mallocs, Goroutines: runtime.NumGoroutine()}
}

// cpu is the CPU time of this process, user and system.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail for these arguments
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// peak is VmHWM; 0 where there is no /proc.
func peak() (n int64) {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	_, _ = fmt.Sscan(string(rest), &n)
	return n << 10
}

// profile writes profiles of the whole life, where they are asked for.
func profile(role string) (end func()) {
	folder := os.Getenv(profileEnv)
	if folder == "" {
		return func() {}
	}
	file := func(kind string) *os.File {
		f, err := os.Create(filepath.Join(folder, fmt.Sprintf("%s-%d.%s", role, os.Getpid(), kind)))
		if err != nil {
			panic(err)
		}
		return f
	}
	cpu := file("cpu")
	if err := pprof.StartCPUProfile(cpu); err != nil {
		panic(err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = cpu.Close()
		allocs := file("allocs")
		_ = pprof.Lookup("allocs").WriteTo(allocs, 0)
		_ = allocs.Close()
	}
}

// runConnector is what ships, its admin server apart.
func runConnector(ctx context.Context) (int, error) {
	cfg, err := connector.LoadConfig()
	if err != nil {
		return 0, err
	}
	if d := os.Getenv(pollEnv); d != "" {
		if cfg.PollInterval, err = time.ParseDuration(d); err != nil {
			return 0, err
		}
	}
	runner, err := connector.New(cfg, connector.Wire{Kafka: kafkaDialer()}, childLog(cfg))
	if err != nil {
		return 0, err
	}
	return 0, runner.Run(ctx)
}

// childLog is the log of cmd/departures where a machine collects it. The parent keeps standard error in a file.
func childLog(cfg connector.Config) *slog.Logger {
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
}

// writeState writes the state of a connector that was started at START and has so many departures in its ledger: the known ones, and
// others that were published under an earlier START.
func writeState(ctx context.Context) (int, error) {
	cfg, err := connector.LoadConfig()
	if err != nil {
		return 0, err
	}
	if _, err := connector.Init(ctx, cfg, connector.Wire{}, childLog(cfg)); err != nil {
		return 0, err
	}
	cluster, err := kafka.New(cfg.Kafka)
	if err != nil {
		return 0, err
	}
	if _, err := cluster.Prepare(ctx); err != nil {
		return 0, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Kafka.Brokers...), kgo.DefaultProduceTopic(cfg.Kafka.StateTopic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.DisableClientMetrics())
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	n, corpID, now := number(recordsEnv), cfg.Orgs[0].CorpID, time.Now()
	written := make(chan error, n)
	for i := range n {
		left := cfg.Start.At(now).Add(knownStep * time.Duration(i))
		if i >= known {
			left = cfg.Start.At(now).Add(-time.Duration(i) * time.Second)
		}
		key := schema.PublishedKey(schema.Departure{CorpID: corpID, UserID: userID(i), LeaveTime: left})
		entry := schema.LedgerEntry{Digest: schema.Digest([]byte(key)), PublishedAt: left}
		cl.Produce(ctx, &kgo.Record{Partition: cluster.Partition(corpID), Key: []byte(key), Value: entry.JSON()},
			func(_ *kgo.Record, err error) { written <- err })
	}
	for range n {
		if err := <-written; err != nil {
			return n, err
		}
	}
	return n, nil
}

// number is a variable of the parent's making.
func number(name string) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		panic(err)
	}
	return n
}
