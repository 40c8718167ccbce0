package cli

import (
	"slices"
	"strconv"
	"time"

	"verdict/configs"
	"verdict/internal/broker"
)

// How long records are kept in topics that Verdict creates. A decision must
// outlast the longest stop, a dead letter the holidays of who looks after it.
const (
	keepDecisions   = 14 * 24 * time.Hour
	keepResults     = 30 * 24 * time.Hour
	keepDeadLetters = 90 * 24 * time.Hour
)

// plannedTopic is a topic and what Verdict needs of it.
type plannedTopic struct {
	name       string
	retention  time.Duration // that it is created with
	minMessage int           // bytes; the least max.message.bytes
	input      bool          // Verdict reads it, and others write to it
}

// Sizes of the largest records beside their decision: a dead letter's headers;
// a result with the API's answer.
const (
	maxIn         = 68 << 10 // a record of 64 KiB, in its batch
	maxDeadLetter = 72 << 10
	maxResult     = 1 << 20 // what the publisher sends at the most; a larger result goes without the answer
)

// planTopics is the topics that run needs.
func planTopics(t configs.Topics) []plannedTopic {
	plan := []plannedTopic{
		{t.Decisions, keepDecisions, maxIn, true},
		{t.Backfill, keepDecisions, maxIn, true},
		{t.Results, keepResults, maxResult, false},
		{t.DeadLetters, keepDeadLetters, maxDeadLetter, false},
	}
	return slices.DeleteFunc(plan, func(p plannedTopic) bool { return p.name == "" })
}

// topic is what to create; replicas 0 is the cluster's default.
func (p plannedTopic) topic(partitions, replicas int) broker.Topic {
	t := broker.Topic{Name: p.name, Partitions: partitions, ReplicationFactor: replicas, Configs: map[string]string{
		"cleanup.policy": "delete",
		"retention.ms":   strconv.FormatInt(p.retention.Milliseconds(), 10),
	}}
	// Acknowledged by two, so that a lost broker loses nothing, and with a third
	// one away publishing goes on.
	if replicas >= 3 {
		t.Configs["min.insync.replicas"] = "2"
	}
	return t
}
