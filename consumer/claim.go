package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/consumer/offsets"
	"verdict/internal/decision"
	"verdict/internal/retry"
)

// Claim is this instance's hold on one partition for one generation of the
// group. It is lost when the generation ends. Settling a record after that does
// nothing, because the partition's next owner has begun from what was committed.
type Claim struct {
	Topic     string
	Partition int

	onChange func() // wakes the committer; called without mu
	readAt   func(ctx context.Context, topic string, partition int, offsets []int64) ([]decision.Record, error)

	added bool // the group began with the topic when it did not have this partition

	// commits are those that Kafka may have: one that it had, and later ones that it did not
	// confirm. The last one is where the claim begins. Written by restoreAll, later under mu.
	commits []kafka.OffsetFetchPartition
	again   bool // they were in another topic of this name

	// seenBelow is the offset below which records of such a topic were read, and some of
	// this one may have been; 0: of none.
	seenBelow int64

	mu        sync.Mutex // held for short pure sections only
	restored  bool       // it is where the last of commits left off; until then it has no records
	tracker   *offsets.Tracker
	span      int64                       // from the committed offset on, may be fetched; never changes
	metadata  int                         // bytes of metadata that the brokers accept with a commit
	open      map[int64]decision.Progress // of unsettled offsets that were attempted
	lost      bool
	over      bool          // it is lost because its topic is; the next commit says so
	changedAt time.Time     // when the oldest uncommitted change was made; zero: nothing to commit
	room      chan struct{} // closed when base moves while the fetch loop waits; nil: it does not wait
	end       int64         // the partition's end (high watermark), as far as known

	maybeAppliedBelow int64 // see start
}

// start is where a claim begins.
type start struct {
	tracker *offsets.Tracker
	open    map[int64]decision.Progress // of offsets that were attempted
	end     int64                       // of the partition
	commit  bool                        // it is to be committed even if nothing settles

	// maybeAppliedBelow is the offset below which any record may have been
	// applied already, because the commit does not match the partition; 0: none.
	maybeAppliedBelow int64
}

// begin puts the claim where it begins. Until then it has no records.
func (c *Claim) begin(s start) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restored, c.tracker, c.end, c.maybeAppliedBelow = true, s.tracker, s.end, s.maybeAppliedBelow
	c.open = make(map[int64]decision.Progress)
	for offset, p := range s.open {
		if !s.tracker.Settled(offset) {
			c.open[offset] = p
		}
	}
	if s.commit {
		c.noteChange()
	}
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

// fetchTimeout bounds one request for records that are read again.
const fetchTimeout = 10 * time.Second

// Fetch reads records of the partition once more, at offsets that ascend. It leaves out
// those that are gone, by retention or compaction. It retries until ctx ends.
func (c *Claim) Fetch(ctx context.Context, at []int64) (records []decision.Record, err error) {
	for {
		try, cancel := context.WithTimeout(ctx, fetchTimeout)
		records, err = c.readAt(try, c.Topic, c.Partition, at)
		cancel()
		if err == nil {
			return records, nil
		}
		if retry.Sleep(ctx, time.Second) != nil {
			return nil, ctx.Err()
		}
	}
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

// lose ends the claim. It returns the commits that Kafka may have.
func (c *Claim) lose() []kafka.OffsetFetchPartition {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost, c.over = true, false
	return c.commits
}

// startOver ends the claim because its topic was deleted. If there is another one of its
// name, what is committed is where that begins; else nothing is. It returns the next offset
// that was to be fetched, and how many up to the partition's end were not settled.
func (c *Claim) startOver(again bool) (next, unsettled int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, unsettled = c.tracker.Next(), c.tracker.Unsettled(c.end)
	c.tracker, c.open, c.end = offsets.NewTracker(0), nil, 0
	c.lost, c.over = true, again
	c.noteChange()
	return next, unsettled
}

// track records that the record at offset was fetched. It waits while the span
// is full or a commit's metadata could not carry what settles. It returns whether
// the record is settled or was tracked already, and otherwise the progress that it made
// with a previous owner.
func (c *Claim) track(ctx context.Context, offset int64) (known bool, before decision.Progress, err error) {
	err = c.await(ctx, offset, func() {
		known = offset < c.tracker.Next()
		known = c.tracker.Track(offset) || known
		before = c.open[offset]
		before.MaybeApplied = before.MaybeApplied || offset < c.maybeAppliedBelow
	})
	return known, before, err
}

var errLost = errors.New("consumer: the partition is lost")

// await calls do, which moves on to offset, once the span and the metadata have room for
// that.
func (c *Claim) await(ctx context.Context, offset int64, do func()) error {
	for {
		c.mu.Lock()
		if c.lost {
			c.mu.Unlock()
			return errLost
		}
		if c.tracker.Fits(offset, c.span, c.metadata) {
			base := c.tracker.Base()
			do()
			if c.tracker.Base() != base {
				c.noteChange() // a gap was passed: there is something to commit
			}
			c.mu.Unlock()
			return nil
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pass records that there is nothing to fetch before next: markers, aborted transactions,
// and what was compacted away or deleted. It waits like track.
func (c *Claim) pass(ctx context.Context, next int64) error {
	if next <= c.nextOffset() {
		return nil
	}
	return c.await(ctx, next, func() { c.tracker.Pass(next) })
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

// takeCommit returns what to commit, and when the oldest change in it was made. ok is
// false if there is nothing to commit.
func (c *Claim) takeCommit() (commit kafka.OffsetFetchPartition, since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changedAt.IsZero() || c.lost && !c.over || !c.restored {
		return commit, since, false
	}
	since, c.changedAt = c.changedAt, time.Time{}
	commit = kafka.OffsetFetchPartition{Partition: c.Partition, CommittedOffset: c.tracker.Base(), Metadata: offsets.Encode(c.tracker, c.open, c.metadata)}
	if commit != c.commits[len(c.commits)-1] {
		c.commits = append(c.commits, commit)
	}
	if len(c.commits) > maxCommits {
		c.commits = slices.Delete(c.commits, 1, 2)
	}
	return commit, since, true
}

// maxCommits is how many commits that Kafka may have are remembered.
const maxCommits = 16

// confirmCommit records that Kafka has the commit taken last.
func (c *Claim) confirmCommit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits = c.commits[len(c.commits)-1:]
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

// unsettled returns the number of offsets from one up to another that are not settled.
func (c *Claim) unsettled(from, to int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.Unsettled(to) - c.tracker.Unsettled(from)
}

// isRestored reports whether the claim is where its partition's commit left off.
func (c *Claim) isRestored() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restored
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
