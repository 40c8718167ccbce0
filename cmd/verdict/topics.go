package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"verdict/broker"
	"verdict/configs"
	"verdict/policy"
)

// decisionTopics is every topic that run reads or writes.
func decisionTopics(t configs.Topics) []string {
	names := []string{t.Decisions, t.Backfill, t.Results, t.DeadLetters}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

func topicsCommand(s surroundings) *cobra.Command {
	var partitions, replicas int
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Create the topics that the configuration names",
		Long: `Topics creates the topics of the configuration that are missing, and the
compacted topic in which ` + "`verdict decide`" + ` keeps its counts, with as many partitions
as kafka.topics.check_results has. One that is there stays as it is, whatever
its partitions and settings.`,
		Example: "  verdict topics --kafka-brokers kafka-1:9092 --partitions 12 --replication-factor 3",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			connection, err := connectKafka(cfg.Kafka, nil)
			if err != nil {
				return err
			}
			defer connection.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			names := append(decisionTopics(cfg.Kafka.Topics), cfg.Kafka.Topics.CheckResults)
			wanted := make([]broker.Topic, len(names))
			for i, name := range names {
				wanted[i] = broker.Topic{Name: name, Partitions: partitions, ReplicationFactor: replicas}
			}
			created, err := broker.Create(ctx, connection.Client(), wanted)
			if err == nil {
				var state []string
				state, err = createState(ctx, connection, cfg.Kafka.Topics.CheckResults, replicas)
				names, created = append(names, policy.StateTopic), append(created, state...)
			}
			for _, name := range names {
				switch {
				case slices.Contains(created, name):
					fmt.Fprintf(s.out, "%s created\n", name)
				case err == nil:
					fmt.Fprintf(s.out, "%s exists\n", name)
				}
			}
			return err
		},
	}
	cmd.Flags().IntVar(&partitions, "partitions", 0, "partitions of a topic that is created (0: the cluster's default)")
	cmd.Flags().IntVar(&replicas, "replication-factor", 0, "replicas of a topic that is created (0: the cluster's default)")
	configFlags(cmd)
	return cmd
}

// createState creates the topic of counts that belongs to the input, if it is
// missing.
func createState(ctx context.Context, connection *broker.Connection, input string, replicas int) (created []string, err error) {
	bounds, err := connection.Bounds(ctx, input) // which waits for a topic that was made just now
	if err != nil {
		return nil, err
	}
	return broker.Create(ctx, connection.Client(), []broker.Topic{policy.Topic(policy.StateTopic, len(bounds), replicas)})
}
