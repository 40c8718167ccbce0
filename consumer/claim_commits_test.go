package consumer

import (
	"testing"

	"github.com/segmentio/kafka-go"

	"verdict/consumer/offsets"
)

// While no commit is confirmed, the one that Kafka had stays, with the latest of those since.
func TestClaimRemembersFewCommits(t *testing.T) {
	c := &Claim{onChange: func() {}, restored: true, tracker: offsets.NewTracker(0), commits: []kafka.OffsetFetchPartition{{}}}
	for offset := range int64(100) {
		c.tracker.Track(offset)
		c.Settle(offset)
		for range 2 {
			_, since, _ := c.takeCommit()
			c.putBackCommit(since)
		}
	}
	if got := c.commits; len(got) != maxCommits || got[0].CommittedOffset != 0 || got[1].CommittedOffset != 100-maxCommits+2 || got[maxCommits-1].CommittedOffset != 100 {
		t.Errorf("%+v, want %d from 0 and the latest up to 100", got, maxCommits)
	}
	c.confirmCommit()
	if got := c.lose(); len(got) != 1 || got[0].CommittedOffset != 100 {
		t.Errorf("%+v after the last was confirmed, want it alone", got)
	}
}
