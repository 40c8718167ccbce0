package consumer

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// watch returns when the generation has to end: its context ended, its commits
// are fenced, or the topics changed. Until then it keeps the lag metric up to
// date.
func (c *Consumer) watch(ctx context.Context, claims []*Claim, counts map[string]int, fenced <-chan struct{}) endReason {
	ticker := time.NewTicker(c.opts.WatchInterval)
	defer ticker.Stop()
	c.updateEnds(ctx, claims)
	for {
		select {
		case <-ctx.Done():
			return groupEnded
		case <-fenced:
			return groupEnded
		case <-ticker.C:
		}
		now, missing, err := c.countPartitions(ctx)
		switch {
		case ctx.Err() != nil:
			return groupEnded
		case err != nil:
			c.health.failed(PartMetadata, err)
			continue
		case len(missing) > 0:
			c.health.failed(PartTopics, fmt.Errorf("topic %s is gone; create it again or correct kafka.topics", strings.Join(missing, ", ")))
			c.startOver(claims, missing, false)
			return topicGone
		}
		again, err := c.madeAgain(ctx)
		switch {
		case len(again) > 0: // even if ctx has ended: it is said once
			c.log.Warn("topics were deleted and created again; joining the group again", "topics", again)
			c.startOver(claims, again, true)
			return topicChanged
		case ctx.Err() != nil:
			return groupEnded
		case err != nil:
			c.health.failed(PartMetadata, err)
			continue
		case !maps.Equal(now, counts):
			c.log.Info("the number of partitions changed; joining the group again", "before", sum(counts), "now", sum(now))
			return topicChanged
		}
		c.health.recovered(PartMetadata)
		if c.updateEnds(ctx, claims) {
			return topicChanged
		}
	}
}

// updateEnds reads where the partitions end, so that the lag is right even where
// nothing is fetched because the span or the lane is full. It reports whether a
// partition ends before an offset that was already read; see the package
// comment.
func (c *Consumer) updateEnds(ctx context.Context, claims []*Claim) (shrunk bool) {
	read := make([]int64, len(claims))
	for i, claim := range claims {
		read[i] = claim.nextOffset()
	}
	// The loops that depend on Kafka report what is wrong with it.
	ends, _ := c.listOffsets(ctx, claims, kafka.LastOffset)
	for i, claim := range claims {
		if !claim.isRestored() {
			continue
		}
		if at, ok := ends[topicPartition{claim.Topic, claim.Partition}]; ok {
			if at.LastOffset < read[i] {
				c.log.Warn("a partition ends before an offset that was already read; joining the group again", "topic", claim.Topic, "partition", claim.Partition, "read", read[i], "end", at.LastOffset)
				c.noteInitialPartitions(nil, []string{claim.Topic})
				shrunk = true
			}
			claim.sawEnd(at.LastOffset)
		}
		c.showLag(claim)
	}
	return shrunk
}

func (c *Consumer) showLag(claim *Claim) {
	c.opts.Metrics.ConsumerLag.WithLabelValues(claim.Topic, fmt.Sprint(claim.Partition)).Set(float64(claim.lag()))
}
