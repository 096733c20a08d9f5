package connector

import (
	"context"
	"slices"
)

// holdings are the state partitions that this instance works on, a goroutine each. It belongs to one goroutine.
type holdings struct {
	hold func(ctx context.Context, partition int32) error
	fail context.CancelCauseFunc // told of the errors that a person must mend
	held map[int32]holding
}

type holding struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the work has stopped
}

func newHoldings(hold func(context.Context, int32) error, fail context.CancelCauseFunc) *holdings {
	return &holdings{hold: hold, fail: fail, held: map[int32]holding{}}
}

func (h *holdings) has(partition int32) bool {
	_, ok := h.held[partition]
	return ok
}

// keep makes partitions the whole of what is held: work on any other has stopped when it returns, and these are given back;
// work on new ones has begun.
func (h *holdings) keep(ctx context.Context, partitions []int32) (gone []int32) {
	for p, held := range h.held {
		if !slices.Contains(partitions, p) {
			held.cancel()
			gone = append(gone, p)
		}
	}
	for _, p := range gone {
		<-h.held[p].done
		delete(h.held, p)
	}
	for _, p := range partitions {
		if !h.has(p) {
			h.held[p] = h.begin(ctx, p)
		}
	}
	return gone
}

func (h *holdings) begin(ctx context.Context, partition int32) holding {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		if err := h.hold(ctx, partition); err != nil {
			h.fail(err)
		}
	}()
	return holding{cancel, done}
}
