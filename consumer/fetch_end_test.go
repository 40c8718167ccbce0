package consumer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/consumer"
	"verdict/internal/broker"
)

// TestRecordsBeyondTheEndAreTakenOnce has answers whose end was noted before the records
// were stored that come along: a broker notes it before it reads.
func TestRecordsBeyondTheEndAreTakenOnce(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		var want []string
		for i := range 20 {
			w.produce(0, fmt.Sprint(i))
			want = append(want, fmt.Sprint("m accept 0/", i))
		}
		m := w.newMember("m").start(func(o *consumer.Options) {
			fetch := o.Fetch
			o.Fetch = func(ctx context.Context, r broker.FetchRequest) (*broker.Fetched, error) {
				f, err := fetch(ctx, r)
				if err == nil {
					f.End, f.Stable = r.Offset, r.Offset
				}
				return f, err
			}
		})
		m.awaitAccepted(20)
		w.wantEvents(want, "accept")
		m.stop()
		w.wantEvents(want, "accept")
	})
}

// TestPartitionThatCannotBeReadIsNamed has the right to read one partition missing for
// three minutes, and for a moment.
func TestPartitionThatCannotBeReadIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		away  time.Duration
		named bool
		tries int64
	}{"for long": {3 * time.Minute, true, 90}, "for a moment": {10 * time.Second, false, 40}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 2, func(t *testing.T, w *world) {
				w.produce(0, "a")
				w.produce(1, "b")
				began := time.Now()
				var tries atomic.Int64
				m := w.newMember("m").start(func(o *consumer.Options) {
					fetch := o.Fetch
					o.Fetch = func(ctx context.Context, r broker.FetchRequest) (*broker.Fetched, error) {
						if r.Partition == 0 && time.Since(began) < c.away {
							tries.Add(1)
							return nil, fmt.Errorf("read: %w", kafka.TopicAuthorizationFailed)
						}
						return fetch(ctx, r)
					}
				})
				m.awaitAccepted(1)
				time.Sleep(c.away)
				m.awaitAccepted(2)
				if got := tries.Load(); got > c.tries {
					t.Errorf("%d tries in %v, want at most %d", got, c.away, c.tries)
				}
				if w.logged("a partition can't be read", "partition=0", "Topic Authorization Failed") != c.named || w.logged("is read again") != c.named {
					t.Errorf("named in the log: %v, want %v", !c.named, c.named)
				}
				m.stop()
			})
		})
	}
}
