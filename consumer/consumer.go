// Package consumer reads decisions from Kafka as a member of a consumer group
// and commits the settled ones. It owns the partition side of a decision's life:
// fetched, tracked, handed over and, once settled, committed. A commit holds the
// end of the settled prefix and, in its metadata, the set settled beyond it
// (package offsets), so that a restart or a rebalance repeats nothing.
//
// What a record means and what is done about it is left to the Handler.
// Connections come from package broker. A failure of Kafka is reported by
// Options.OnHealthChange and retried; pausing work meanwhile is left to others.
//
// # Not obvious
//
// One function serves a whole generation of the group, instead of one per
// partition: kafka-go ends a generation as soon as one of its functions returns,
// and stop, drain, commit, let go must happen in this order. Heartbeats stop
// with the generation, so the drain must be shorter than both of Kafka's
// timeouts.
//
// If a partition ends before an offset that was already read, its topic was
// deleted and created again, or it lost records. Its loop would wait for the
// old offset and pass over everything before it, so the member joins the group
// again and reads from the start; below the old commit each decision counts as
// MaybeApplied. A topic that was created again has another ID too, however much it
// holds by then. Kafka before 2.8 has no IDs: there a topic that outgrew the old position
// within one WatchInterval can't be told from the old one.
//
// kafka-go assigns nothing at all while one of the topics is missing, so a
// member joins only once every topic exists.
package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/segmentio/kafka-go"

	"verdict/consumer/offsets"
	"verdict/internal/broker"
)

// Consumer is one member of the group.
type Consumer struct {
	opts    Options
	handler Handler
	log     *slog.Logger
	health  *health
	joined  atomic.Bool
	owned   atomic.Pointer[[]*Claim] // of the current generation; nil: none. Stored by serve

	// metadataSize is how many bytes of metadata the brokers have been seen to
	// accept with a commit. Only the committer of the current generation reads
	// and writes it, and restore before that committer runs.
	metadataSize int

	// unanswered is the last generation in which a commit got no answer; -1: none.
	// A member that joins again may get the same generation. Only the committer
	// reads and writes it.
	unanswered int32

	// unconfirmed is Claim.commits of the partitions that this member had. When it restores
	// one and Kafka has any of them, nobody else has committed since, so the last one holds
	// even if it never reached Kafka. Only the current generation reads and writes it.
	unconfirmed map[topicPartition][]kafka.OffsetFetchPartition

	// initialPartitions is how many partitions each topic had when this process
	// first saw it. Without a commit, StartLatest applies to those alone: a
	// younger partition has only records that arrived while the group was
	// there. Only the current generation, and awaitTopics between two of them,
	// read and write it.
	initialPartitions map[string]int

	// topicIDs are those of the topics when they were looked at last, again are the topics
	// that were made again between two generations, and seenBelow is how far partitions were
	// read of topics that were deleted since this process began. Only the current generation
	// reads and writes them.
	topicIDs  map[string]broker.TopicID
	again     []string
	seenBelow map[topicPartition]int64
}

// New returns a Consumer that hands its records to handler. It dials nothing
// before Run.
func New(opts Options, handler Handler) (*Consumer, error) {
	opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	return &Consumer{
		opts:              opts,
		handler:           handler,
		log:               opts.Logger,
		health:            &health{onChange: opts.OnHealthChange},
		metadataSize:      offsets.DefaultMetadataSize,
		unanswered:        -1,
		unconfirmed:       make(map[topicPartition][]kafka.OffsetFetchPartition),
		initialPartitions: make(map[string]int),
		topicIDs:          make(map[string]broker.TopicID),
		seenBelow:         make(map[topicPartition]int64),
	}, nil
}

// Run takes part in the group until ctx ends, then drains, commits and leaves.
// It retries whatever fails in Kafka; it returns an error only if no retry can
// help.
func (c *Consumer) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.awaitTopics(ctx); err != nil {
			return nil // ctx ended
		}
		if err := c.join(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Joined reports whether this instance is a member of the group, with or
// without partitions. It remains one between the generations of a rebalance.
func (c *Consumer) Joined() bool { return c.joined.Load() }

// Owned returns how many partitions this instance owns.
func (c *Consumer) Owned() int { return len(c.claims()) }

// Backlog returns, by topic, how many records in the partitions that this instance
// owns are not settled, however the commits stand. Between two generations it owns
// none.
func (c *Consumer) Backlog() map[string]int64 {
	all := make(map[string]int64)
	for _, claim := range c.claims() {
		all[claim.Topic] += claim.backlog()
	}
	return all
}

func (c *Consumer) claims() []*Claim {
	if claims := c.owned.Load(); claims != nil {
		return *claims
	}
	return nil
}

// kafkaLog returns a logger that passes what kafka-go logs on as debug lines.
// The code that gets the error reports what matters.
func kafkaLog(log *slog.Logger) kafka.Logger {
	return kafka.LoggerFunc(func(msg string, args ...any) {
		log.Debug("kafka-go", "msg", strings.TrimSpace(fmt.Sprintf(msg, args...)))
	})
}
