package consumer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/decision"
)

func TestFetchRetriesUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, works := 0, false
		c := &Claim{Topic: "a", Partition: 3, readAt: func(ctx context.Context, topic string, partition int, offsets []int64) ([]decision.Record, error) {
			if topic != "a" || partition != 3 || len(offsets) != 1 {
				t.Errorf("read %v of %s/%d", offsets, topic, partition)
			}
			tries++
			switch {
			case works:
				return []decision.Record{{Offset: offsets[0]}}, nil
			case tries == 1:
				<-ctx.Done() // no answer
			}
			return nil, errors.New("away")
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if got, err := c.Fetch(ctx, []int64{7}); err == nil || time.Since(began) != time.Minute || tries < 40 {
			t.Errorf("%v, %v after %v and %d tries", got, err, time.Since(began), tries)
		}
		works = true
		if got, err := c.Fetch(t.Context(), []int64{7}); err != nil || len(got) != 1 || got[0].Offset != 7 {
			t.Errorf("%v, %v", got, err)
		}
	})
}
