package schema_test

import (
	"testing"

	"departures/schema"
)

// What one departure costs in this package, by its parts; a backfill pays each of them once for every departure, a restore
// ParseLedgerEntry and StateKey.

func BenchmarkEventJSON(b *testing.B) {
	b.ReportAllocs()
	for e := event(); b.Loop(); {
		e.JSON()
	}
}

func BenchmarkEventHeaders(b *testing.B) {
	b.ReportAllocs()
	for e := event(); b.Loop(); {
		e.Headers(schema.JSONContent)
	}
}

func BenchmarkLedgerEntryJSON(b *testing.B) {
	b.ReportAllocs()
	for l := (schema.LedgerEntry{Digest: schema.Digest(nil), PublishedAt: observed}); b.Loop(); {
		l.JSON()
	}
}

func BenchmarkParseLedgerEntry(b *testing.B) {
	b.ReportAllocs()
	for value := (schema.LedgerEntry{Digest: schema.Digest(nil), PublishedAt: observed}).JSON(); b.Loop(); {
		if _, err := schema.ParseLedgerEntry(value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublishedKey(b *testing.B) {
	b.ReportAllocs()
	for d := event().Departure(); b.Loop(); {
		schema.PublishedKey(d)
	}
}

func BenchmarkStateKey(b *testing.B) {
	b.ReportAllocs()
	for key := schema.PublishedKey(event().Departure()); b.Loop(); {
		schema.StateKey(key)
	}
}

func BenchmarkDigest(b *testing.B) {
	b.ReportAllocs()
	for value := event().JSON(); b.Loop(); {
		schema.Digest(value)
	}
}
