package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/term"
)

func topicsCommand(s Process) *cobra.Command {
	var o app.TopicOptions
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Create the Kafka topics that Verdict needs",
		Long: `Topics creates the configured topics that are missing. It never changes a topic
that exists, but reports how it differs from a new one.

New topics have cleanup.policy delete and, with three replicas or more,
min.insync.replicas 2. Decisions and check results are kept for 14 days, results
for 30 and dead letters for 90. The topic in which "verdict decide" keeps its
counts is compacted and has as many partitions as kafka.topics.check_results.`,
		Example: `  # Show what would be created
  verdict topics --kafka-brokers kafka-1:9092 --dry-run

  verdict topics --kafka-brokers kafka-1:9092 --partitions 12 --replication-factor 3`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Partitions < 0 || o.Replicas < 0 {
				return &usageError{cmd.CommandPath(), errors.New("--partitions and --replication-factor: want 0 or more")}
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			connection, err := app.Connect(cfg.Kafka, nil)
			if err != nil {
				return err
			}
			defer connection.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			reports, err := app.CreateTopics(ctx, connection, cfg.Kafka.Topics, o)
			for _, r := range reports {
				// Without a flag, a topic that has another number does not differ.
				partitions := cmd.Flags().Changed("partitions") || r.ExactPartitions
				writeTopic(s.Out, r, partitions, cmd.Flags().Changed("replication-factor"))
			}
			return err
		},
	}
	cmd.Flags().IntVar(&o.Partitions, "partitions", 12, "`number` of partitions of a new topic (0: the cluster's default)")
	cmd.Flags().IntVar(&o.Replicas, "replication-factor", 0, "`number` of replicas of a new topic (0: 3, or one per broker if there are fewer)")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "show what would be created, and create nothing")
	completeValues(cmd, "partitions", nil)
	completeValues(cmd, "replication-factor", nil)
	configFlags(cmd)
	return cmd
}

// writeTopic prints the line about one topic.
func writeTopic(out io.Writer, r app.TopicReport, comparePartitions, compareReplicas bool) {
	switch r.Status {
	case app.TopicCreated:
		fmt.Fprintf(out, "%s created: %s\n", r.Wanted.Name, describeTopic(r.Wanted))
	case app.TopicMissing:
		fmt.Fprintf(out, "%s would be created: %s\n", r.Wanted.Name, describeTopic(r.Wanted))
	case app.TopicExists:
		line := r.Wanted.Name + " exists"
		if r.State != nil {
			if d := topicDifferences(r.Wanted, *r.State, comparePartitions, compareReplicas); len(d) > 0 {
				line += "; it differs and stays as it is: " + strings.Join(d, ", ")
			}
		}
		fmt.Fprintln(out, line)
	}
}

// describeTopic lists the properties of a new topic.
func describeTopic(t broker.Topic) string {
	partitions := "the cluster's default number of partitions"
	if t.Partitions > 0 {
		partitions = term.Plural(t.Partitions, "partition")
	}
	parts := []string{partitions, fmt.Sprintf("replication factor %d", t.ReplicationFactor)}
	for _, key := range slices.Sorted(maps.Keys(t.Configs)) {
		parts = append(parts, term.Setting(key, t.Configs[key]))
	}
	return strings.Join(parts, ", ")
}

// topicDifferences lists how an existing topic differs from a new one.
func topicDifferences(t broker.Topic, is broker.TopicState, comparePartitions, compareReplicas bool) []string {
	var parts []string
	differs := func(what, is, would string) {
		parts = append(parts, fmt.Sprintf("%s is %s, would be %s", what, is, would))
	}
	if comparePartitions && t.Partitions > 0 && is.Partitions != t.Partitions {
		differs("partitions", strconv.Itoa(is.Partitions), strconv.Itoa(t.Partitions))
	}
	if is.ReplicationFactor < t.ReplicationFactor || compareReplicas && is.ReplicationFactor != t.ReplicationFactor {
		differs("replication factor", strconv.Itoa(is.ReplicationFactor), strconv.Itoa(t.ReplicationFactor))
	}
	if is.ConfigErr != nil {
		parts = append(parts, "its settings cannot be read")
	}
	for _, key := range slices.Sorted(maps.Keys(t.Configs)) {
		if value, ok := is.Configs[key]; ok && value != t.Configs[key] {
			differs(key, term.SettingValue(key, value), term.SettingValue(key, t.Configs[key]))
		}
	}
	return parts
}
