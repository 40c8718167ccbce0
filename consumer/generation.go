package consumer

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"verdict/internal/retry"

	"github.com/segmentio/kafka-go"
)

// ending is why a generation was ended from this side.
type ending uint8

const (
	groupEnded   ending = iota // the group or the process wants it
	topicChanged               // a topic has other partitions than at the start
	topicGone                  // a topic is not there any more
)

// commitTimeout bounds one request of a commit, restoreTimeout one that a
// generation begins with.
const (
	commitTimeout  = 5 * time.Second
	restoreTimeout = 10 * time.Second
)

// generation serves one generation of the group from its first fetch to its
// last commit. It is one function for all of the partitions, because kafka-go
// ends a generation as soon as one of its functions returns, and because what
// ends it has to be done in order: stop fetching, drain, commit, and only then
// let go, while the coordinator still takes this generation's commits.
func (c *Consumer) generation(ctx context.Context, gen *kafka.Generation) ending {
	if ctx.Err() != nil {
		return groupEnded // it was over before it began; nothing may be fetched
	}
	c.opts.Metrics.Rebalances.Inc()
	counts, _, err := c.partitions(ctx)
	for err != nil {
		c.state.failed(PartMetadata, err)
		if retry.Sleep(ctx, time.Second) != nil {
			return groupEnded
		}
		counts, _, err = c.partitions(ctx)
	}
	c.state.works(PartMetadata)
	total := sum(counts)

	com := &committer{consumer: c, gen: gen, wake: make(chan struct{}, 1), refused: make(chan struct{})}
	claims, err := c.restore(ctx, gen, com.dirty)
	if err != nil {
		return groupEnded
	}
	com.claims = claims
	// What could not be committed belongs to a generation that is over, and while
	// the service is paused for it nothing would settle that could be committed.
	c.state.works(PartCommit)
	c.log.Info("partitions assigned", "generation", gen.ID, "member", gen.MemberID, "owned", len(claims), "of", total)
	c.opts.Metrics.PartitionsAssigned.Set(float64(len(claims)))
	c.handler.Assigned(len(claims), total)

	fetching, stop := context.WithCancel(ctx)
	committing, stopCommits := context.WithCancel(context.WithoutCancel(ctx))
	var fetchers, commits sync.WaitGroup
	for _, claim := range claims {
		fetchers.Go(func() { c.fetch(fetching, claim) })
	}
	commits.Go(func() { com.run(committing) })
	why := c.watch(fetching, claims, counts, com)
	stop()

	// Drain while the readers close: they may sit in a long poll, and nothing
	// that they still bring is accepted.
	draining, stopDrain := context.WithTimeout(context.WithoutCancel(ctx), c.opts.DrainTimeout)
	c.handler.Drain(draining, claims)
	stopDrain()
	stopCommits()
	commits.Wait()
	com.last()
	for _, claim := range claims {
		claim.lose()
		c.opts.Metrics.ConsumerLag.DeleteLabelValues(claim.Topic, fmt.Sprint(claim.Partition))
	}
	fetchers.Wait()
	c.opts.Metrics.PartitionsAssigned.Set(0)
	c.handler.Assigned(0, total)
	c.log.Info("partitions given up", "generation", gen.ID, "owned", len(claims))
	return why
}

// watch returns when the generation is to end: its context ended, its commits
// are refused, or the topics changed. On the way it keeps the lag metric true.
func (c *Consumer) watch(ctx context.Context, claims []*Claim, counts map[string]int, com *committer) ending {
	ticker := time.NewTicker(c.opts.WatchInterval)
	defer ticker.Stop()
	c.lag(ctx, claims)
	for {
		select {
		case <-ctx.Done():
			return groupEnded
		case <-com.fenced():
			return groupEnded
		case <-ticker.C:
		}
		now, missing, err := c.partitions(ctx)
		switch {
		case ctx.Err() != nil:
			return groupEnded
		case err != nil:
			c.state.failed(PartMetadata, err)
			continue
		case len(missing) > 0:
			c.state.failed(PartTopics, fmt.Errorf("topic %s is gone; create it again or correct kafka.topics", strings.Join(missing, ", ")))
			c.firstSeen(nil, missing)
			return topicGone
		case !maps.Equal(now, counts):
			c.log.Info("the topics' partitions changed; joining again", "before", sum(counts), "now", sum(now))
			return topicChanged
		}
		c.state.works(PartMetadata)
		if c.lag(ctx, claims) {
			return topicChanged
		}
	}
}

// lag reads the partitions' ends, so that the lag is right also where nothing is
// fetched because the span or the lane is full. It says whether a partition ends
// before what was read of it: then it was made anew, and its reader would wait
// for the offset that it is at, past everything that comes until then.
func (c *Consumer) lag(ctx context.Context, claims []*Claim) (anew bool) {
	read := make([]int64, len(claims))
	for i, claim := range claims {
		read[i] = claim.next()
	}
	ends, err := c.offsets(ctx, claims, kafka.LastOffset)
	if err != nil {
		return false // the loops that matter report what is wrong with Kafka
	}
	for i, claim := range claims {
		if at, ok := ends[topicPartition{claim.Topic, claim.Partition}]; ok {
			if at.LastOffset < read[i] {
				c.log.Warn("a partition ends before what was read of it; joining again", "topic", claim.Topic, "partition", claim.Partition, "read", read[i], "end", at.LastOffset)
				c.firstSeen(nil, []string{claim.Topic})
				anew = true
			}
			claim.sawEnd(at.LastOffset)
		}
		c.showLag(claim)
	}
	return anew
}

func (c *Consumer) showLag(claim *Claim) {
	c.opts.Metrics.ConsumerLag.WithLabelValues(claim.Topic, fmt.Sprint(claim.Partition)).Set(float64(claim.lag()))
}
