package submit

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"verdict/internal/broker"
	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
	"verdict/internal/retry"
)

// The bounds of a chunk, beside Options.ChunkRows.
const (
	chunkBytes = 4 << 20 // of keys, values and headers
	chunkTime  = 2 * time.Second
	// rateTime is chunkTime with a rate: what a second allows is sent at once.
	rateTime = time.Second
)

// chunk is what one transaction writes.
type chunk struct {
	records []decision.Record
	places  []progress // how far the batch is with each of the records
	end     progress   // how far it is with all of them
	bytes   int
	began   time.Time // when its first record was read
	last    bool      // nothing follows
	// remembered are the fingerprints of all rows, with the last chunk.
	remembered []decision.Record
}

// progress is how far a batch is.
type progress struct {
	row  int64 // rows up to this one are in the topic, or are not to be sent
	sent int64 // decisions among them
}

// split returns the first records, at most n, and the rest.
func (c chunk) split(n int) (first, rest chunk) {
	if n >= len(c.records) {
		return c, chunk{}
	}
	first = chunk{records: c.records[:n], places: c.places[:n], end: c.places[n-1]}
	c.records, c.places = c.records[n:], c.places[n:]
	return first, c
}

// chunker reads the rows that are to be sent into chunks.
type chunker struct {
	submission *submission
	headers    []decision.Header // of each record; the line is its own
	limiter    *rate.Limiter     // nil: no rate
	longest    time.Duration
	most       int // records in a chunk
	rememberer *rememberer
	out        chan<- chunk
	chunk      chunk
}

// lineHeader is the place of decision.HeaderBatchLine in chunker.headers.
const lineHeader = 1

func (s *submission) newChunker(out chan<- chunk) *chunker {
	run := decision.Header{Key: decision.HeaderRun, Value: []byte(s.options.Ledger.Author.Run)}
	c := &chunker{
		submission: s, headers: append(decision.BatchPlace{ID: s.batch.ID, Size: s.batch.Size()}.Headers(), run),
		longest: chunkTime, most: s.options.ChunkRows, rememberer: s.newRememberer(), out: out, chunk: chunk{end: progress{s.entry.Done, s.entry.Sent}},
	}
	if perSecond := s.options.Rate; perSecond > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/20)))
		c.longest, c.most = rateTime, max(1, min(c.most, int(perSecond)))
	}
	return c
}

// read reads the rows from this one on, and sends chunks until the last one.
func (c *chunker) read(ctx context.Context, done int64) error {
	err := c.submission.batch.Each(ctx, func(r *rows.CheckedRow) error {
		if r.ToSend() {
			if err := c.rememberer.add(&r.Decision); err != nil {
				return err
			}
		}
		if r.Number <= done {
			return nil
		}
		switch {
		case !r.ToSend():
		case c.submission.stored.has(r.Number):
			c.chunk.end.sent++
		default:
			return c.add(ctx, r)
		}
		c.chunk.end.row = r.Number
		return nil
	})
	if err != nil {
		return err
	}
	if c.chunk.remembered, err = c.rememberer.all(); err != nil {
		return err
	}
	c.chunk.last, c.chunk.end.row = true, c.submission.batch.Rows
	return c.flush(ctx)
}

// add adds a row, after the wait that the rate wants.
func (c *chunker) add(ctx context.Context, r *rows.CheckedRow) error {
	if c.limiter != nil {
		// Not limiter.Wait, which fails at once if the deadline of ctx would pass.
		at := time.Now().Add(c.limiter.Reserve().Delay())
		if len(c.chunk.records) > 0 && at.Sub(c.chunk.began) >= c.longest {
			if err := c.flush(ctx); err != nil {
				return err
			}
		}
		if d := time.Until(at); d > 0 {
			if err := retry.Sleep(ctx, d); err != nil {
				return err
			}
		}
	}
	rec := r.Record(c.submission.options.Topic)
	rec.Partition = broker.ByKey
	rec.Headers = append([]decision.Header(nil), c.headers...)
	rec.Headers[lineHeader].Value = decision.BatchPlace{Line: r.Number}.Headers()[lineHeader].Value
	if len(c.chunk.records) == 0 {
		c.chunk.began = time.Now()
	}
	c.chunk.end = progress{r.Number, c.chunk.end.sent + 1}
	c.chunk.records, c.chunk.places = append(c.chunk.records, rec), append(c.chunk.places, c.chunk.end)
	if c.chunk.bytes += rec.Size(); len(c.chunk.records) >= c.most || c.chunk.bytes >= chunkBytes || time.Since(c.chunk.began) >= c.longest {
		return c.flush(ctx)
	}
	return nil
}

// flush sends the chunk, and begins the next.
func (c *chunker) flush(ctx context.Context) error {
	full, n := c.chunk, len(c.chunk.records)
	// The next one is likely to be as large.
	c.chunk = chunk{end: full.end, records: make([]decision.Record, 0, n), places: make([]progress, 0, n)}
	select {
	case c.out <- full:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
