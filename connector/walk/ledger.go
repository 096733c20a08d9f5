package walk

import "crypto/sha256"

// ID names a departure, or a quarantined record, within the state: the first 16 bytes of SHA-256 of its state key.
type ID [16]byte

// IDOf is the ID of a state key, such as schema.PublishedKey gives.
func IDOf(stateKey string) ID {
	var short [128]byte // most keys fit, and need no allocation
	sum := sha256.Sum256(append(short[:0], stateKey...))
	return ID(sum[:16])
}

// Ledger is every departure that an organisation's state ever published and every record it quarantined. It is never
// pruned by age: ties at the edge, a raised Overlap or Lookback, a server that shifts times or filters by the time of the
// operation would each publish again what was pruned.
//
// Memory: 45 bytes an entry just after the map has doubled, as at a million, and half of that before it doubles again, by
// BenchmarkLedgerMemory. A large company makes 50,000 a year.
type Ledger struct {
	contents map[ID]uint32
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger { return &Ledger{contents: make(map[ID]uint32)} }

// Add enters what was published or quarantined, after its commit. Content is a prefix of the digest of what was published.
func (l *Ledger) Add(id ID, content uint32) { l.contents[id] = content }

// Remove takes an entry out, which an operator has taken out of the state: the departure may be published again.
func (l *Ledger) Remove(id ID) { delete(l.contents, id) }

// Content reports whether the ledger names id, and what content it was published with. A nil ledger names nothing.
func (l *Ledger) Content(id ID) (uint32, bool) {
	if l == nil {
		return 0, false
	}
	content, ok := l.contents[id]
	return content, ok
}

// Len is the number of entries.
func (l *Ledger) Len() int { return len(l.contents) }
