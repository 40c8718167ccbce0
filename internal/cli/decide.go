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
		Short: "Make decisions from check results by a policy, until SIGTERM or SIGINT",
		Long: `Decide reads check results from kafka.topics.check_results, counts them task by
task, and publishes a decision to kafka.topics.decisions where the policy says
so, for ` + "`verdict run`" + ` to carry out. Without --policy a task is passed when a check
passes and failed when three checks have failed:

` + indent(policy.DefaultFile()) + `
Counts are kept in the compacted topic ` + policy.StateTopic + `, which has a partition
for each of the input (` + "`verdict topics`" + ` creates both). It needs no API key.

--dry-run says what a file of check results, one JSON object a line, would
decide, and reaches for nothing: one row for each result and task, then a line
that sums up.`,
		Example: `  verdict decide --policy policy.yaml --kafka-brokers kafka-1:9092
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
				return &usageError{cmd.CommandPath(), fmt.Errorf("--state-topic: want a topic of its own, is %q", stateTopic)}
			}
			registry := prometheus.NewRegistry()
			metrics.RegisterProcess(registry, app.Build())
			return app.Decide(cmd.Context(), cfg, policies, stateTopic, app.Options{Log: newLogger(s, cfg.Log), Registry: registry})
		},
	}
	cmd.Flags().StringVar(&policyFile, "policy", "", "YAML file of policies (default: the one above)")
	cmd.Flags().StringVar(&dryRunFile, "dry-run", "", "JSON Lines file of check results to try the policy with (- is standard input)")
	cmd.Flags().StringVar(&stateTopic, "state-topic", policy.StateTopic, "compacted topic of counts; one for each kafka.group_id that shares a cluster")
	configFlags(cmd)
	return cmd
}

// loadPolicies reads a file of policies; no file is the default ones. Its faults
// are told as those of the configuration are.
func loadPolicies(file string) (policy.Set, error) {
	if file == "" {
		return policy.Default(), nil
	}
	data, err := readBounded(file, policy.MaxFile+1)
	if err != nil {
		return policy.Set{}, configs.Faults{{Key: "policy", Wrong: "can't be read: " + err.Error()}}
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

// readBounded is a file of at most that many bytes; of a larger one, its begin.
func readBounded(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// indent is text as --help shows a file.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString("  " + line)
		}
	}
	return b.String()
}
