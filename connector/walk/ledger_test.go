package walk

import (
	"runtime"
	"strconv"
	"testing"
)

func TestLedger(t *testing.T) {
	s := newSession(t)
	id := IDOf("published/ding8f2/manager42@2022-06-07T10:11:12Z")
	if _, known := s.led.Content(id); known {
		t.Error("an empty ledger names something")
	}
	s.led.Add(id, 7)
	content, known := s.led.Content(id)
	s.same("known", known, true)
	s.same("content", content, 7)
	s.same("entries", s.led.Len(), 1)
}

// BenchmarkLedgerMemory reports what a million entries occupy.
func BenchmarkLedgerMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := NewLedger()
		for i := range 1_000_000 {
			l.Add(IDOf(strconv.Itoa(i)), uint32(i))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
		b.ReportMetric(float64(after.Sys-before.Sys)/1e6, "MB-of-the-process")
		runtime.KeepAlive(l)
	}
}
