package consumer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

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
	counts, _, err := c.countPartitions(ctx)
	for err != nil {
		c.health.failed(PartMetadata, err)
		if retry.Sleep(ctx, time.Second) != nil {
			return groupEnded
		}
		counts, _, err = c.countPartitions(ctx)
	}
	c.health.recovered(PartMetadata)
	total := sum(counts)

	com := newCommitter(c, gen)
	claims, err := c.restoreClaims(ctx, gen, com.notify)
	if err != nil {
		return groupEnded
	}
	com.claims = claims
	// What could not be committed belongs to a generation that is over. The pause
	// for it must end here: while it lasts nothing settles, so no commit could
	// succeed and end it.
	c.health.recovered(PartCommit)
	c.log.Info("partitions assigned", "generation", gen.ID, "member", gen.MemberID, "owned", len(claims), "of", total)
	c.opts.Metrics.PartitionsAssigned.Set(float64(len(claims)))
	c.handler.Assigned(len(claims), total)

	fetching, stopFetching := context.WithCancel(ctx)
	committing, stopCommitting := context.WithCancel(context.WithoutCancel(ctx))
	var fetchers, commits sync.WaitGroup
	for _, claim := range claims {
		fetchers.Go(func() { c.fetch(fetching, claim) })
	}
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
	for _, claim := range claims {
		claim.lose()
		c.opts.Metrics.ConsumerLag.DeleteLabelValues(claim.Topic, fmt.Sprint(claim.Partition))
	}
	fetchers.Wait()
	c.opts.Metrics.PartitionsAssigned.Set(0)
	c.handler.Assigned(0, total)
	c.log.Info("partitions given up", "generation", gen.ID, "owned", len(claims))
	return reason
}
