package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/passfort/sandbox"
)

// demoPartitions is the number of partitions of each topic of the demo.
const demoPartitions = 6

// demoKey is the API key between the demo's service and its sandbox.
const demoKey = "sandbox"

// demoOptions are the flags of demo.
type demoOptions struct {
	decisions int
	file      string  // empty: generate decisions
	rate      float64 // API calls per second; 0: unlimited
	workers   int
	api       sandbox.Options
	policy    bool
	keep      bool
	log       configs.Log
}

func demoCommand(s Process) *cobra.Command {
	o := demoOptions{log: configs.Log{Level: configs.LogWarn, Format: configs.LogText}}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything in one process, with generated decisions",
		Long: `Demo starts an embedded Kafka and a sandbox of the PassFort API, runs the real
service between them, submits decisions and waits until all are settled. The
last line on standard output is a summary:

  submitted=N completed=N dead_lettered=N retries=N duplicates=N seconds=S rate=R

With --policy, demo submits check results instead, and "verdict decide" with its
default policy turns them into decisions.`,
		Example: `  verdict demo

  # As fast as possible
  verdict demo --decisions 100000 --rate 0 --latency 0

  # Make calls fail; keep running afterwards to look around
  verdict demo --file decisions.csv --error-rate 0.05 --keep

  verdict demo --policy`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return runDemo(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.decisions, "decisions", 1000, "`number` of decisions to generate")
	f.StringVar(&o.file, "file", "", "submit the decisions in this CSV or JSON Lines `FILE` instead (-: standard input)")
	f.BoolVar(&o.policy, "policy", false, "submit check results, and make the decisions with verdict decide")
	f.Float64Var(&o.rate, "rate", 200, "API `calls` per second (0: unlimited)")
	f.IntVar(&o.workers, "workers", configs.Default().Processor.Workers, "maximum `number` of calls in flight")
	f.DurationVar(&o.api.Latency, "latency", 20*time.Millisecond, "latency of the sandbox API")
	f.Float64Var(&o.api.ErrorRate, "error-rate", 0, "`share` of calls that the sandbox answers with 503 (0 to 1)")
	f.Float64Var(&o.api.RejectRate, "reject-rate", 0, "`share` of tasks that the sandbox answers with 404 (0 to 1)")
	f.BoolVar(&o.keep, "keep", false, "keep running after the last decision, and print the addresses")
	f.StringVar((*string)(&o.log.Format), "log-format", string(o.log.Format), "`format` of log lines: json or text")
	f.StringVar((*string)(&o.log.Level), "log-level", string(o.log.Level), "minimum `level` of log lines: debug, info, warn or error")
	for _, flag := range []string{"decisions", "rate", "workers", "latency", "error-rate", "reject-rate"} {
		completeValues(cmd, flag, nil)
	}
	completeValues(cmd, "log-format", o.log.Format.Choices())
	completeValues(cmd, "log-level", o.log.Level.Choices())
	return cmd
}

// validate returns every fault of the flags.
func (o *demoOptions) validate() error {
	var faults []error
	if o.decisions < 0 {
		faults = append(faults, fmt.Errorf("--decisions: is %d; want 0 or more", o.decisions))
	}
	if o.policy && o.file != "" {
		faults = append(faults, errors.New("--file and --policy cannot be used together; to try a policy on a file of check results, use verdict decide --dry-run"))
	}
	faults = append(faults, sandboxFaults(o.api))
	cfg := o.config("127.0.0.1:9092", "http://127.0.0.1:8081/4.0")
	err := cfg.Validate()
	if ofConfig, ok := errors.AsType[configs.Faults](err); ok {
		err = nil
		for _, f := range ofConfig { // demo's flags have other names than the keys'
			if flag := demoFlags[f.Key]; flag != "" {
				f.Key = flag
			}
			faults = append(faults, f)
		}
	}
	return errors.Join(append(faults, err)...)
}

// demoFlags maps configuration keys to the flags of demo that set them.
var demoFlags = map[string]string{
	"api.rate_limit": "--rate", "processor.workers": "--workers", "log.format": "--log-format", "log.level": "--log-level",
}

// config returns the service's configuration: the defaults, the addresses of
// Kafka and the API, and the flags.
func (o *demoOptions) config(kafka, api string) configs.Config {
	cfg := configs.Default()
	cfg.Kafka.Brokers = []string{kafka}
	cfg.API.BaseURL = api
	cfg.API.Key = configs.NewSecret(demoKey)
	cfg.API.RateLimit = o.rate
	cfg.Processor.Workers = o.workers
	cfg.Processor.Guard = 0 // every decision is to end, even if all tasks are rejected
	cfg.Admin.Addr = "127.0.0.1:0"
	cfg.Log = o.log
	return cfg
}
