package check

import (
	"context"
	"errors"

	"github.com/segmentio/kafka-go"
)

// rights tests the rights that run needs, with requests that change nothing.
func (k *kafkaCheck) rights(ctx context.Context, addr string) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	probe, err := k.connection.OpenProbe(ctx, addr)
	if err != nil {
		k.failErr("rights", err)
		return
	}
	defer probe.Close()
	t := k.cfg.Kafka.Topics
	for _, topic := range t.Inputs() {
		k.right("rights/read/"+topic, probe.MayRead(topic), "give the Kafka user READ and DESCRIBE on the topic "+topic)
	}
	for _, topic := range []string{t.Results, t.DeadLetters} {
		k.right("rights/write/"+topic, probe.MayWrite(topic), "give the Kafka user WRITE and DESCRIBE on the topic "+topic)
	}
	k.right("rights/group", probe.MayJoin(k.cfg.Kafka.GroupID), "give the Kafka user READ and DESCRIBE on the group "+k.cfg.Kafka.GroupID)
}

func (k *kafkaCheck) right(name string, err error, hint string) {
	switch {
	case err == nil:
		k.ok(name, "allowed")
	case errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.GroupAuthorizationFailed):
		k.fail(name, "not allowed", hint)
	default:
		k.failErr(name, err)
	}
}
