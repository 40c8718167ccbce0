package consumer

import (
	"cmp"
	"slices"

	"github.com/segmentio/kafka-go"
)

// Protocol is the name of the group protocol by which Verdict's members assign
// partitions.
const Protocol = "verdict-even"

// evenBalancer assigns the partitions of all topics in one round, so that no
// member owns over one partition more than another: an instance's share of the
// rate limit is its share of the partitions. kafka-go's own round robin starts
// over with each topic and would favour the first member each time.
type evenBalancer struct{ userData []byte }

// ProtocolName returns Protocol.
func (evenBalancer) ProtocolName() string { return Protocol }

// UserData returns what this member shows to whoever describes the group.
// Assignments do not depend on it.
func (b evenBalancer) UserData() ([]byte, error) { return b.userData, nil }

// AssignGroups assigns each partition to one of the members that read its topic.
func (evenBalancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
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
