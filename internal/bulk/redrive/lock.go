package redrive

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
)

// Lock keeps two redrives from working on the same dead letters at a time,
// by being a member, the only one, of the consumer group <group>-redrive-lock. A
// redrive that was killed is a member until lockSession is over.
type Lock struct {
	group      *kafka.ConsumerGroup
	topic      string
	partitions int
	cancel     context.CancelFunc
	wg         sync.WaitGroup

	mu      sync.Mutex
	held    bool
	changed chan struct{} // closed when held changes
}

// ErrBusy is the error of AcquireLock and AwaitHeld for another redrive that is
// at work.
var ErrBusy = errors.New("another redrive is at work")

const (
	// lockSession is Kafka's least session time-out unless set otherwise
	// (group.min.session.timeout.ms).
	lockSession = 6 * time.Second
	// lockPatience is how long a member that was killed, a coordinator that moves
	// or a new group is waited for.
	lockPatience = 30 * time.Second
)

// AcquireLock becomes the only redrive of the topic, or says that there is one.
// Waiting is told, at most once, from which host another one is or was, and for how
// long it will be waited for.
func AcquireLock(ctx context.Context, c *broker.Connection, group, topic string, waiting func(host string, most time.Duration)) (*Lock, error) {
	bounds, err := topicread.Bounds(ctx, c, topic)
	if err != nil {
		return nil, err
	}
	id := redriveGroup(group) + "-lock"
	if err := awaitEmpty(ctx, c, id, waiting); err != nil {
		return nil, err
	}
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: id, Brokers: c.Brokers(), Dialer: c.Dialer(), Topics: []string{topic}, StartOffset: kafka.FirstOffset,
		SessionTimeout: lockSession, RebalanceTimeout: lockSession, HeartbeatInterval: time.Second, JoinGroupBackoff: 200 * time.Millisecond,
	})
	if err != nil {
		return nil, fmt.Errorf("lock the redrive: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Lock{group: g, topic: topic, partitions: len(bounds), cancel: cancel, changed: make(chan struct{})}
	l.wg.Go(func() { l.keep(running) })
	if err := l.AwaitHeld(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// awaitEmpty waits until the group has no member, for as long as one that was killed
// may seem to be there.
func awaitEmpty(ctx context.Context, c *broker.Connection, id string, waiting func(host string, most time.Duration)) error {
	const most = lockSession + 2*time.Second
	told := false
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	began := time.Now()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		answer, err := c.Client().DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{id}})
		if err == nil && len(answer.Groups) == 1 && !passing(answer.Groups[0].Error) {
			members := answer.Groups[0].Members
			if len(members) == 0 {
				return nil
			}
			host := strings.TrimPrefix(members[0].ClientHost, "/") // as Java writes an address
			if !told {
				told = true
				waiting(host, most)
			}
			if time.Since(began) > most {
				return fmt.Errorf("%w, from %s; wait for it, or stop it", ErrBusy, host)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return fmt.Errorf("look whether a redrive is at work (group %s): %w", id, err)
		}
	}
}

// passing says whether a group could not be described yet. One that does not exist
// has no members.
func passing(err error) bool {
	return err != nil && !errors.Is(err, kafka.GroupIdNotFound)
}

// keep stays a member of the group, also over moves of its coordinator.
func (l *Lock) keep(ctx context.Context) {
	for ctx.Err() == nil {
		gen, err := l.group.Next(ctx)
		if err != nil {
			if errors.Is(err, kafka.ErrGroupClosed) {
				return
			}
			continue // it waits before it tries again
		}
		ended := make(chan struct{})
		gen.Start(func(ctx context.Context) {
			l.set(ctx.Err() == nil && len(gen.Assignments[l.topic]) >= l.partitions)
			<-ctx.Done()
			l.set(false)
			close(ended)
		})
		<-ended
	}
}

func (l *Lock) set(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != held {
		l.held = held
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

func (l *Lock) state() (held bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held, l.changed
}

// AwaitHeld waits until the lock is held, for at most lockPatience: it is not for a while
// when the group's coordinator moves. Otherwise another redrive has it.
func (l *Lock) AwaitHeld(ctx context.Context) error {
	if held, _ := l.state(); held {
		return nil
	}
	timeout := time.NewTimer(lockPatience)
	defer timeout.Stop()
	for {
		held, changed := l.state()
		if held {
			return nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return fmt.Errorf("%w, or the group's coordinator does not answer; the same command goes on later", ErrBusy)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close lets the lock go.
func (l *Lock) Close() {
	l.cancel()
	_ = l.group.Close() // it is left by its session's end at the latest
	l.wg.Wait()
}
