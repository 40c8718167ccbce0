package submit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"verdict/internal/broker"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/retry"
)

const (
	// maxFailures is how many times in a row a Write may fail for another cause than time.
	maxFailures = 3
	// minChunk is the number of decisions that are sent at once over the slowest network.
	minChunk = 100
	// takeoverTime is how long whoever takes the batch over needs until the ledger says so.
	takeoverTime = 2 * time.Second
)

// send sends the rows that are not in the topic. While one chunk is written, the next is
// read.
func (s *submission) send(ctx context.Context) error {
	chunks := make(chan chunk)
	sending, ctx := errgroup.WithContext(ctx)
	reader, done := s.newChunker(chunks), s.entry.Done
	sending.Go(func() error {
		defer close(chunks)
		return reader.read(ctx, done)
	})
	sending.Go(func() error {
		for c := range chunks {
			if err := s.write(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
	return sending.Wait()
}

// write writes a chunk. What could not be written in the time of a transaction it writes
// in smaller parts.
func (s *submission) write(ctx context.Context, c chunk) error {
	for {
		if err := s.checkSource(ctx); err != nil {
			return err
		}
		part, rest := c.split(s.limit)
		entry, did := s.entry, ""
		entry.Done, entry.Sent = part.end.row, part.end.sent
		if part.last {
			entry.Ended, did = time.Now().UTC(), "sent all"
		}
		change := s.change(entry, did)
		change.Rows = slices.Concat(part.records, part.remembered)
		written, err := s.attempt(ctx, change)
		switch {
		case err != nil:
			return err
		case !written:
			s.limit = max(minChunk, min(s.limit, len(part.records))/2)
			continue
		}
		s.entry, s.limit = entry, min(2*s.limit, s.options.ChunkRows)
		s.sent += int64(len(part.records))
		s.options.Acknowledged.Store(s.earlier + s.sent)
		if c = rest; len(c.records) == 0 {
			return nil
		}
	}
}

// checkSource returns an error if a file or the topic is not the one that it was.
func (s *submission) checkSource(ctx context.Context) error {
	if err := s.batch.CheckUnchanged(); err != nil {
		return err
	}
	id, err := s.readTopicID(ctx)
	if err != nil {
		return ctx.Err() // Write will notice, too, that Kafka does not answer
	}
	return s.refuseOtherTopic(id, &s.entry)
}

// attempt makes one attempt to write a change with an entry of the batch, and finds out
// whether it was written. An error says that nothing more must be written.
func (s *submission) attempt(ctx context.Context, c store.Change) (written bool, err error) {
	before := s.writer.State().Previous(s.key)
	_, err = s.writer.Write(ctx, c)
	if err == nil {
		s.writable()
		return true, nil
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	// What time can mend, such as a broker that is away, has used up the transaction's.
	if !errors.Is(err, context.DeadlineExceeded) {
		if _, refused := errors.AsType[*ledger.Refused](err); refused {
			return false, err
		}
		if s.failures++; s.failures == maxFailures {
			return false, err
		}
	}
	if !s.failing {
		s.failing = true
		s.options.Log.Warn("decisions can't be sent; trying again", "err", err)
	}
	if errors.Is(err, broker.ErrFenced) {
		if err := retry.Sleep(ctx, takeoverTime); err != nil {
			return false, err
		}
	}
	if err := s.writer.Recover(ctx); err != nil {
		return false, err
	}
	switch now := s.writer.State().Previous(s.key); {
	case now < before:
		return false, fmt.Errorf("the ledger no longer knows what it knew of batch %s: was the topic %s deleted and made again? Of %d decisions %d are sent",
			s.batch.ID, s.options.Ledger.Control, s.batch.Size(), s.entry.Sent)
	case now > before:
		s.writable()
		return true, nil
	}
	return false, nil
}

// writable notes that the last change was written.
func (s *submission) writable() {
	if s.failing {
		s.options.Log.Warn("decisions can be sent again")
	}
	s.failing, s.failures = false, 0
}
