package redrive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/retry"
)

// Lock keeps two redrives from sending the same dead letters. Its holder is the only
// member of the consumer group GROUP-redrive-lock. A redrive that was killed stays
// a member until its session times out.
type Lock struct {
	group      *kafka.ConsumerGroup
	topic      string
	partitions int
	cancel     context.CancelFunc // ends stayMember
	wg         sync.WaitGroup

	mu      sync.Mutex
	held    bool
	changed chan struct{} // closed when held changes
}

// ErrBusy reports that another redrive holds the lock.
var ErrBusy = errors.New("another redrive is running")

const (
	// lockSession is the session timeout of the lock: the shortest that brokers allow by
	// default (group.min.session.timeout.ms).
	lockSession = 6 * time.Second
	// lockTimeout is how long to wait for a member that was killed, a coordinator that
	// moves, or a new group.
	lockTimeout = 30 * time.Second
)

// AcquireLock waits until this is the only redrive of the topic. It returns ErrBusy if
// another one keeps running. It calls waiting at most once, with the host of the other redrive
// and the longest wait.
func AcquireLock(ctx context.Context, c *broker.Connection, group, topic string, waiting func(host string, most time.Duration)) (*Lock, error) {
	bounds, err := topicread.Bounds(ctx, c, topic)
	if err != nil {
		return nil, err
	}
	id := redriveGroup(group) + "-lock"
	if err := awaitEmptyGroup(ctx, c, id, waiting); err != nil {
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
	l.wg.Go(func() { l.stayMember(running) })
	if err := l.AwaitHeld(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// awaitEmptyGroup waits until the group has no member, at most until the session of one
// that was killed has timed out.
func awaitEmptyGroup(ctx context.Context, c *broker.Connection, id string, waiting func(host string, most time.Duration)) error {
	const most = lockSession + 2*time.Second
	called := false
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	began := time.Now()
	for {
		answer, err := c.Client().DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{id}})
		if err == nil && len(answer.Groups) == 1 && isDescribed(answer.Groups[0].Error) {
			members := answer.Groups[0].Members
			if len(members) == 0 {
				return nil
			}
			host := strings.TrimPrefix(members[0].ClientHost, "/") // as Java writes an address
			if !called {
				called = true
				waiting(host, most)
			}
			if time.Since(began) > most {
				return fmt.Errorf("%w on %s; wait for it, or stop it", ErrBusy, host)
			}
		}
		if ended := retry.Sleep(ctx, 500*time.Millisecond); ended != nil {
			return fmt.Errorf("check whether a redrive is running (group %s): %w", id, cmp.Or(err, ended))
		}
	}
}

// isDescribed reports whether a broker described a group, by its answer's error. A group
// that does not exist has no members.
func isDescribed(err error) bool {
	return err == nil || errors.Is(err, kafka.GroupIdNotFound)
}

// stayMember joins the group again and again, so that the lock outlives moves of the
// group's coordinator.
func (l *Lock) stayMember(ctx context.Context) {
	for ctx.Err() == nil {
		gen, err := l.group.Next(ctx)
		if err != nil {
			if errors.Is(err, kafka.ErrGroupClosed) {
				return
			}
			continue // Next has waited already
		}
		ended := make(chan struct{})
		gen.Start(func(ctx context.Context) {
			l.setHeld(ctx.Err() == nil && len(gen.Assignments[l.topic]) >= l.partitions)
			<-ctx.Done()
			l.setHeld(false)
			close(ended)
		})
		<-ended
	}
}

func (l *Lock) setHeld(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != held {
		l.held = held
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// isHeld returns whether the lock is held, and a channel that closes when that changes.
func (l *Lock) isHeld() (held bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held, l.changed
}

// AwaitHeld waits until the lock is held. The lock is lost for a while when the
// coordinator of its group moves; after 30 seconds without it AwaitHeld returns ErrBusy.
func (l *Lock) AwaitHeld(ctx context.Context) error {
	if held, _ := l.isHeld(); held {
		return nil
	}
	timeout := time.NewTimer(lockTimeout)
	defer timeout.Stop()
	for {
		held, changed := l.isHeld()
		if held {
			return nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return fmt.Errorf("%w, or the coordinator of the lock's group does not answer; run the same command again later to continue", ErrBusy)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close releases the lock.
func (l *Lock) Close() {
	l.cancel()
	_ = l.group.Close() // if this fails, the session times out
	l.wg.Wait()
}
