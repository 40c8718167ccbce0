package backfill_test

import (
	"errors"
	"testing"
	"time"

	backfill "verdict/internal/bulk"
)

func TestOneRedriveAtATime(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		told := 0
		waiting := func(string, time.Duration) { told++ }
		one, err := backfill.LockRedrive(b.Context(), b.conn, "verdict", lettersTopic, waiting)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if _, err := backfill.LockRedrive(b.Context(), b.conn, "verdict", lettersTopic, waiting); !errors.Is(err, backfill.ErrRedriveRuns) {
			b.Errorf("a second one: %v", err)
		}
		if told != 1 {
			b.Errorf("the wait was told %d times, want once", told)
		}
		if took := time.Since(began); took > 15*time.Second {
			b.Errorf("it waited %v", took)
		}
		if err := one.Held(b.Context()); err != nil {
			b.Errorf("the first one: %v", err)
		}
		one.Close()
		two, err := backfill.LockRedrive(b.Context(), b.conn, "verdict", lettersTopic, waiting)
		if err != nil {
			b.Fatal(err)
		}
		defer two.Close()

		// Its coordinator moves, and is away for a while.
		b.cluster.MoveCoordinators()
		time.Sleep(2 * time.Second)
		if err := two.Held(b.Context()); err != nil {
			b.Error(err)
		}
		b.network.Cut()
		time.Sleep(20 * time.Second)
		if err := two.Held(b.Context()); !errors.Is(err, backfill.ErrRedriveRuns) {
			b.Errorf("without Kafka: %v", err)
		}
		b.network.Mend()
		time.Sleep(20 * time.Second)
		if err := two.Held(b.Context()); err != nil {
			b.Error(err)
		}
	})
}
