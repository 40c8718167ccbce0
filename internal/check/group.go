package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/consumer"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/term"
)

// group looks at the group and at the members that it has.
func (k *kafkaCheck) group(ctx context.Context) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	const name = "group"
	id := k.cfg.Kafka.GroupID
	state, err := broker.DescribeGroup(ctx, k.connection.Client(), id)
	switch {
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		k.fail(name, id+" may not be described", "give the Kafka user READ and DESCRIBE on the group "+id)
		return
	case err != nil:
		k.failErr(name, err)
		return
	case state.State == "Dead":
		k.ok(name, id+" does not exist yet; the first member makes it")
		return
	case state.Type != "" && state.Type != "consumer", state.Protocol != "" && state.Protocol != consumer.Protocol:
		k.fail(name, fmt.Sprintf("%s belongs to another program (protocol %q %q)", id, state.Type, state.Protocol), "set kafka.group_id to a name of its own")
		return
	}
	k.ok(name, fmt.Sprintf("%s is %s, with %s", id, state.State, term.Plural(len(state.Members), "member")))
	k.members(state.Members)
}

// members compares what the members told of themselves with this configuration.
func (k *kafkaCheck) members(members []kafka.DescribeGroupsResponseMember) {
	if len(members) == 0 {
		return
	}
	const name = "group/members"
	us, topics := app.MemberOf(k.cfg), k.cfg.Kafka.Topics.Inputs()
	slices.Sort(topics)
	differ := make(map[string]int) // what is different -> in how many members
	for _, m := range members {
		theirs := slices.Clone(m.MemberMetadata.Topics)
		slices.Sort(theirs)
		if len(theirs) > 0 && !slices.Equal(theirs, topics) {
			differ[fmt.Sprintf("reads %s", strings.Join(theirs, ", "))]++
		}
		them, ok := app.ReadMember(m.MemberMetadata.UserData)
		if !ok {
			differ["tells no version or rate limit"]++
			continue
		}
		if them.Version != us.Version || them.Revision != us.Revision {
			differ[fmt.Sprintf("is version %q %.12q", them.Version, them.Revision)]++
		}
		if them.Scope != us.Scope {
			differ[fmt.Sprintf("has api.rate_limit_scope %q", them.Scope)]++
		}
		if them.RateLimit != us.RateLimit {
			differ["has api.rate_limit "+strconv.FormatFloat(them.RateLimit, 'g', -1, 64)]++
		}
	}
	if len(differ) == 0 {
		k.ok(name, "all have this version and rate limit, and read these topics")
		return
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(differ)) {
		parts = append(parts, fmt.Sprintf("%d of %d %s", differ[what], len(members), what))
	}
	k.warn(name, strings.Join(parts, ", "), fmt.Sprintf("here it is version %q %.12q, rate limit %s by %s, reading %s; expected only during a rolling change",
		us.Version, us.Revision, strconv.FormatFloat(us.RateLimit, 'g', -1, 64), us.Scope, strings.Join(topics, ", ")))
}

// sessionBounds compares the time-outs with what the brokers let a member have.
func (k *kafkaCheck) sessionBounds(ctx context.Context, node int) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	const name, low, high = "group/session", "group.min.session.timeout.ms", "group.max.session.timeout.ms"
	settings, err := broker.NodeSettings(ctx, k.connection.Client(), node)
	if err != nil {
		k.ok(name, "not compared with the brokers' bounds, which may not be read; run does not need that right")
		return
	}
	if bytes, err := strconv.Atoi(settings["offset.metadata.max.bytes"]); err == nil && bytes < 4096 {
		k.warn("group/metadata", fmt.Sprintf("the brokers take %d bytes with a commit (offset.metadata.max.bytes)", bytes), "with less than 4096 a partition's span is held back; see kafka.max_uncommitted")
	}
	session := k.cfg.Kafka.SessionTimeout
	for _, bound := range []struct {
		key    string
		broken func(limit time.Duration) bool
	}{
		{low, func(limit time.Duration) bool { return session < limit }},
		{high, func(limit time.Duration) bool { return session > limit }},
	} {
		limit, err := strconv.Atoi(settings[bound.key])
		if err != nil {
			continue // it does not say
		}
		if d := time.Duration(limit) * time.Millisecond; bound.broken(d) {
			k.fail(name, fmt.Sprintf("kafka.session_timeout is %s, and the brokers' %s is %s", session, bound.key, d), "change one of them")
			return
		}
	}
	k.ok(name, fmt.Sprintf("kafka.session_timeout (%s) is within the brokers' bounds", session))
}
