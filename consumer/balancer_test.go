package consumer

import (
	"fmt"
	"testing"

	"github.com/segmentio/kafka-go"
)

func TestBalancerAssignsEvenlyOverAllTopics(t *testing.T) {
	for members := 1; members <= 9; members++ {
		for _, sizes := range [][2]int{{1, 1}, {3, 3}, {6, 1}, {5, 8}} {
			var group []kafka.GroupMember
			for i := range members {
				group = append(group, kafka.GroupMember{ID: fmt.Sprint("m", i), Topics: []string{"live", "backfill"}})
			}
			var partitions []kafka.Partition
			for i, topic := range []string{"live", "backfill"} {
				for id := range sizes[i] {
					partitions = append(partitions, kafka.Partition{Topic: topic, ID: id})
				}
			}
			least, most, sum := len(partitions), 0, 0
			for _, topics := range (evenBalancer{}).AssignGroups(group, partitions) {
				n := len(topics["live"]) + len(topics["backfill"])
				least, most, sum = min(least, n), max(most, n), sum+n
			}
			if sum != len(partitions) || most-least > 1 {
				t.Errorf("%d members, %v partitions: %d to %d each, %d in total", members, sizes, least, most, sum)
			}
		}
	}
}
