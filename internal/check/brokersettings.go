package check

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"verdict/internal/broker"
)

// minMetadataBytes is the size of a commit's metadata that the consumer can use.
const minMetadataBytes = 4096

// brokerSettings compares the configuration with the limits of a broker.
func (k *kafkaCheck) brokerSettings(ctx context.Context, node int) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	settings, err := broker.NodeSettings(ctx, k.connection.Client(), node)
	if err != nil {
		k.ok("group/session", "not compared with the brokers' limits, which this user may not read; run does not need that right")
		return
	}
	if bytes, err := strconv.Atoi(settings["offset.metadata.max.bytes"]); err == nil && bytes < minMetadataBytes {
		k.warn("group/metadata", fmt.Sprintf("the brokers accept %d bytes of metadata with a commit (offset.metadata.max.bytes)", bytes),
			fmt.Sprintf("raise it to %d; with less, a partition behind slow decisions waits sooner, before kafka.max_uncommitted", minMetadataBytes))
	}
	k.sessionTimeout(settings)
}

// sessionTimeout compares the session timeout with the limits of a broker. A
// limit that the broker does not state is not compared.
func (k *kafkaCheck) sessionTimeout(settings map[string]string) {
	const name = "group/session"
	session := k.cfg.Kafka.SessionTimeout
	limit := func(key string) (time.Duration, bool) {
		ms, err := strconv.Atoi(settings[key])
		return time.Duration(ms) * time.Millisecond, err == nil
	}
	const lowest, highest = "group.min.session.timeout.ms", "group.max.session.timeout.ms"
	fail := func(key string, d time.Duration) {
		k.fail(name, fmt.Sprintf("kafka.session_timeout is %s, and the brokers' %s is %s", session, key, d), "change one of them")
	}
	if d, ok := limit(lowest); ok && session < d {
		fail(lowest, d)
		return
	}
	if d, ok := limit(highest); ok && session > d {
		fail(highest, d)
		return
	}
	k.ok(name, fmt.Sprintf("kafka.session_timeout (%s) is within the brokers' limits", session))
}
