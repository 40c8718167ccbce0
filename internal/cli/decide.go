package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/policy"
	"verdict/metrics"
)

func decideCommand(s Process) *cobra.Command {
	var policyFile, dryRunFile, stateTopic string
	cmd := &cobra.Command{
		Use:   "decide",
		Short: "Turn check results into decisions by a policy",
		Long: `Decide reads check results from kafka.topics.check_results, counts them per task
and, when the policy says so, publishes a decision to kafka.topics.decisions for
"verdict run". It runs until SIGTERM or SIGINT, and needs no API key.

Without --policy, a task passes when one check passes and fails when three checks
have failed:

` + indent(policy.DefaultFile()) + `
The counts are kept in the compacted topic ` + policy.StateTopic + `, which has as many
partitions as the input; "verdict topics" creates both.

With --dry-run, decide prints what a file of check results would decide, without
Kafka: one row for each result and task, then a summary line.`,
		Example: `  verdict decide --policy policy.yaml --kafka-brokers kafka-1:9092

  # Try a policy on a file with one JSON object per line
  verdict decide --policy policy.yaml --dry-run results.jsonl`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			policies, err := loadPolicies(policyFile)
			if err != nil {
				return err
			}
			if dryRunFile != "" {
				return dryRun(cmd.Context(), s, policies, dryRunFile)
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			t := cfg.Kafka.Topics
			if stateTopic == "" || slices.Contains(append(app.TopicNames(t), t.CheckResults), stateTopic) {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--state-topic: must be a topic that no configuration key names, is %q", stateTopic)}
			}
			registry := prometheus.NewRegistry()
			metrics.RegisterProcess(registry, app.Build())
			return app.Decide(cmd.Context(), cfg, policies, stateTopic, app.Options{Log: newLogger(s, cfg.Log), Registry: registry})
		},
	}
	cmd.Flags().StringVar(&policyFile, "policy", "", "read the policies from this YAML `FILE` (default: the policy above)")
	cmd.Flags().StringVar(&dryRunFile, "dry-run", "", "try the policy on the check results in this JSON Lines `FILE` (-: standard input)")
	cmd.Flags().StringVar(&stateTopic, "state-topic", policy.StateTopic, "compacted `topic` of the counts; each kafka.group_id in a cluster needs its own")
	completeFiles(cmd, "policy", "yaml", "yml")
	completeValues(cmd, "state-topic", nil)
	configFlags(cmd)
	return cmd
}

// loadPolicies reads a file of policies; an empty name means the default policy.
// Faults of the file have the form of faults of the configuration.
func loadPolicies(file string) (policy.Set, error) {
	if file == "" {
		return policy.Default(), nil
	}
	data, err := readBounded(file, policy.MaxFile+1)
	if err != nil {
		return policy.Set{}, configs.Faults{{Key: "policy", Wrong: "cannot be read: " + err.Error()}}
	}
	set, faults := policy.Parse(file, data)
	if len(faults) == 0 {
		return set, nil
	}
	var all configs.Faults
	for _, f := range faults {
		key := "policy"
		if f.Key != "" {
			key = f.Key
		}
		all = append(all, &configs.Fault{Key: key, Wrong: f.Wrong, Want: f.Want, From: f.Place()})
	}
	return set, all
}

// readBounded returns at most limit bytes of a file.
func readBounded(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// indent returns a file without its comments, indented for help.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString("  " + line)
		}
	}
	return b.String()
}
