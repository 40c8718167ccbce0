package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/policy"
	"verdict/internal/term"
)

// topicsOptions are the flags of topics.
type topicsOptions struct {
	partitions, replicas  int
	anyPartitions, anyRep bool // the flag was not given: a topic that has others does not differ
	dryRun                bool
}

func topicsCommand(s Process) *cobra.Command {
	var o topicsOptions
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Create the topics that the configuration names",
		Long: `Topics creates the topics of the configuration that are missing: with
cleanup.policy delete, min.insync.replicas 2 where there are three replicas or
more, and a retention of 14 days for decisions and check results, 30 for results
and 90 for dead letters; and the compacted topic in which verdict decide keeps
its counts, with as many partitions as kafka.topics.check_results has. A topic
that is there stays as it is, whatever its partitions and settings; what differs
from a new one is said.`,
		Example: `  verdict topics --kafka-brokers kafka-1:9092 --dry-run
  verdict topics --kafka-brokers kafka-1:9092 --partitions 12 --replication-factor 3`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.partitions < 0 || o.replicas < 0 {
				return &usageError{cmd.CommandPath(), errors.New("--partitions and --replication-factor: want 0 or more")}
			}
			o.anyPartitions, o.anyRep = !cmd.Flags().Changed("partitions"), !cmd.Flags().Changed("replication-factor")
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
			if err := o.defaultReplicas(ctx, connection.Client(), cfg.Kafka.Topics.Decisions); err != nil {
				return err
			}
			return errors.Join(
				createTopics(ctx, s.Out, connection.Client(), o.wanted(cfg.Kafka.Topics), o),
				createState(ctx, s.Out, connection, cfg.Kafka.Topics.CheckResults, o),
			)
		},
	}
	cmd.Flags().IntVar(&o.partitions, "partitions", 12, "partitions of a topic that is created (0: the cluster's default)")
	cmd.Flags().IntVar(&o.replicas, "replication-factor", 0, "replicas of a topic that is created (0: 3, or one for each broker where there are fewer)")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be created, and create nothing")
	configFlags(cmd)
	return cmd
}

// defaultReplicas sets how many replicas there are to be, where no flag says so.
func (o *topicsOptions) defaultReplicas(ctx context.Context, client *kafka.Client, topic string) error {
	if o.replicas > 0 {
		return nil
	}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return fmt.Errorf("count the brokers: %w: are they up, and are their addresses and TLS right? (`verdict check` tells)", err)
	}
	o.replicas = min(max(len(meta.Brokers), 1), 3)
	return nil
}

// wanted is every topic of the configuration.
func (o *topicsOptions) wanted(t configs.Topics) []broker.Topic {
	var all []broker.Topic
	for _, p := range append(app.PlanTopics(t), app.PlannedTopic{Name: t.CheckResults, Retention: app.KeepDecisions}) {
		all = append(all, p.Topic(o.partitions, o.replicas))
	}
	return all
}

// createState creates the topic of counts that belongs to the input of decide.
func createState(ctx context.Context, out io.Writer, connection *broker.Connection, input string, o topicsOptions) error {
	counts, _, err := broker.Partitions(ctx, connection.Client(), input)
	if err != nil {
		return err
	}
	// One that was made just now may not be known yet; it has what was asked for.
	partitions := cmp.Or(counts[input], o.partitions)
	state := policy.Topic(policy.StateTopic, partitions, o.replicas)
	if o.replicas >= 3 {
		state.Configs["min.insync.replicas"] = "2"
	}
	o.anyPartitions = false
	return createTopics(ctx, out, connection.Client(), []broker.Topic{state}, o)
}

// createTopics creates what is missing and says a line for each topic.
func createTopics(ctx context.Context, out io.Writer, client *kafka.Client, plan []broker.Topic, o topicsOptions) error {
	wanted, names := make(map[string]broker.Topic), make([]string, len(plan))
	for i, t := range plan {
		names[i], wanted[t.Name] = t.Name, t
	}
	states, err := broker.Describe(ctx, client, names...)
	if err != nil {
		return err
	}
	var missing []broker.Topic
	for _, name := range names {
		if errors.Is(states[name].Err, kafka.UnknownTopicOrPartition) {
			missing = append(missing, wanted[name])
		}
	}
	var created []string
	if !o.dryRun {
		created, err = broker.Create(ctx, client, missing)
	}
	errs := []error{err}
	for _, name := range names {
		state, isMissing := states[name], slices.ContainsFunc(missing, func(t broker.Topic) bool { return t.Name == name })
		switch {
		case slices.Contains(created, name):
			fmt.Fprintf(out, "%s created: %s\n", name, describeTopic(wanted[name]))
		case isMissing && o.dryRun:
			fmt.Fprintf(out, "%s would be created: %s\n", name, describeTopic(wanted[name]))
		case isMissing && err == nil:
			fmt.Fprintf(out, "%s exists\n", name) // somebody was quicker
		case isMissing: // err says why
		case state.Err != nil:
			errs = append(errs, fmt.Errorf("describe topic %s: %w", name, state.Err))
		default:
			fmt.Fprintf(out, "%s exists%s\n", name, differences(wanted[name], state, o))
		}
	}
	return errors.Join(errs...)
}

func describeTopic(t broker.Topic) string {
	partitions := "the cluster's default of partitions"
	if t.Partitions > 0 {
		partitions = term.Plural(t.Partitions, "partition")
	}
	parts := []string{partitions, fmt.Sprintf("replication factor %d", t.ReplicationFactor)}
	for _, key := range slices.Sorted(maps.Keys(t.Configs)) {
		parts = append(parts, term.Setting(key, t.Configs[key]))
	}
	return strings.Join(parts, ", ")
}

// differences is how a topic that is there differs from one that would be
// created.
func differences(t broker.Topic, is broker.TopicState, o topicsOptions) string {
	var parts []string
	differs := func(what, is, would string) {
		parts = append(parts, fmt.Sprintf("%s is %s, would be %s", what, is, would))
	}
	if !o.anyPartitions && t.Partitions > 0 && is.Partitions != t.Partitions {
		differs("partitions", strconv.Itoa(is.Partitions), strconv.Itoa(t.Partitions))
	}
	if is.ReplicationFactor < t.ReplicationFactor || !o.anyRep && is.ReplicationFactor != t.ReplicationFactor {
		differs("replication factor", strconv.Itoa(is.ReplicationFactor), strconv.Itoa(t.ReplicationFactor))
	}
	if is.ConfigErr != nil {
		parts = append(parts, "its settings may not be read")
	}
	for _, key := range slices.Sorted(maps.Keys(t.Configs)) {
		if value, ok := is.Configs[key]; ok && value != t.Configs[key] {
			differs(key, term.SettingValue(key, value), term.SettingValue(key, t.Configs[key]))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; it differs and stays as it is: " + strings.Join(parts, ", ")
}
