// Package consumer reads decisions from Kafka as a member of a consumer group
// and commits what became of them. It owns the partition side of a decision's
// life: fetched, tracked, handed over, and, once settled, committed: as a
// prefix, with the set settled beyond it in the commit's metadata, so that a
// restart or a rebalance repeats nothing.
//
// What a record means and what is done about it is left to the Handler.
package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/decision"
	"verdict/internal/retry"
	"verdict/metrics"
)

// Handler carries out what the consumer reads.
type Handler interface {
	// Assigned tells, before the first record of a generation, how many
	// partitions this instance owns of all that the group's topics have.
	Assigned(owned, total int)
	// Accept takes a record over and returns at once or, while there is no room
	// for it, waits; an error means that it was not taken. Each record taken
	// ends in claim.Settle, or in nothing once the claim is lost. attempts and
	// unclear are what an owner before told by claim.Attempted.
	Accept(ctx context.Context, claim *Claim, rec decision.Record, before decision.Progress) error
	// Drain gives up the records of these claims that are not begun, and
	// returns when the others are settled, or given up because ctx ended.
	Drain(ctx context.Context, claims []*Claim)
}

// Options configure a Consumer.
type Options struct {
	Brokers []string      // host:port; at least one
	Dialer  *kafka.Dialer // for the group and the fetch loops
	Client  *kafka.Client // for offsets, metadata and commits

	GroupID     string
	Topics      []string // that the group reads; at least one
	UserData    []byte   // what this member tells the others of itself, seen by whoever describes the group; nil: nothing
	StartLatest bool     // where a partition without a commit begins: at its end, not at its start

	CommitInterval   time.Duration // longest time from settled to committed; 0: 200ms
	MaxUncommitted   int           // offsets fetched beyond the committed one, a partition; 0: 20000
	SessionTimeout   time.Duration // 0: 30s
	RebalanceTimeout time.Duration // 0: 30s
	DrainTimeout     time.Duration // for what is begun when a generation ends; less than both above; 0: 25s
	WatchInterval    time.Duration // between looks at the topics' partitions and ends; 0: 5s

	Metrics *metrics.Metrics
	Logger  *slog.Logger
	// OnHealthChange is told when a part of the dealings with Kafka begins to fail,
	// with the error, and when it works again, with nil. Calls are made one at a
	// time and must be quick. Nil: nobody is told.
	OnHealthChange func(part Part, err error)
}

func (o *Options) withDefaults() {
	o.CommitInterval = cmp.Or(o.CommitInterval, 200*time.Millisecond)
	o.MaxUncommitted = cmp.Or(o.MaxUncommitted, 20000)
	o.SessionTimeout = cmp.Or(o.SessionTimeout, 30*time.Second)
	o.RebalanceTimeout = cmp.Or(o.RebalanceTimeout, 30*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 25*time.Second)
	o.WatchInterval = cmp.Or(o.WatchInterval, 5*time.Second)
	if o.OnHealthChange == nil {
		o.OnHealthChange = func(Part, error) {}
	}
}

func (o *Options) validate() error {
	switch {
	case len(o.Brokers) == 0:
		return errors.New("consumer: Brokers: at least one is needed")
	case o.Dialer == nil || o.Client == nil || o.Metrics == nil || o.Logger == nil:
		return errors.New("consumer: Dialer, Client, Metrics and Logger are needed")
	case o.GroupID == "":
		return errors.New("consumer: GroupID: missing")
	case len(o.Topics) == 0:
		return errors.New("consumer: Topics: at least one is needed")
	case o.DrainTimeout >= min(o.SessionTimeout, o.RebalanceTimeout):
		return errors.New("consumer: DrainTimeout: must be less than SessionTimeout and RebalanceTimeout, or the next owner starts before this one is done")
	}
	return nil
}

// Consumer is one member of the group.
type Consumer struct {
	opts    Options
	handler Handler
	log     *slog.Logger
	state   *state
	joined  atomic.Bool

	// metadataSize is what the brokers were seen to take as a commit's
	// metadata, in bytes. Only the one committer of the one generation at a
	// time reads and writes it.
	metadataSize int

	// since is how many partitions of each topic were there when this process
	// first looked. Where the group has no commit, StartLatest is for those
	// alone: what came into a younger partition came while the group was there.
	// Only the one generation at a time, and awaitTopics between two of them,
	// read and write it.
	since map[string]int
}

// New is a Consumer that hands its records to handler. Nothing is dialed before
// Run.
func New(opts Options, handler Handler) (*Consumer, error) {
	opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	return &Consumer{
		opts:         opts,
		handler:      handler,
		log:          opts.Logger,
		state:        &state{tell: opts.OnHealthChange},
		metadataSize: defaultMetadataSize,
		since:        make(map[string]int),
	}, nil
}

// Run takes part in the group until ctx ends, then drains, commits and leaves.
// Whatever goes wrong with Kafka on the way it waits out; the error is only
// ever one that waiting can't mend.
func (c *Consumer) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.awaitTopics(ctx); err != nil {
			return nil // ctx ended
		}
		if err := c.member(ctx); err != nil {
			return err
		}
	}
	return nil
}

// member joins the group and serves one generation after the other until ctx
// ends or a topic is gone.
func (c *Consumer) member(ctx context.Context) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                c.opts.GroupID,
		Brokers:           c.opts.Brokers,
		Dialer:            c.opts.Dialer,
		Topics:            c.opts.Topics,
		GroupBalancers:    []kafka.GroupBalancer{balancer{c.opts.UserData}},
		HeartbeatInterval: max(c.opts.SessionTimeout/10, 100*time.Millisecond),
		SessionTimeout:    c.opts.SessionTimeout,
		RebalanceTimeout:  c.opts.RebalanceTimeout,
		JoinGroupBackoff:  time.Second,
		StartOffset:       kafka.FirstOffset, // what a generation really begins with is worked out by restore
		Timeout:           10 * time.Second,
		Logger:            kafkaLog(c.log),
	})
	if err != nil {
		return fmt.Errorf("join group %s: %w", c.opts.GroupID, err)
	}
	var generations sync.WaitGroup // kafka-go does not wait for one that was over when it began
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			// Close waits for the generation, if there is one, to drain and
			// commit, and then leaves the group.
			_ = group.Close()
			generations.Wait()
			c.joined.Store(false)
			return nil
		case err != nil:
			// The group goes on trying by itself.
			if !errors.Is(err, kafka.RebalanceInProgress) {
				c.joined.Store(false)
				c.state.failed(PartGroup, fmt.Errorf("join group %s: %w", c.opts.GroupID, err))
			}
		default:
			c.state.works(PartGroup)
			c.joined.Store(true)
			generations.Add(1)
			gen.Start(func(genCtx context.Context) {
				defer generations.Done()
				if c.generation(genCtx, gen) == topicGone {
					leave()
				}
			})
		}
	}
}

// awaitTopics waits until every topic is there. To join without would not do:
// kafka-go assigns nothing at all while one of the topics is missing.
func (c *Consumer) awaitTopics(ctx context.Context) error {
	for {
		counts, missing, err := c.partitions(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			c.state.failed(PartMetadata, err)
		case len(missing) > 0:
			c.state.failed(PartTopics, fmt.Errorf("topic %s does not exist; create it (`verdict topics`) or correct kafka.topics", strings.Join(missing, ", ")))
			c.state.works(PartMetadata)
		default:
			c.state.works(PartMetadata)
			c.state.works(PartTopics)
		}
		c.firstSeen(counts, missing)
		if err == nil && len(missing) == 0 {
			return nil
		}
		if err := retry.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// firstSeen notes how many partitions the topics had at first: none where the
// topic was missing.
func (c *Consumer) firstSeen(counts map[string]int, missing []string) {
	for topic, n := range counts {
		if _, seen := c.since[topic]; !seen {
			c.since[topic] = n
		}
	}
	for _, topic := range missing {
		c.since[topic] = 0
	}
}

// sum is the number of partitions of all topics.
func sum(counts map[string]int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}

// partitions counts the partitions of each topic, and names the topics that are
// missing.
func (c *Consumer) partitions(ctx context.Context) (counts map[string]int, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	meta, err := c.opts.Client.Metadata(ctx, &kafka.MetadataRequest{Topics: c.opts.Topics})
	if err != nil {
		return nil, nil, fmt.Errorf("read the topics' partitions: %w", err)
	}
	missing = slices.Clone(c.opts.Topics)
	counts = make(map[string]int, len(missing))
	for _, topic := range meta.Topics {
		if topic.Error != nil {
			if !errors.Is(topic.Error, kafka.UnknownTopicOrPartition) {
				return nil, nil, fmt.Errorf("read the partitions of topic %s: %w", topic.Name, topic.Error)
			}
			continue
		}
		counts[topic.Name] = len(topic.Partitions)
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == topic.Name })
	}
	return counts, missing, nil
}

// kafkaLog passes what kafka-go logs on as debug lines: what of it matters is
// reported by the code that gets the error.
func kafkaLog(log *slog.Logger) kafka.Logger {
	return kafka.LoggerFunc(func(msg string, args ...any) {
		log.Debug("kafka-go", "msg", strings.TrimSpace(fmt.Sprintf(msg, args...)))
	})
}

// Joined says whether this instance is a member of the group, with partitions
// or without. Between two generations of a rebalance it stays one.
func (c *Consumer) Joined() bool { return c.joined.Load() }
