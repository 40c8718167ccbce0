package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/internal/policy"
	"verdict/metrics"
)

// demoPartitions is the number of partitions of each topic of the demo.
const demoPartitions = 6

// demoKey is the API key between the demo's service and its sandbox.
const demoKey = "sandbox"

type demoOptions struct {
	decisions int
	file      string
	rate      float64
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
		Short: "Everything in one process: decisions in, tasks completed, a summary",
		Long: `Demo starts an embedded Kafka and the sandbox API, runs the real service between
them, submits decisions and waits until the last is settled. Its last line on
standard output sums up:

  submitted=N completed=N dead_lettered=N retries=N duplicates=N seconds=S rate=R

With --policy it submits check results of as many tasks instead, from which
` + "`verdict decide`" + ` makes the decisions by its default policy.`,
		Example: `  verdict demo
  verdict demo --decisions 100000 --rate 0 --latency 0
  verdict demo --file decisions.csv --error-rate 0.05 --keep
  verdict demo --policy`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return demo(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.decisions, "decisions", 1000, "decisions to make up and submit")
	f.StringVar(&o.file, "file", "", "CSV or JSON Lines file of decisions to submit instead (- is standard input)")
	f.BoolVar(&o.policy, "policy", false, "submit check results and let decide make the decisions")
	f.Float64Var(&o.rate, "rate", 200, "API calls per second (0: unlimited)")
	f.IntVar(&o.workers, "workers", configs.Default().Processor.Workers, "calls in flight at the most")
	f.DurationVar(&o.api.Latency, "latency", 20*time.Millisecond, "how long the sandbox takes for a call")
	f.Float64Var(&o.api.ErrorRate, "error-rate", 0, "share of calls that the sandbox answers 503, 0 to 1")
	f.Float64Var(&o.api.RejectRate, "reject-rate", 0, "share of tasks that the sandbox answers 404, 0 to 1")
	f.BoolVar(&o.keep, "keep", false, "stay up after the last decision, with the addresses printed")
	f.StringVar((*string)(&o.log.Format), "log-format", string(o.log.Format), "json or text")
	f.StringVar((*string)(&o.log.Level), "log-level", string(o.log.Level), "debug, info, warn or error")
	return cmd
}

func (o *demoOptions) validate() error {
	var faults []error
	if o.decisions < 0 {
		faults = append(faults, fmt.Errorf("--decisions: is %d; want 0 or more", o.decisions))
	}
	if o.policy && o.file != "" {
		faults = append(faults, errors.New("--file has decisions and --policy makes them; leave one out (decide --dry-run shows what a file of check results would decide)"))
	}
	faults = append(faults, sandboxFaults(o.api))
	cfg := o.config("127.0.0.1:9092", "http://127.0.0.1:8081/4.0")
	err := cfg.Validate()
	if ofConfig, ok := errors.AsType[configs.Faults](err); ok {
		err = nil
		for _, f := range ofConfig { // the flags here are not those of the keys
			if flag := demoFlags[f.Key]; flag != "" {
				f.Key = flag
			}
			faults = append(faults, f)
		}
	}
	return errors.Join(append(faults, err)...)
}

// demoFlags is the flags by the keys that they set.
var demoFlags = map[string]string{
	"api.rate_limit": "--rate", "processor.workers": "--workers", "log.format": "--log-format", "log.level": "--log-level",
}

// config is the service's configuration: the defaults, but for where things are
// and what the flags say.
func (o *demoOptions) config(kafka, api string) configs.Config {
	cfg := configs.Default()
	cfg.Kafka.Brokers = []string{kafka}
	cfg.API.BaseURL = api
	cfg.API.Key = configs.NewSecret(demoKey)
	cfg.API.RateLimit = o.rate
	cfg.Processor.Workers = o.workers
	cfg.Admin.Addr = "127.0.0.1:0"
	cfg.Log = o.log
	return cfg
}

// demo runs the whole of it.
func demo(ctx context.Context, s Process, o demoOptions) (err error) {
	log := newLogger(s, o.log)
	input, err := o.open(s.In)
	if err != nil {
		return err
	}
	defer input.close()

	cluster, err := embedded.Start(embedded.Options{Topics: demoTopics()})
	if err != nil {
		return fmt.Errorf("start the embedded Kafka: %w", err)
	}
	defer cluster.Close()
	if o.policy {
		if err := createPolicyTopics(cluster); err != nil {
			return fmt.Errorf("create the topics of decide: %w", err)
		}
	}
	o.api.Key, o.api.Profiles = demoKey, sandbox.SeededProfiles(o.api.Seed)
	box, err := sandbox.New(o.api)
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the sandbox API: %w", err)
	}
	api := "http://" + listener.Addr().String()
	cfg := o.config(cluster.Addrs()[0], api+"/4.0")

	registry := prometheus.NewRegistry()
	metrics.RegisterProcess(registry, app.Build())
	adminAddr := make(chan string, 1)
	// The service ends before what it works with.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	var servers, service errgroup.Group
	servers.Go(func() error { return serveHTTP(serving, listener, box) })
	running, stopRunning := context.WithCancel(ctx)
	defer stopRunning()
	service.Go(func() error {
		return app.Run(running, cfg, app.Options{Log: log, Registry: registry, Ready: func(addr string) { adminAddr <- addr }})
	})

	deciding := prometheus.NewRegistry()
	if o.policy {
		service.Go(func() error {
			err := app.Decide(running, cfg, policy.Default(), policy.StateTopic, app.Options{Log: log, Registry: deciding})
			if err != nil {
				stopRunning() // nothing would ever be submitted
			}
			return err
		})
	}

	began := time.Now()
	var submitted atomic.Int64
	submitting, stopSubmitting := context.WithCancel(running)
	defer stopSubmitting()
	var submitter errgroup.Group
	allSubmitted := make(chan struct{})
	submitter.Go(func() error {
		defer close(allSubmitted)
		if o.policy {
			return submitChecks(submitting, cfg, o.decisions, deciding, &submitted)
		}
		return submitDemo(submitting, cfg, input, &submitted, log)
	})
	bar := newProgress(s.Err, "settled", input.total)
	sum, err := awaitSettled(running, registry, &submitted, allSubmitted, bar)
	bar.finish()
	stopSubmitting()
	err = errors.Join(err, submitter.Wait())
	elapsed := time.Since(began).Seconds()
	say := func() error {
		_, err := fmt.Fprintf(s.Out, "submitted=%d completed=%d dead_lettered=%d retries=%d duplicates=%d seconds=%.2f rate=%.1f\n",
			submitted.Load(), sum.completed, sum.deadLettered, sum.retries, sum.duplicates, elapsed, float64(submitted.Load())/max(elapsed, 0.001))
		return err
	}
	if err == nil && o.keep {
		// The sum comes before the wait: who waits for it wants to look around.
		fmt.Fprintf(s.Err, "Kafka    %s\nAPI      %s/4.0 (key %s)\nmetrics  http://%s/metrics\n", cfg.Kafka.Brokers[0], api, demoKey, <-adminAddr)
		err = say()
		fmt.Fprintln(s.Err, "Ctrl-C ends it.")
		<-ctx.Done()
	}
	stopRunning()
	err = errors.Join(err, service.Wait())
	stopServing()
	err = errors.Join(err, servers.Wait())
	if err != nil || o.keep {
		return err
	}
	return say()
}

func demoTopics() map[string]int {
	topics := make(map[string]int)
	for _, name := range app.TopicNames(configs.Default().Kafka.Topics) {
		topics[name] = demoPartitions
	}
	return topics
}

// demoInput is where the decisions come from.
type demoInput struct {
	next  func() (rows.Row, error) // io.EOF after the last
	total int64                    // -1: not known before the end
	close func()
}

func (o *demoOptions) open(stdin io.Reader) (demoInput, error) {
	if o.file == "" {
		g, err := rows.NewGenerator(rows.GeneratorOptions{BatchID: "demo"})
		left := o.decisions
		return demoInput{total: int64(o.decisions), close: func() {}, next: func() (rows.Row, error) {
			if left == 0 {
				return rows.Row{}, io.EOF
			}
			left--
			return g.Next()
		}}, err
	}
	f, name := io.NopCloser(stdin), "standard input"
	if o.file != rows.Stdin {
		file, err := os.Open(o.file)
		if err != nil {
			return demoInput{}, err
		}
		f, name = file, o.file
	}
	reader, err := rows.NewReader(f, rows.Options{})
	if err != nil {
		f.Close()
		return demoInput{}, fmt.Errorf("read %s: %w", name, err)
	}
	return demoInput{next: reader.Next, total: -1, close: func() { reader.Close(); f.Close() }}, nil
}

// submitDemo puts every row into the live topic as it stands.
func submitDemo(ctx context.Context, cfg configs.Config, in demoInput, submitted *atomic.Int64, log *slog.Logger) error {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	for {
		row, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			err = fmt.Errorf("read the decisions: %w", err)
			return errors.Join(err, publisher.Close(ctx))
		}
		if row.Value == nil {
			log.Warn("a line is too long to be submitted", "line", row.Line, "err", row.Fault)
			continue
		}
		err = publisher.Publish(ctx, row.Record(cfg.Kafka.Topics.Decisions), func(err error) {
			if err == nil {
				submitted.Add(1)
			}
		})
		if err != nil {
			return errors.Join(err, publisher.Close(ctx))
		}
	}
	return publisher.Close(ctx)
}

// demoSum is what the summary line says of the service, by its own metrics.
type demoSum struct {
	settled, completed, deadLettered, duplicates, retries int64
}

// awaitSettled waits until every submitted decision is settled.
func awaitSettled(ctx context.Context, registry prometheus.Gatherer, submitted *atomic.Int64, allSubmitted <-chan struct{}, bar *progress) (demoSum, error) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		sum, err := readDemoSum(registry)
		if err != nil {
			return sum, err
		}
		bar.set(sum.settled)
		select {
		case <-allSubmitted:
			if sum.settled >= submitted.Load() {
				return sum, nil
			}
		default:
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return sum, fmt.Errorf("stopped with %d of %d decisions settled", sum.settled, submitted.Load())
		}
	}
}

func readDemoSum(registry prometheus.Gatherer) (demoSum, error) {
	var sum demoSum
	families, err := registry.Gather()
	if err != nil {
		return sum, fmt.Errorf("read the service's metrics: %w", err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			n := int64(metric.GetCounter().GetValue())
			switch family.GetName() {
			case "verdict_retries_total":
				sum.retries += n
			case "verdict_decisions_total":
				sum.settled += n
				for _, label := range metric.GetLabel() {
					if label.GetName() != "outcome" {
						continue
					}
					switch decision.Outcome(label.GetValue()) {
					case decision.DeadLettered:
						sum.deadLettered += n
					case decision.Duplicate:
						sum.duplicates += n
					default:
						sum.completed += n
					}
				}
			}
		}
	}
	return sum, nil
}

// commas is n for people: 1,234,567.
func commas(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
