package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"

	"verdict/consumer"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/term"
)

// group checks the consumer group and its members.
func (k *kafkaCheck) group(ctx context.Context) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	const name = "group"
	id := k.cfg.Kafka.GroupID
	state, err := broker.DescribeGroup(ctx, k.connection.Client(), id)
	switch {
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		k.fail(name, "this user may not describe "+id, "give the Kafka user READ and DESCRIBE on the group "+id)
		return
	case err != nil:
		k.failErr(name, err)
		return
	case state.State == "Dead" && k.isListed(ctx, id):
		// Kafka describes only groups of the classic protocol in this way.
		k.fail(name, id+" belongs to another program, which uses the group protocol of KIP-848", "set kafka.group_id to a name that only Verdict uses")
		return
	case state.State == "Dead":
		k.ok(name, id+" does not exist yet; the first member creates it")
		return
	case state.Type != "" && state.Type != "consumer", state.Protocol != "" && state.Protocol != consumer.Protocol:
		k.fail(name, fmt.Sprintf("%s belongs to another program (protocol %q %q)", id, state.Type, state.Protocol), "set kafka.group_id to a name that only Verdict uses")
		return
	}
	k.ok(name, fmt.Sprintf("%s is %s, with %s", id, state.State, term.Plural(len(state.Members), "member")))
	k.members(state.Members)
}

// isListed reports whether a group is among those that the brokers list, whatever its
// protocol. Without an answer it is taken not to be.
func (k *kafkaCheck) isListed(ctx context.Context, id string) bool {
	answer, err := k.connection.Client().ListGroups(ctx, &kafka.ListGroupsRequest{})
	return err == nil && slices.ContainsFunc(answer.Groups, func(g kafka.ListGroupsResponseGroup) bool { return g.GroupID == id })
}

// members compares what the members state about themselves with this
// configuration.
func (k *kafkaCheck) members(members []kafka.DescribeGroupsResponseMember) {
	if len(members) == 0 {
		return
	}
	const name = "group/members"
	us, topics := app.MemberOf(k.cfg), k.cfg.Kafka.Topics.Inputs()
	slices.Sort(topics)
	differences := make(map[string]int) // difference -> number of members
	for _, m := range members {
		for _, d := range memberDifferences(m, us, topics) {
			differences[d]++
		}
	}
	if len(differences) == 0 {
		k.ok(name, "all have this version and rate limit, and read these topics")
		return
	}
	var parts []string
	for _, d := range slices.Sorted(maps.Keys(differences)) {
		parts = append(parts, fmt.Sprintf("%d of %d %s", differences[d], len(members), d))
	}
	k.warn(name, strings.Join(parts, ", "), fmt.Sprintf("this is version %q %.12q with rate limit %s by %s, reading %s; expect differences only during a rolling update",
		us.Version, us.Revision, rateText(us.RateLimit), us.Scope, strings.Join(topics, ", ")))
}

// memberDifferences lists how a member differs from us. Topics are sorted.
func memberDifferences(m kafka.DescribeGroupsResponseMember, us app.Member, topics []string) []string {
	var all []string
	theirs := slices.Clone(m.MemberMetadata.Topics)
	slices.Sort(theirs)
	if len(theirs) > 0 && !slices.Equal(theirs, topics) {
		all = append(all, "reads "+strings.Join(theirs, ", "))
	}
	them, ok := app.ReadMember(m.MemberMetadata.UserData)
	if !ok {
		return append(all, "states no version or rate limit")
	}
	if them.Version != us.Version || them.Revision != us.Revision {
		all = append(all, fmt.Sprintf("is version %q %.12q", them.Version, them.Revision))
	}
	if them.Scope != us.Scope {
		all = append(all, fmt.Sprintf("has api.rate_limit_scope %q", them.Scope))
	}
	if them.RateLimit != us.RateLimit {
		all = append(all, "has api.rate_limit "+rateText(them.RateLimit))
	}
	return all
}

// rateText formats a rate with as many digits as it has.
func rateText(rate float64) string { return strconv.FormatFloat(rate, 'g', -1, 64) }
