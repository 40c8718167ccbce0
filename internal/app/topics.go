package app

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
	KeepDecisions   = 14 * 24 * time.Hour
	keepResults     = 30 * 24 * time.Hour
	keepDeadLetters = 90 * 24 * time.Hour
)

// PlannedTopic is a topic and what Verdict needs of it.
type PlannedTopic struct {
	Name       string
	Retention  time.Duration // that it is created with
	MinMessage int           // least max.message.bytes, in bytes; 0: any
	Input      bool          // Verdict reads it and others write to it
}

// Sizes of the largest records beside their decision: a dead letter's headers;
// a result with the API's answer.
const (
	maxIn         = 68 << 10 // a record of 64 KiB, in its batch
	maxDeadLetter = 72 << 10
	maxResult     = 1 << 20 // what the publisher sends at the most; a larger result goes without the answer
)

// PlanTopics is the topics that run needs.
func PlanTopics(t configs.Topics) []PlannedTopic {
	plan := []PlannedTopic{
		{t.Decisions, KeepDecisions, maxIn, true},
		{t.Backfill, KeepDecisions, maxIn, true},
		{t.Results, keepResults, maxResult, false},
		{t.DeadLetters, keepDeadLetters, maxDeadLetter, false},
	}
	return slices.DeleteFunc(plan, func(p PlannedTopic) bool { return p.Name == "" })
}

// Topic returns the topic to create. 0 replicas is the cluster's default.
func (p PlannedTopic) Topic(partitions, replicas int) broker.Topic {
	t := broker.Topic{Name: p.Name, Partitions: partitions, ReplicationFactor: replicas, Configs: map[string]string{
		"cleanup.policy": "delete",
		"retention.ms":   strconv.FormatInt(p.Retention.Milliseconds(), 10),
	}}
	// Acknowledged by two, so that a lost broker loses nothing, and with a third
	// one away publishing goes on.
	if replicas >= 3 {
		t.Configs["min.insync.replicas"] = "2"
	}
	return t
}

// TopicNames returns every topic that `run` reads or writes.
func TopicNames(t configs.Topics) []string {
	var names []string
	for _, p := range PlanTopics(t) {
		names = append(names, p.Name)
	}
	return names
}
