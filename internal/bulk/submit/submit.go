package submit

import (
	"context"
	"errors"

	"verdict/internal/bulk/rows"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// submission is one call of Submit. While rows are sent, one goroutine reads them and
// another one writes; the fields of each are its own, and neither changes the others.
type submission struct {
	options Options
	batch   *rows.Batch
	key     ledger.Key
	topicID string
	stored  *rowSet // rows of the first edition that are in the topic; nil: none
	earlier int64   // decisions that were in the topic before

	// Of the writing goroutine:
	writer   *store.Writer
	entry    ledger.Batch // as it was written last
	sent     int64        // decisions that this call sent
	limit    int          // decisions in the next transaction, at most
	failures int          // of Write in a row, for which time is not the cause
	failing  bool         // the last Write failed
}

// Submit sends those decisions of a batch that are not in its topic yet, and returns once
// all of them are committed. When ctx ends, the transaction that is open is aborted or, if
// its commit has begun, waited for. The next call for the same batch, on any machine, sends
// what is left, and nothing twice.
//
// The error is an *AlreadySentError if there was nothing left to send, and a
// *store.TakenOverError if another call goes on with the batch.
func Submit(ctx context.Context, b *rows.Batch, o Options) (Summary, error) {
	s := &submission{options: o.withDefaults(), batch: b, key: ledger.BatchKey(b.ID)}
	s.limit = s.options.ChunkRows
	err := s.begin(ctx)
	if sent, ok := errors.AsType[*AlreadySentError](err); ok {
		return Summary{Earlier: sent.Size}, err
	}
	if err != nil {
		return Summary{}, err
	}
	s.earlier = s.entry.Sent
	if s.entry.FirstEdition {
		if err := s.findStored(ctx); err != nil {
			return Summary{Earlier: s.earlier}, err
		}
		s.earlier += s.stored.count()
	}
	s.options.Acknowledged.Store(s.earlier)
	s.options.OnStart(s.earlier)
	err = s.send(ctx)
	return Summary{Earlier: s.earlier, Sent: s.sent, Began: s.entry.Began}, err
}
