package consumer

import (
	"cmp"
	"slices"

	"github.com/segmentio/kafka-go"
)

// balancer deals the partitions of all topics out in one round, so that no
// member owns more than one partition more than another: an instance's share of
// the rate limit is its share of the partitions, and kafka-go's own round robin
// begins anew with each topic and would favour the first member each time.
type balancer struct{ about []byte }

// Protocol is the name by which the members know that they assign partitions in
// the same way.
const Protocol = "verdict-even"

// ProtocolName tells the members which of their balancers they share.
func (balancer) ProtocolName() string { return Protocol }

// UserData is for people and `verdict check` alone: members are alike.
func (b balancer) UserData() ([]byte, error) { return b.about, nil }

// AssignGroups assigns each partition to one of the members that read its topic.
func (balancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	members = slices.SortedFunc(slices.Values(members), func(a, b kafka.GroupMember) int { return cmp.Compare(a.ID, b.ID) })
	partitions = slices.SortedFunc(slices.Values(partitions), func(a, b kafka.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	})
	assigned := make(kafka.GroupMemberAssignments, len(members))
	for _, m := range members {
		assigned[m.ID] = make(map[string][]int)
	}
	next := 0
	for _, p := range partitions {
		for range members {
			m := members[next%len(members)]
			next++
			if slices.Contains(m.Topics, p.Topic) {
				assigned[m.ID][p.Topic] = append(assigned[m.ID][p.Topic], p.ID)
				break
			}
		}
	}
	return assigned
}
