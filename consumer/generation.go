package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/retry"
)

// endReason is why a generation ended on this side.
type endReason uint8

const (
	groupEnded   endReason = iota // the group or the process ended it
	topicChanged                  // a topic has other partitions than at the start
	topicGone                     // a topic no longer exists
)

// serve serves one generation of the group from its first fetch to its last
// commit. It is one function for all of the partitions, because kafka-go ends a
// generation as soon as one of its functions returns, and because its end has an
// order: stop fetching, drain, commit, and only then let go, while the
// coordinator still accepts this generation's commits.
func (c *Consumer) serve(ctx context.Context, gen *kafka.Generation) endReason {
	if ctx.Err() != nil {
		return groupEnded // it was over before it began; nothing may be fetched
	}
	c.opts.Metrics.Rebalances.Inc()
	com := newCommitter(c, gen)
	claims := c.newClaims(gen, com.notify)
	com.claims = claims
	var counts map[string]int
	var total int
	if c.untilDone(ctx, PartMetadata, func() (err error) { counts, _, err = c.countPartitions(ctx); return err }) != nil ||
		c.untilDone(ctx, PartMetadata, func() error {
			again, err := c.madeAgain(ctx)
			c.again = append(c.again, again...)
			return err
		}) != nil ||
		c.untilDone(ctx, PartGroup, func() (err error) { total, err = c.countAssigned(ctx, gen); return err }) != nil ||
		c.untilDone(ctx, PartOffsets, func() error { return c.restoreAll(ctx, gen, claims, counts) }) != nil {
		return groupEnded
	}
	c.again = nil
	// What could not be committed belongs to a generation that is over. The pause
	// for it must end here: while it lasts nothing settles, so no commit could
	// succeed and end it.
	c.health.recovered(PartCommit)
	c.log.Info("partitions assigned", "generation", gen.ID, "member", gen.MemberID, "owned", len(claims), "of", total)
	c.opts.Metrics.PartitionsAssigned.Set(float64(len(claims)))
	c.handler.Assigned(len(claims), total)
	c.owned.Store(&claims)

	fetching, stopFetching := context.WithCancel(ctx)
	committing, stopCommitting := context.WithCancel(context.WithoutCancel(ctx))
	var fetchers, commits sync.WaitGroup
	for _, claim := range claims {
		fetchers.Go(func() { c.fetch(fetching, claim, max(min(c.opts.ReadAhead/len(claims), 1<<20), 1)) })
	}
	com.notify() // restoring may have moved positions
	commits.Go(func() { com.run(committing) })
	reason := c.watch(fetching, claims, counts, com.fenced)
	stopFetching()

	// Drain while the readers close: they may sit in a long poll, and nothing
	// that they still bring is accepted.
	draining, stopDraining := context.WithTimeout(context.WithoutCancel(ctx), c.opts.DrainTimeout)
	c.handler.Drain(draining, claims)
	stopDraining()
	stopCommitting()
	commits.Wait()
	com.commitLast()
	c.owned.Store(nil)
	for _, claim := range claims {
		c.unconfirmed[topicPartition{claim.Topic, claim.Partition}] = claim.lose()
		c.opts.Metrics.ConsumerLag.DeleteLabelValues(claim.Topic, fmt.Sprint(claim.Partition))
	}
	fetchers.Wait()
	c.opts.Metrics.PartitionsAssigned.Set(0)
	c.handler.Assigned(0, total)
	c.log.Info("partitions given up", "generation", gen.ID, "owned", len(claims))
	return reason
}

// untilDone calls do until it succeeds or ctx ends, and reports what fails
// meanwhile as a failure of part.
func (c *Consumer) untilDone(ctx context.Context, part Part, do func() error) error {
	for {
		err := do()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			c.health.recovered(part)
			return nil
		}
		if !errors.Is(err, kafka.RebalanceInProgress) {
			c.health.failed(part, err)
		}
		if err := retry.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// countAssigned returns how many partitions the members of a generation own
// together: the whole of which each one's partitions are a share. What a member
// knows of the topics can't be that. While partitions are added, or where members
// read different topics, each would count to another number, and their shares
// could add up to more than one.
func (c *Consumer) countAssigned(ctx context.Context, gen *kafka.Generation) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	state, err := broker.DescribeGroup(ctx, c.opts.Client, gen.GroupID)
	if err != nil {
		return 0, err
	}
	total, current := 0, false
	for _, m := range state.Members {
		// No later generation has this member, as it joins none before this ends.
		current = current || m.MemberID == gen.MemberID
		for _, t := range m.MemberAssignments.Topics {
			total += len(t.Partitions)
		}
	}
	if state.State != "Stable" || !current {
		return 0, fmt.Errorf("describe group %s: %w", gen.GroupID, kafka.RebalanceInProgress)
	}
	return total, nil
}
