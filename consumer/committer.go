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

const (
	// commitTimeout bounds one commit request, and the last commit of a
	// generation with its retries.
	commitTimeout = 5 * time.Second

	// smallestMetadata is the last size to try, in bytes, before commits go
	// without metadata.
	smallestMetadata = 64

	// recommitInterval is the time between commits of positions that have not
	// changed, in a generation that may have a commit under way still.
	recommitInterval = 10 * time.Second
)

// commitRetry is the back-off between attempts to commit, except for the last
// commit of a generation.
var commitRetry = retry.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// errFenced is the error of a commit whose member or generation the group no
// longer knows.
var errFenced = errors.New("the group no longer knows this member")

// committer commits what settles in the claims of one generation. The broker
// refuses its commits once the generation is over, so none of them can move the
// offset of a partition that has a new owner.
type committer struct {
	consumer *Consumer
	gen      *kafka.Generation
	claims   []*Claim
	due      chan struct{} // size 1: holds a token while a commit is due
	fenced   chan struct{} // closed by run when the group no longer knows this member
}

func newCommitter(c *Consumer, gen *kafka.Generation) *committer {
	return &committer{consumer: c, gen: gen, due: make(chan struct{}, 1), fenced: make(chan struct{})}
}

// notify makes a commit due. It does not block.
func (m *committer) notify() {
	select {
	case m.due <- struct{}{}:
	default:
	}
}

// run commits whenever a commit is due, until ctx ends. It gathers changes for
// half of the commit interval, which leaves the other half for the commit itself.
func (m *committer) run(ctx context.Context) {
	recommit := time.NewTicker(recommitInterval)
	defer recommit.Stop()
	for {
		select {
		case <-m.due:
		case <-recommit.C:
			if !m.recommit() {
				continue
			}
		case <-ctx.Done():
			return
		}
		if retry.Sleep(ctx, m.consumer.opts.CommitInterval/2) != nil {
			return
		}
		for failed := 1; ; failed++ {
			err := m.commit(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			if errors.Is(err, errFenced) {
				close(m.fenced)
				return
			}
			if retry.Sleep(ctx, commitRetry.Backoff(failed)) != nil {
				return
			}
		}
	}
}

// recommit makes every position due for a commit if a commit of this generation
// got no answer. Such a commit may still be in the network. If it arrived after
// later ones, nothing else would take back the position that it restores.
func (m *committer) recommit() bool {
	if m.consumer.unanswered != m.gen.ID {
		return false
	}
	for _, claim := range m.claims {
		claim.recommit()
	}
	return true
}

// commitLast commits what the drain settled, before the generation lets go of
// its partitions. It gives up after commitTimeout: what is not committed is read
// again, except by this member; see Consumer.unconfirmed.
func (m *committer) commitLast() {
	m.recommit()
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	for {
		err := m.commit(ctx)
		if err == nil {
			return
		}
		if errors.Is(err, errFenced) || retry.Sleep(ctx, 100*time.Millisecond) != nil {
			m.consumer.log.Warn("the last commit of the generation failed; if another instance takes over its partitions, it reads the decisions in it again", "generation", m.gen.ID, "err", err)
			return
		}
	}
}

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
		commit, since, ok := claim.takeCommit()
		if !ok {
			continue
		}
		all = append(all, taken{claim, since})
		topics[claim.Topic] = append(topics[claim.Topic], kafka.OffsetCommit{Partition: claim.Partition, Offset: commit.CommittedOffset, Metadata: commit.Metadata})
	}
	if len(all) == 0 {
		return nil
	}
	err := m.send(ctx, topics)
	if err != nil {
		for _, t := range all {
			t.claim.putBackCommit(t.since)
		}
		c.opts.Metrics.Commits.WithLabelValues(string(metrics.CommitError)).Inc()
		if ctx.Err() == nil && !errors.Is(err, errFenced) && !errors.Is(err, kafka.RebalanceInProgress) {
			c.health.failed(PartCommit, err)
		}
		return err
	}
	c.opts.Metrics.Commits.WithLabelValues(string(metrics.CommitOK)).Inc()
	c.health.recovered(PartCommit)
	for _, t := range all {
		t.claim.confirmCommit()
		c.showLag(t.claim)
	}
	return nil
}

// send makes one commit request. If the brokers refuse the metadata as too
// large, it makes the next one smaller.
func (m *committer) send(ctx context.Context, topics map[string][]kafka.OffsetCommit) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	answer, err := m.consumer.opts.Client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID:      m.gen.GroupID,
		GenerationID: int(m.gen.ID),
		MemberID:     m.gen.MemberID,
		Topics:       topics,
	})
	if err != nil {
		m.consumer.unanswered = m.gen.ID
		return fmt.Errorf("commit the offsets of group %s: %w", m.gen.GroupID, err)
	}
	for topic, partitions := range answer.Topics {
		for _, p := range partitions {
			switch {
			case p.Error == nil:
			case errors.Is(p.Error, kafka.IllegalGeneration), errors.Is(p.Error, kafka.UnknownMemberId), errors.Is(p.Error, kafka.FencedInstanceID):
				return fmt.Errorf("commit %s/%d: %w: %w", topic, p.Partition, errFenced, p.Error)
			case errors.Is(p.Error, kafka.OffsetMetadataTooLarge):
				m.narrow()
				return fmt.Errorf("commit %s/%d with metadata (raise the broker's offset.metadata.max.bytes): %w", topic, p.Partition, p.Error)
			default:
				return fmt.Errorf("commit %s/%d: %w", topic, p.Partition, p.Error)
			}
		}
	}
	return nil
}

// narrow halves the metadata, because the broker accepts less than its default.
// The claims then hold back what it might not carry.
func (m *committer) narrow() {
	c := m.consumer
	if c.metadataSize > smallestMetadata {
		c.metadataSize /= 2
	} else {
		c.metadataSize = 0
	}
	for _, claim := range m.claims {
		claim.narrow(c.metadataSize)
	}
}
