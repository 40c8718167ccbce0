package consumer

import (
	"context"
	"sync"
	"time"

	"verdict/internal/decision"
)

// Claim is this instance's hold on one partition for one generation of the
// group. It is lost with the generation; a settle that comes later is a no-op,
// because the partition's next owner has begun from what was committed.
type Claim struct {
	Topic     string
	Partition int

	span  int64  // offsets beyond the committed one that may be open
	dirty func() // tells the committer; called without mu

	// doubtful is the offset below which a record may have been carried out
	// already, by a commit that does not fit the partition; set by restore.
	doubtful int64

	mu        sync.Mutex // short pure sections only
	tracker   *tracker
	open      map[int64]decision.Progress // of unsettled offsets that were tried
	lost      bool
	changedAt time.Time     // since when there is something to commit; zero: nothing
	room      chan struct{} // closed when base moves while the fetch loop waits; nil: it does not wait
	end       int64         // the partition's end (high watermark), as far as known
}

// Settle notes that the record at offset has its result or dead letter
// acknowledged, and need not be read again.
func (c *Claim) Settle(offset int64) {
	c.mu.Lock()
	if c.lost || !c.tracker.settle(offset) {
		c.mu.Unlock()
		return
	}
	delete(c.open, offset)
	c.change()
	c.mu.Unlock()
	c.dirty()
}

// Attempted notes how far an unsettled decision got, so that the partition's
// next owner carries on from there.
func (c *Claim) Attempted(offset int64, p decision.Progress) {
	c.mu.Lock()
	if c.lost || c.tracker.settledAt(offset) {
		c.mu.Unlock()
		return
	}
	if p == (decision.Progress{}) {
		delete(c.open, offset)
	} else {
		c.open[offset] = p
	}
	c.change()
	c.mu.Unlock()
	c.dirty()
}

// Lost says whether the partition may belong to another instance by now.
func (c *Claim) Lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// change wakes the fetch loop and dates what is to be committed. Under mu.
func (c *Claim) change() {
	if c.changedAt.IsZero() {
		c.changedAt = time.Now()
	}
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// lose ends the claim.
func (c *Claim) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = true
}

// track notes that the record at offset was fetched. It waits while the span of
// open offsets is full. It says whether the record is settled already, and the
// progress it had made with an owner before.
func (c *Claim) track(ctx context.Context, offset int64) (settled bool, before decision.Progress, err error) {
	for {
		c.mu.Lock()
		if c.tracker.fits(offset, c.span) || offset < c.tracker.base {
			was := c.tracker.base
			settled = c.tracker.track(offset)
			if c.tracker.base != was {
				c.change() // a gap was passed: there is something to commit
			}
			before = c.open[offset]
			before.MaybeApplied = before.MaybeApplied || offset < c.doubtful
			c.mu.Unlock()
			return settled, before, nil
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return false, decision.Progress{}, ctx.Err()
		}
	}
}

// narrow holds the span back to what a metadata string of size bytes can carry.
func (c *Claim) narrow(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.span = min(c.span, spanThatFits(size))
}

// position is the offset to commit and its metadata, if there is anything to
// commit. committed tells it back.
func (c *Claim) position(metadataSize int) (offset int64, metadata string, since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changedAt.IsZero() || c.lost {
		return 0, "", time.Time{}, false
	}
	since, c.changedAt = c.changedAt, time.Time{}
	return c.tracker.base, encodeMetadata(c.tracker, c.open, metadataSize), since, true
}

// uncommitted puts back what position gave, because it was not committed.
func (c *Claim) uncommitted(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changedAt = since
}

// sawEnd notes the partition's end.
func (c *Claim) sawEnd(end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = max(c.end, end)
}

// lag is how many records of the partition are not settled in a row: from the
// offset to commit to the partition's end.
func (c *Claim) lag() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.end-c.tracker.base, 0)
}

// next is the offset that is to be fetched next.
func (c *Claim) next() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.next
}

// begin is the first offset that is to be fetched.
func (c *Claim) begin() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.base
}
