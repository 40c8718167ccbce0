package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/broker"
	"verdict/internal/ledger/store"
	"verdict/internal/policy"
)

// TopicOptions say how CreateTopics creates topics.
type TopicOptions struct {
	Partitions int  // of a new topic; 0: the cluster's default
	Replicas   int  // of a new topic; 0: 3, or one per broker if there are fewer
	DryRun     bool // create nothing
}

// TopicStatus says what CreateTopics did about a topic.
type TopicStatus int

// The statuses of a topic.
const (
	TopicExists  TopicStatus = iota // it was there before
	TopicCreated                    // it was created
	TopicMissing                    // it would have been created without DryRun
)

// TopicReport is what CreateTopics found and did for one topic.
type TopicReport struct {
	Wanted broker.Topic
	Status TopicStatus
	State  *broker.TopicState // of a topic that exists; nil: not known
	// ExactPartitions: Verdict needs as many partitions as are wanted.
	ExactPartitions bool
}

// CreateTopics creates the missing topics of a configuration, those of the ledger, and
// the topic in which `verdict decide` keeps its counts. It changes no topic that exists. It
// reports on the topics that it could examine, even if it returns an error.
func CreateTopics(ctx context.Context, connection *broker.Connection, t configs.Topics, o TopicOptions) ([]TopicReport, error) {
	client := connection.Client()
	if o.Replicas == 0 {
		n, err := defaultReplicas(ctx, client, t.Decisions)
		if err != nil {
			return nil, err
		}
		o.Replicas = n
	}
	var wanted []broker.Topic
	for _, p := range append(PlanTopics(t), PlannedTopic{Name: t.CheckResults, Retention: keepDecisions}, PlannedTopic{Name: t.Held, Retention: keepHeld}) {
		wanted = append(wanted, p.Topic(o.Partitions, o.Replicas))
	}
	reports, err := createMissing(ctx, client, wanted, o.DryRun)

	ledger := store.Topics(t.Control, t.Audit)
	if t.Fingerprints != "" {
		ledger = append(ledger, store.Compacted(t.Fingerprints))
	}
	for i := range ledger {
		ledger[i] = replicated(ledger[i], o.Replicas)
	}
	ledgerReports, ledgerErr := createMissing(ctx, client, ledger, o.DryRun)
	err = errors.Join(err, ledgerErr)
	for _, r := range ledgerReports {
		r.ExactPartitions = true
		reports = append(reports, r)
	}

	state, stateErr := stateTopic(ctx, client, t.CheckResults, o)
	if stateErr != nil {
		return reports, errors.Join(err, stateErr)
	}
	stateReports, stateErr := createMissing(ctx, client, []broker.Topic{state}, o.DryRun)
	for _, r := range stateReports {
		r.ExactPartitions = true
		reports = append(reports, r)
	}
	return reports, errors.Join(err, stateErr)
}

// defaultReplicas returns 3, or the number of brokers if there are fewer.
func defaultReplicas(ctx context.Context, client *kafka.Client, topic string) (int, error) {
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, fmt.Errorf("count the brokers: %w; are they up, and are kafka.brokers and kafka.tls right? Run `verdict check` to find out", err)
	}
	return min(max(len(meta.Brokers), 1), 3), nil
}

// stateTopic returns the topic of counts that belongs to the input of decide: it
// has a partition for each of the input's.
func stateTopic(ctx context.Context, client *kafka.Client, input string, o TopicOptions) (broker.Topic, error) {
	counts, _, err := broker.Partitions(ctx, client, input)
	if err != nil {
		return broker.Topic{}, err
	}
	// An input that was created just now may not be visible yet.
	return replicated(policy.Topic(policy.StateTopic, cmp.Or(counts[input], o.Partitions), o.Replicas), o.Replicas), nil
}

// replicated returns a topic with this many replicas. With two acknowledging ones a lost
// broker loses no record, and the third broker may be down.
func replicated(t broker.Topic, replicas int) broker.Topic {
	t.ReplicationFactor = replicas
	if replicas >= 3 {
		t.Configs["min.insync.replicas"] = "2"
	}
	return t
}

// createMissing creates those of the topics that do not exist.
func createMissing(ctx context.Context, client *kafka.Client, wanted []broker.Topic, dryRun bool) ([]TopicReport, error) {
	names := make([]string, len(wanted))
	for i, t := range wanted {
		names[i] = t.Name
	}
	states, err := broker.Describe(ctx, client, names...)
	if err != nil {
		return nil, err
	}
	isMissing := func(t broker.Topic) bool { return errors.Is(states[t.Name].Err, kafka.UnknownTopicOrPartition) }
	var created []string
	if !dryRun {
		missing := slices.DeleteFunc(slices.Clone(wanted), func(t broker.Topic) bool { return !isMissing(t) })
		created, err = broker.Create(ctx, client, missing)
	}
	errs := []error{err}
	var reports []TopicReport
	for _, t := range wanted {
		state := states[t.Name]
		switch {
		case slices.Contains(created, t.Name):
			reports = append(reports, TopicReport{Wanted: t, Status: TopicCreated})
		case isMissing(t) && dryRun:
			reports = append(reports, TopicReport{Wanted: t, Status: TopicMissing})
		case isMissing(t) && err == nil: // someone else created it in the meantime
			reports = append(reports, TopicReport{Wanted: t, Status: TopicExists})
		case isMissing(t): // err says why
		case state.Err != nil:
			errs = append(errs, fmt.Errorf("describe topic %s: %w", t.Name, state.Err))
		default:
			reports = append(reports, TopicReport{Wanted: t, Status: TopicExists, State: &state})
		}
	}
	return reports, errors.Join(errs...)
}
