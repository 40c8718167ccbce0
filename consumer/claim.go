package consumer

import (
	"context"
	"sync"
	"time"

	"verdict/consumer/offsets"
	"verdict/internal/decision"
)

// Claim is this instance's hold on one partition for one generation of the
// group. It is lost when the generation ends. Settling a record after that does
// nothing, because the partition's next owner has begun from what was committed.
type Claim struct {
	Topic     string
	Partition int

	onChange func() // wakes the committer; called without mu

	// maybeAppliedBelow is the offset below which any record may have been
	// applied already, because the commit does not match the partition. Set by
	// restore; 0: none.
	maybeAppliedBelow int64

	mu        sync.Mutex // held for short pure sections only
	tracker   *offsets.Tracker
	span      int64                       // from the committed offset on, may be fetched
	metadata  int                         // bytes of metadata that the brokers accept with a commit
	open      map[int64]decision.Progress // of unsettled offsets that were attempted
	lost      bool
	changedAt time.Time     // when the oldest uncommitted change was made; zero: nothing to commit
	room      chan struct{} // closed when base moves while the fetch loop waits; nil: it does not wait
	end       int64         // the partition's end (high watermark), as far as known
}

// Settle records that the result or dead letter of the record at offset is
// acknowledged, so that the record need not be read again.
func (c *Claim) Settle(offset int64) {
	c.mu.Lock()
	if c.lost || !c.tracker.Settle(offset) {
		c.mu.Unlock()
		return
	}
	delete(c.open, offset)
	c.noteChange()
	c.mu.Unlock()
	c.onChange()
}

// Attempted records how far an unsettled decision got, so that the partition's
// next owner carries on from there.
func (c *Claim) Attempted(offset int64, p decision.Progress) {
	c.mu.Lock()
	if c.lost || c.tracker.Settled(offset) {
		c.mu.Unlock()
		return
	}
	if p == (decision.Progress{}) {
		delete(c.open, offset)
	} else {
		c.open[offset] = p
	}
	c.noteChange()
	c.mu.Unlock()
	c.onChange()
}

// Lost reports whether the partition may belong to another instance by now.
func (c *Claim) Lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// noteChange records that there is something to commit, and wakes the fetch
// loop. The caller holds mu.
func (c *Claim) noteChange() {
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

// track records that the record at offset was fetched. It waits while the span
// is full or a commit's metadata could not carry what settles. It returns whether
// the record is settled already, and otherwise the progress that it made with a
// previous owner.
func (c *Claim) track(ctx context.Context, offset int64) (settled bool, before decision.Progress, err error) {
	for {
		c.mu.Lock()
		if c.tracker.Fits(offset, c.span, c.metadata) {
			base := c.tracker.Base()
			settled = c.tracker.Track(offset)
			if c.tracker.Base() != base {
				c.noteChange() // a gap was passed: there is something to commit
			}
			before = c.open[offset]
			before.MaybeApplied = before.MaybeApplied || offset < c.maybeAppliedBelow
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

// narrow sets how many bytes of metadata the brokers accept with a commit.
func (c *Claim) narrow(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metadata = size
}

// recommit makes the position due for a commit, even if it has not changed.
func (c *Claim) recommit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changedAt.IsZero() {
		c.changedAt = time.Now()
	}
}

// takeCommit returns the offset to commit and its metadata, and when the oldest
// change in it was made. ok is false if there is nothing to commit.
func (c *Claim) takeCommit() (offset int64, metadata string, since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changedAt.IsZero() || c.lost {
		return 0, "", time.Time{}, false
	}
	since, c.changedAt = c.changedAt, time.Time{}
	return c.tracker.Base(), offsets.Encode(c.tracker, c.open, c.metadata), since, true
}

// putBackCommit undoes takeCommit after a commit that failed.
func (c *Claim) putBackCommit(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changedAt = since
}

// sawEnd records where the partition ends.
func (c *Claim) sawEnd(end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = max(c.end, end)
}

// lag returns the number of offsets from the one to commit to the partition's
// end.
func (c *Claim) lag() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.end-c.tracker.Base(), 0)
}

// backlog returns the number of offsets up to the partition's end that are not
// settled.
func (c *Claim) backlog() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.Unsettled(c.end)
}

// nextOffset returns the next offset to fetch.
func (c *Claim) nextOffset() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.Next()
}

// settledUntil returns the first offset from offset on that has to be fetched: the
// next one that is not settled, or the partition's end.
func (c *Claim) settledUntil(offset int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(c.tracker.SettledUntil(offset), c.end)
}

// firstOffset returns the first offset to fetch.
func (c *Claim) firstOffset() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.Base()
}
