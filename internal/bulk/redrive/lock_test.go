package redrive_test

import (
	"errors"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
)

func TestLockAllowsOneRedriveAtATime(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		calls := 0
		waiting := func(string, time.Duration) { calls++ }
		one, err := redrive.AcquireLock(b.Context(), b.Conn, "verdict", bulktest.LettersTopic, waiting)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if _, err := redrive.AcquireLock(b.Context(), b.Conn, "verdict", bulktest.LettersTopic, waiting); !errors.Is(err, redrive.ErrBusy) {
			b.Errorf("a second one: %v", err)
		}
		if calls != 1 {
			b.Errorf("waiting was called %d times, want once", calls)
		}
		if took := time.Since(began); took > 15*time.Second {
			b.Errorf("it waited %v", took)
		}
		if err := one.AwaitHeld(b.Context()); err != nil {
			b.Errorf("the first one: %v", err)
		}
		one.Close()
		two, err := redrive.AcquireLock(b.Context(), b.Conn, "verdict", bulktest.LettersTopic, waiting)
		if err != nil {
			b.Fatal(err)
		}
		defer two.Close()

		// Its coordinator moves, then Kafka is unreachable for a while.
		b.Cluster.MoveCoordinators()
		time.Sleep(2 * time.Second)
		if err := two.AwaitHeld(b.Context()); err != nil {
			b.Error(err)
		}
		b.Network.Cut()
		time.Sleep(20 * time.Second)
		if err := two.AwaitHeld(b.Context()); !errors.Is(err, redrive.ErrBusy) {
			b.Errorf("without Kafka: %v", err)
		}
		b.Network.Mend()
		time.Sleep(20 * time.Second)
		if err := two.AwaitHeld(b.Context()); err != nil {
			b.Error(err)
		}
	})
}
