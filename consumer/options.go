package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/consumer/offsets"
	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/metrics"
)

// Handler carries out the records that a Consumer reads.
type Handler interface {
	// Assigned is called before the first record of a generation and after its
	// last commit. This instance owns owned of the total partitions that the
	// generation's members own together.
	Assigned(owned, total int)
	// Accept takes over a record. It returns at once, or waits while it has no
	// room. An error means that it did not take the record, and ends fetching
	// from the partition. The Handler calls claim.Settle for each record that it
	// took, unless the claim is lost first. before is what a previous owner of
	// the partition reported with claim.Attempted.
	Accept(ctx context.Context, claim *Claim, rec decision.Record, before decision.Progress) error
	// Drain gives up the records of these claims whose processing has not
	// started. It returns when the others are settled, or when ctx ends and they
	// are given up too.
	Drain(ctx context.Context, claims []*Claim)
}

// Options configure a Consumer. A field is required unless its comment gives a
// meaning to its zero value.
type Options struct {
	Brokers []string      // host:port; at least one
	Dialer  *kafka.Dialer // for the group
	Client  *kafka.Client // for offsets, metadata and commits

	// Fetch reads the next records of a partition, and Deleted tells where to go on where
	// retention deleted them: those of a broker.Connection. Required.
	Fetch   func(ctx context.Context, r broker.FetchRequest) (*broker.Fetched, error)
	Deleted func(ctx context.Context, topic string, partition int, offset int64) (first int64, err error)
	// TopicIDs tells a topic from one that had its name before.
	TopicIDs func(ctx context.Context, topics ...string) (map[string]broker.TopicID, error)

	// ReadAt reads the records of a partition at offsets, which ascend, without those that
	// are gone. Nil: the Handler must not call Claim.Fetch.
	ReadAt func(ctx context.Context, topic string, partition int, offsets []int64) ([]decision.Record, error)

	GroupID     string
	Topics      []string // the topics that the group reads; at least one
	UserData    []byte   // shown to whoever describes the group; nil: none
	StartLatest bool     // where a partition without a commit begins: at its end; false: at its start

	// ReadAhead bounds what is read and not handed over, in bytes as it is on the wire, over
	// all partitions; a batch comes whole all the same. More than 0.
	ReadAhead int

	CommitInterval   time.Duration // longest time from settled to committed
	MaxUncommitted   int           // offsets of a partition fetched beyond the committed one; at most offsets.MaxSpan
	SessionTimeout   time.Duration // without a heartbeat for this long a member counts as gone
	RebalanceTimeout time.Duration // time that members have to join a rebalance
	DrainTimeout     time.Duration // for Handler.Drain; less than both timeouts above
	WatchInterval    time.Duration // between checks of the topics' partitions and ends; 0: 5s

	Metrics *metrics.Metrics
	Logger  *slog.Logger
	// OnHealthChange is called with the error when a part of the work with Kafka
	// begins to fail, and with nil when it works again. Calls are made one at a
	// time and must be quick. Nil: no calls.
	OnHealthChange func(part Part, err error)
}

func (o *Options) withDefaults() {
	o.WatchInterval = cmp.Or(o.WatchInterval, 5*time.Second)
	if o.OnHealthChange == nil {
		o.OnHealthChange = func(Part, error) {}
	}
}

func (o *Options) validate() error {
	switch {
	case len(o.Brokers) == 0:
		return errors.New("consumer: Brokers is empty; name at least one broker")
	case o.Dialer == nil || o.Client == nil || o.Fetch == nil || o.Deleted == nil || o.TopicIDs == nil || o.Metrics == nil || o.Logger == nil:
		return errors.New("consumer: Dialer, Client, Fetch, Deleted, TopicIDs, Metrics and Logger are required")
	case o.GroupID == "":
		return errors.New("consumer: GroupID is required")
	case len(o.Topics) == 0:
		return errors.New("consumer: Topics is empty; name at least one topic")
	case o.MaxUncommitted < 1 || o.MaxUncommitted > offsets.MaxSpan:
		return fmt.Errorf("consumer: MaxUncommitted is %d; it must be 1 to %d", o.MaxUncommitted, offsets.MaxSpan)
	case o.ReadAhead <= 0:
		return fmt.Errorf("consumer: ReadAhead is %d; it must be more than 0", o.ReadAhead)
	case o.CommitInterval <= 0 || o.SessionTimeout <= 0 || o.RebalanceTimeout <= 0 || o.DrainTimeout <= 0:
		return fmt.Errorf("consumer: CommitInterval (%v), SessionTimeout (%v), RebalanceTimeout (%v) and DrainTimeout (%v) must be more than 0",
			o.CommitInterval, o.SessionTimeout, o.RebalanceTimeout, o.DrainTimeout)
	case o.DrainTimeout >= min(o.SessionTimeout, o.RebalanceTimeout):
		return fmt.Errorf("consumer: DrainTimeout (%v) must be less than SessionTimeout (%v) and RebalanceTimeout (%v), or the next owner starts before this one is done",
			o.DrainTimeout, o.SessionTimeout, o.RebalanceTimeout)
	}
	return nil
}
