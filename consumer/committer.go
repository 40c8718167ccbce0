package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/retry"
	"verdict/metrics"
)

// committer commits what settles in the claims of one generation. The broker
// refuses its commits once the generation is over, so that none of them can
// move the offset of a partition that has a new owner.
type committer struct {
	consumer *Consumer
	gen      *kafka.Generation
	claims   []*Claim
	wake     chan struct{} // size 1: full means that a commit is due already
	refused  chan struct{} // closed when the group does not know this member any more
}

// dirty tells that a claim has something to commit.
func (m *committer) dirty() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// fenced is closed when the group has moved on without this member.
func (m *committer) fenced() <-chan struct{} { return m.refused }

// run commits from time to time until ctx ends. Half of the commit interval
// goes by gathering, so that the other half is left for the commit itself.
func (m *committer) run(ctx context.Context) {
	for {
		select {
		case <-m.wake:
		case <-ctx.Done():
			return
		}
		if retry.Sleep(ctx, m.consumer.opts.CommitInterval/2) != nil {
			return
		}
		pause := 100 * time.Millisecond
		for {
			err := m.commit(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			if errors.Is(err, errFenced) {
				close(m.refused)
				return
			}
			if retry.Sleep(ctx, pause) != nil {
				return
			}
			pause = min(2*pause, 5*time.Second)
		}
	}
}

// last commits what the drain settled, before the generation is let go. It
// tries for as long as a commit may take, and then leaves it: what is not
// committed is read again.
func (m *committer) last() {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	for {
		err := m.commit(ctx)
		if err == nil {
			return
		}
		if errors.Is(err, errFenced) || retry.Sleep(ctx, 100*time.Millisecond) != nil {
			m.consumer.log.Warn("the last commit of the generation did not succeed; what it held will be read again", "generation", m.gen.ID, "err", err)
			return
		}
	}
}

var errFenced = errors.New("the group does not know this member any more")

// commit commits every claim that changed, in one request.
func (m *committer) commit(ctx context.Context) error {
	c := m.consumer
	type taken struct {
		claim *Claim
		since time.Time
	}
	var all []taken
	topics := make(map[string][]kafka.OffsetCommit)
	for _, claim := range m.claims {
		offset, metadata, since, ok := claim.position(c.metadataSize)
		if !ok {
			continue
		}
		all = append(all, taken{claim, since})
		topics[claim.Topic] = append(topics[claim.Topic], kafka.OffsetCommit{Partition: claim.Partition, Offset: offset, Metadata: metadata})
	}
	if len(all) == 0 {
		return nil
	}
	err := m.send(ctx, topics)
	if err != nil {
		for _, t := range all {
			t.claim.uncommitted(t.since)
		}
		c.opts.Metrics.Commits.WithLabelValues(string(metrics.CommitError)).Inc()
		if ctx.Err() == nil && !errors.Is(err, errFenced) && !errors.Is(err, kafka.RebalanceInProgress) {
			c.state.failed(PartCommit, err)
		}
		return err
	}
	c.opts.Metrics.Commits.WithLabelValues(string(metrics.CommitOK)).Inc()
	c.state.works(PartCommit)
	for _, t := range all {
		c.showLag(t.claim)
	}
	return nil
}

func (m *committer) send(ctx context.Context, topics map[string][]kafka.OffsetCommit) error {
	c := m.consumer
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	answer, err := c.opts.Client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID:      m.gen.GroupID,
		GenerationID: int(m.gen.ID),
		MemberID:     m.gen.MemberID,
		Topics:       topics,
	})
	if err != nil {
		return fmt.Errorf("commit the offsets of group %s: %w", m.gen.GroupID, err)
	}
	for topic, partitions := range answer.Topics {
		for _, p := range partitions {
			switch {
			case p.Error == nil:
			case errors.Is(p.Error, kafka.IllegalGeneration), errors.Is(p.Error, kafka.UnknownMemberId), errors.Is(p.Error, kafka.FencedInstanceID):
				return fmt.Errorf("commit %s/%d: %w: %w", topic, p.Partition, errFenced, p.Error)
			case errors.Is(p.Error, kafka.OffsetMetadataTooLarge):
				// The broker takes less than its default. Hold the span back to
				// what it does take, and try again with half.
				if c.metadataSize > 64 {
					c.metadataSize /= 2
				} else {
					c.metadataSize = 0
				}
				for _, claim := range m.claims {
					claim.narrow(c.metadataSize)
				}
				return fmt.Errorf("commit %s/%d with metadata (raise the broker's offset.metadata.max.bytes): %w", topic, p.Partition, p.Error)
			default:
				return fmt.Errorf("commit %s/%d: %w", topic, p.Partition, p.Error)
			}
		}
	}
	return nil
}
