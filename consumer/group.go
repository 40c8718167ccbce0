package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// join joins the group and serves one generation after another until ctx ends
// or a topic is gone.
func (c *Consumer) join(ctx context.Context) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                c.opts.GroupID,
		Brokers:           c.opts.Brokers,
		Dialer:            c.opts.Dialer,
		Topics:            c.opts.Topics,
		GroupBalancers:    []kafka.GroupBalancer{evenBalancer{c.opts.UserData}},
		HeartbeatInterval: heartbeatInterval(c.opts),
		SessionTimeout:    c.opts.SessionTimeout,
		RebalanceTimeout:  c.opts.RebalanceTimeout,
		JoinGroupBackoff:  time.Second,
		StartOffset:       kafka.FirstOffset, // restore works out where each partition really begins
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
			// The group retries by itself.
			if !errors.Is(err, kafka.RebalanceInProgress) {
				c.joined.Store(false)
				c.health.failed(PartGroup, fmt.Errorf("join group %s: %w", c.opts.GroupID, err))
			}
		default:
			c.health.recovered(PartGroup)
			c.joined.Store(true)
			generations.Add(1)
			gen.Start(func(genCtx context.Context) {
				defer generations.Done()
				if c.serve(genCtx, gen) == topicGone {
					leave()
				}
			})
		}
	}
}

// heartbeatInterval returns the time between heartbeats. A member learns of a
// rebalance from the answer, and must then drain and join within the rebalance
// time-out, however long its session may be.
func heartbeatInterval(o Options) time.Duration {
	interval := min(o.SessionTimeout/10, 3*time.Second, (o.RebalanceTimeout-o.DrainTimeout)/2)
	return max(interval, 100*time.Millisecond)
}
