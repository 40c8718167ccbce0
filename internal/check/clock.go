package check

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/app"
	"verdict/internal/broker"
)

// clockTolerance is the difference between two clocks that is not reported.
const clockTolerance = 5 * time.Second

// clock looks for records from the future. Kafka's protocol does not expose a
// broker's clock, and check writes no record to learn it.
func (k *kafkaCheck) clock(ctx context.Context, states map[string]broker.TopicState) {
	const name = "clock/kafka"
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	limit := time.Now().Add(clockTolerance)
	request := &kafka.ListOffsetsRequest{Topics: make(map[string][]kafka.OffsetRequest)}
	for _, topic := range app.TopicNames(k.cfg.Kafka.Topics) {
		for p := range states[topic].Partitions {
			request.Topics[topic] = append(request.Topics[topic], kafka.TimeOffsetOf(p, limit))
		}
	}
	if len(request.Topics) == 0 {
		return // the checks of topics report that they are missing
	}
	answer, err := k.connection.Client().ListOffsets(ctx, request)
	if err != nil {
		k.warn(name, "records from the future cannot be searched for: "+err.Error(), "")
		return
	}
	var latest time.Time
	var place string
	for topic, partitions := range answer.Topics {
		for _, p := range partitions {
			for offset, at := range p.Offsets {
				if offset >= 0 && at.After(latest) {
					latest, place = at, fmt.Sprintf("%s/%d at offset %d", topic, p.Partition, offset)
				}
			}
		}
	}
	if place != "" {
		k.warn(name, fmt.Sprintf("a record in %s has a timestamp %s ahead of this machine's clock", place, latest.Sub(limit.Add(-clockTolerance)).Round(time.Second)),
			"synchronise the clocks of this machine, the brokers and the producers (NTP)")
		return
	}
	k.ok(name, "no record is from the future; the brokers' clock itself cannot be read")
}

// checkAPIClock compares the API's clock, which has a precision of a second, with
// the time between the start and the end of the call.
func checkAPIClock(f *Findings, date, start, end time.Time) {
	const name, hint = "clock/api", "synchronise this machine's clock (NTP): it decides when decisions expire"
	if date.IsZero() {
		f.ok(name, "not compared: the API did not send its time")
		return
	}
	var ahead time.Duration // of this machine; negative: it is behind
	switch latest := date.Add(time.Second); {
	case start.After(latest):
		ahead = start.Sub(latest)
	case end.Before(date):
		ahead = end.Sub(date)
	}
	switch {
	case ahead > clockTolerance:
		f.warn(name, fmt.Sprintf("this machine is %s or more ahead of the API", ahead.Round(time.Second)), hint)
	case ahead < -clockTolerance:
		f.warn(name, fmt.Sprintf("this machine is %s or more behind the API", -ahead.Round(time.Second)), hint)
	default:
		f.ok(name, fmt.Sprintf("within %s of the API's", clockTolerance))
	}
}
