package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"departures/connector/kafka/kafkatest"
	"departures/connector/walk"
	"departures/schema"
)

// restoreEnv makes the test binary a process that does nothing but restore; it holds the three topics and the brokers.
const restoreEnv = "KAFKA_TEST_RESTORE"

// BenchmarkRestore opens a session on a state of so many ledger entries, in a process of its own, which brings them into a
// walk.Ledger as the connector does: s and allocs/entry from Open to the session that may commit, cpu-s and MB-peak (the most that
// was ever resident) of the whole process.
//
//	go test -run '^$' -bench Restore -benchtime 3x ./connector/kafka
func BenchmarkRestore(b *testing.B) {
	for _, entries := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(entries), func(b *testing.B) { benchmarkRestore(b, entries) })
	}
}

func benchmarkRestore(b *testing.B, entries int) {
	cfg := config(b, kafkatest.Brokers(b))
	fillState(b, cfg, entries)
	var all restoreReport
	for b.Loop() {
		r := restoreInChild(b, cfg)
		if r.Entries != entries {
			b.Fatalf("%d entries, want %d", r.Entries, entries)
		}
		all.Seconds += r.Seconds
		all.CPU += r.CPU
		all.PeakMB = max(all.PeakMB, r.PeakMB)
		all.Allocs += r.Allocs
	}
	n := float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(all.Seconds/n, "s")
	b.ReportMetric(all.CPU/n, "cpu-s")
	b.ReportMetric(all.PeakMB, "MB-peak")
	b.ReportMetric(float64(all.Allocs)/n/float64(entries), "allocs/entry")
}

// fillState commits the ledger entries of so many departures.
func fillState(b *testing.B, cfg Config, entries int) {
	b.Helper()
	s, _ := opened(b, b.Context(), prepared(b, b.Context(), cfg), 0)
	defer s.Close()
	now := time.Date(2026, 6, 7, 10, 11, 12, 345e6, time.UTC)
	for i := 0; i < entries; {
		var records []Record
		for range min(10_000, entries-i) {
			e := leaver(i, now)
			entry := schema.LedgerEntry{Digest: schema.Digest([]byte(e.UserID)), PublishedAt: e.ObservedAt}
			records = append(records, Record{Topic: cfg.StateTopic, Key: schema.PublishedKey(e.Departure()), Value: entry.JSON()})
			i++
		}
		if err := s.Commit(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
}

// restoreReport is what a restoring process says about itself.
type restoreReport struct {
	Entries      int
	Seconds, CPU float64
	PeakMB       float64
	Allocs       uint64
}

func restoreInChild(b *testing.B, cfg Config) (r restoreReport) {
	b.Helper()
	child := exec.CommandContext(b.Context(), os.Args[0])
	role := append([]string{cfg.EventsTopic, cfg.StateTopic, cfg.QuarantineTopic}, cfg.Brokers...)
	child.Env = append(os.Environ(), restoreEnv+"="+strings.Join(role, ","))
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(out)).Decode(&r)
	}
	if err != nil {
		b.Fatalf("restoring process: %v", err)
	}
	return r
}

// restoreAlone is that process.
func restoreAlone(role string) error {
	names := strings.Split(role, ",")
	c, err := New(Config{
		EventsTopic: names[0], StateTopic: names[1], QuarantineTopic: names[2], Brokers: names[3:],
		Group: "none", Encoding: "json", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := c.Prepare(ctx); err != nil {
		return err
	}
	ledger := walk.NewLedger()
	var used cost
	used.of(func() {
		var s *Session
		if s, err = c.Open(ctx, 0, func(key string, value []byte) error { return enter(ledger, key, value) }); err == nil {
			s.Close()
		}
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(restoreReport{
		Entries: ledger.Len(), Seconds: used.wall.Seconds(), CPU: cpuTime().Seconds(), PeakMB: peakMB(), Allocs: used.allocs,
	})
}

// enter is what the connector does with a ledger entry.
func enter(ledger *walk.Ledger, key string, value []byte) error {
	if kind, _ := schema.StateKey(key); kind != schema.KindPublished {
		return nil
	}
	entry, err := schema.ParseLedgerEntry(value)
	if err != nil {
		return err
	}
	content, err := strconv.ParseUint(entry.Digest[:8], 16, 32)
	ledger.Add(walk.IDOf(key), uint32(content))
	return err
}

// peakMB is the most that this process had resident. Not getrusage's: that one begins with what the parent had.
func peakMB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb * 1024 / 1e6
}
