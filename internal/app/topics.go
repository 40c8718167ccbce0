package app

import (
	"slices"
	"strconv"
	"time"

	"verdict/configs"
	"verdict/internal/broker"
)

// How long topics that Verdict creates keep their records. A decision must outlast the
// longest stop of the service, and a dead letter the holidays of the people who handle
// it.
const (
	keepDecisions   = 14 * 24 * time.Hour
	keepHeld        = 30 * 24 * time.Hour // for people to approve
	keepResults     = 30 * 24 * time.Hour
	keepDeadLetters = 90 * 24 * time.Hour
)

// The largest messages, in bytes.
const (
	maxDecision   = 68 << 10 // a record of 64 KiB in its batch
	maxDeadLetter = 72 << 10 // a decision with a dead letter's headers
	maxResult     = 1 << 20  // with the API's answer; the publisher leaves out a larger one
)

// PlannedTopic is a topic and what Verdict needs of it.
type PlannedTopic struct {
	Name       string
	Retention  time.Duration // of a topic that Verdict creates
	MinMessage int           // the least max.message.bytes that it needs, in bytes; 0: any
	Input      bool          // `run` reads it; otherwise `run` writes it
}

// PlanTopics returns the topics that `run` needs.
func PlanTopics(t configs.Topics) []PlannedTopic {
	plan := []PlannedTopic{
		{t.Decisions, keepDecisions, maxDecision, true},
		{t.Backfill, keepDecisions, maxDecision, true},
		{t.Results, keepResults, maxResult, false},
		{t.DeadLetters, keepDeadLetters, maxDeadLetter, false},
	}
	return slices.DeleteFunc(plan, func(p PlannedTopic) bool { return p.Name == "" })
}

// TopicNames returns the names of the topics that `run` needs.
func TopicNames(t configs.Topics) []string {
	var names []string
	for _, p := range PlanTopics(t) {
		names = append(names, p.Name)
	}
	return names
}

// Topic returns the topic to create. 0 means the cluster's default for partitions and
// for replicas.
func (p PlannedTopic) Topic(partitions, replicas int) broker.Topic {
	return replicated(broker.Topic{Name: p.Name, Partitions: partitions, Configs: map[string]string{
		"cleanup.policy": "delete",
		"retention.ms":   strconv.FormatInt(p.Retention.Milliseconds(), 10),
	}}, replicas)
}
