package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"verdict/consumer/offsets"
	"verdict/internal/retry"
)

// restoreTimeout bounds one request for the offsets of a generation's partitions.
const restoreTimeout = 10 * time.Second

type topicPartition struct {
	topic     string
	partition int
}

// newClaims returns the claims of a generation, which are yet to be restored.
func (c *Consumer) newClaims(gen *kafka.Generation, onChange func()) (claims []*Claim) {
	for topic, partitions := range gen.Assignments {
		for _, p := range partitions {
			claims = append(claims, &Claim{Topic: topic, Partition: p.ID, onChange: onChange, readAt: c.opts.ReadAt, tracker: offsets.NewTracker(0), span: int64(c.opts.MaxUncommitted), metadata: c.metadataSize})
		}
	}
	return claims
}

// restoreAll puts each claim where its partition's commit left off. A partition whose
// bounds can't be read, since it has no leader, is left to its own loop: it holds nobody
// else. It fails if that is so of all. The commits of topics that were made again are those
// of others.
func (c *Consumer) restoreAll(ctx context.Context, gen *kafka.Generation, claims []*Claim, counts map[string]int) error {
	if len(claims) == 0 {
		return nil
	}
	partitions := maps.Clone(counts)
	for _, claim := range claims { // the counts may be of before some were added
		partitions[claim.Topic] = max(partitions[claim.Topic], claim.Partition+1)
	}
	commits, err := c.fetchCommits(ctx, partitions)
	if err != nil {
		return err
	}
	begun := make(map[string]bool) // topics of which the group has commits
	for at, commit := range commits {
		begun[at.topic] = begun[at.topic] || commit.CommittedOffset >= 0
		// Kafka forgets the commits of a topic that is deleted; so must this member.
		if commit.CommittedOffset < 0 || !slices.Contains(c.unconfirmed[at], commit) {
			delete(c.unconfirmed, at)
		}
	}
	for _, claim := range claims {
		at := topicPartition{claim.Topic, claim.Partition}
		commit, ok := commits[at]
		if !ok {
			return fmt.Errorf("read the commit of %s/%d: the brokers' answer leaves it out", claim.Topic, claim.Partition)
		}
		if claim.commits = c.unconfirmed[at]; claim.commits == nil {
			claim.commits = []kafka.OffsetFetchPartition{commit}
		}
		claim.again, claim.seenBelow = slices.Contains(c.again, claim.Topic), c.seenBelow[at]
		// In its first generation a member may commit before another one has read where it
		// begins.
		claim.added = begun[claim.Topic] && gen.ID > 1
	}
	bounds, err := c.listOffsets(ctx, claims, kafka.FirstOffset, kafka.LastOffset)
	if len(bounds) == 0 {
		return err
	}
	for _, claim := range claims {
		if bound, ok := bounds[topicPartition{claim.Topic, claim.Partition}]; ok {
			c.restoreClaim(claim, bound)
		}
	}
	return nil
}

// restoreLate restores a claim that restoreAll left, once its partition has a leader.
func (c *Consumer) restoreLate(ctx context.Context, claim *Claim) error {
	log := c.log.With("topic", claim.Topic, "partition", claim.Partition)
	for failed := 1; !claim.isRestored(); failed++ {
		bounds, err := c.listOffsets(ctx, []*Claim{claim}, kafka.FirstOffset, kafka.LastOffset)
		if bound, ok := bounds[topicPartition{claim.Topic, claim.Partition}]; ok {
			c.restoreClaim(claim, bound)
			if failed > 1 {
				log.Info("the partition is read again")
			}
			return nil
		}
		if failed == 1 {
			log.Error("a partition can't be read; the others go on", "err", err)
		}
		if err := retry.Sleep(ctx, lateRetry.Backoff(failed)); err != nil {
			return err
		}
	}
	return nil
}

// lateRetry is the back-off for a partition that can't be read for a while, such as one
// without a leader.
var lateRetry = retry.Policy{Min: time.Second, Max: 10 * time.Second}

// restoreClaim decides where a claim begins and restores what the commit's
// metadata says about the offsets from there on.
func (c *Consumer) restoreClaim(claim *Claim, bound kafka.PartitionOffsets) {
	commit := claim.commits[len(claim.commits)-1]
	log := c.log.With("topic", claim.Topic, "partition", claim.Partition)
	s := start{end: bound.LastOffset, commit: true, maybeAppliedBelow: claim.seenBelow}
	base, metadata := commit.CommittedOffset, commit.Metadata
	settled := settledEnd(commit)
	switch {
	case base < 0:
		// It is committed even if nothing settles: a group that began at the end and was
		// restarted must not begin at a later end.
		base, metadata = bound.FirstOffset, ""
		if c.opts.StartLatest && !claim.added && claim.Partition < c.initialPartitions[claim.Topic] {
			base = bound.LastOffset
		}
	case claim.again, settled > bound.LastOffset:
		if !claim.again {
			log.Error("the commit reaches beyond the partition's end, so the topic was created again or lost records; reading it from its start, and checking each task before it is completed",
				"committed", base, "settled", settled, "end", bound.LastOffset)
		}
		s.maybeAppliedBelow = settled
		base, metadata = bound.FirstOffset, ""
	case base < bound.FirstOffset:
		before, _, _ := offsets.Restore(base, metadata, base)
		c.lose(claim, base, bound.FirstOffset, before.Unsettled(bound.FirstOffset))
		base = bound.FirstOffset
	default:
		s.commit = len(claim.commits) > 1
	}
	var err error
	if s.tracker, s.open, err = offsets.Restore(commit.CommittedOffset, metadata, base); errors.Is(err, offsets.ErrMetadata) {
		log.Warn("ignoring commit metadata that Verdict did not write", "committed", base)
	}
	claim.begin(s)
}

// settledEnd returns the end of what a commit says is settled.
func settledEnd(commit kafka.OffsetFetchPartition) int64 {
	tracker, _, _ := offsets.Restore(commit.CommittedOffset, commit.Metadata, commit.CommittedOffset)
	return tracker.Top()
}

// listOffsets returns the offsets of the claims' partitions at the given
// timestamps: kafka.FirstOffset, kafka.LastOffset or both. With an error it returns those
// that were found.
func (c *Consumer) listOffsets(ctx context.Context, claims []*Claim, timestamps ...int64) (map[topicPartition]kafka.PartitionOffsets, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	found, err := c.askOffsets(ctx, claims, timestamps)
	if err == nil || len(claims) == 1 || ctx.Err() != nil {
		return found, err
	}
	// kafka-go fails for all partitions where one has no leader.
	var mu sync.Mutex
	var asking errgroup.Group
	asking.SetLimit(16)
	found = make(map[topicPartition]kafka.PartitionOffsets)
	for _, claim := range claims {
		asking.Go(func() error {
			one, err := c.askOffsets(ctx, []*Claim{claim}, timestamps)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(found, one)
			return err
		})
	}
	err = asking.Wait()
	return found, err
}

func (c *Consumer) askOffsets(ctx context.Context, claims []*Claim, timestamps []int64) (map[topicPartition]kafka.PartitionOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	topics := make(map[string][]kafka.OffsetRequest)
	for _, claim := range claims {
		for _, timestamp := range timestamps {
			topics[claim.Topic] = append(topics[claim.Topic], kafka.OffsetRequest{Partition: claim.Partition, Timestamp: timestamp})
		}
	}
	answer, err := c.opts.Client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: topics, IsolationLevel: kafka.ReadCommitted})
	if err != nil {
		return nil, fmt.Errorf("read the partitions' offsets: %w", err)
	}
	found := make(map[topicPartition]kafka.PartitionOffsets)
	for topic, partitions := range answer.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return nil, fmt.Errorf("read the offsets of %s/%d: %w", topic, p.Partition, p.Error)
			}
			found[topicPartition{topic, p.Partition}] = p
		}
	}
	return found, nil
}

// fetchCommits returns what the group committed for so many partitions of each topic.
func (c *Consumer) fetchCommits(ctx context.Context, counts map[string]int) (map[topicPartition]kafka.OffsetFetchPartition, error) {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	topics := make(map[string][]int)
	for topic, count := range counts {
		for partition := range count {
			topics[topic] = append(topics[topic], partition)
		}
	}
	answer, err := c.opts.Client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: c.opts.GroupID, Topics: topics})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return nil, fmt.Errorf("read the commits of group %s: %w", c.opts.GroupID, err)
	}
	found := make(map[topicPartition]kafka.OffsetFetchPartition)
	for topic, partitions := range answer.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return nil, fmt.Errorf("read the commit of %s/%d: %w", topic, p.Partition, p.Error)
			}
			found[topicPartition{topic, p.Partition}] = p
		}
	}
	return found, nil
}
