package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker/embedded"
	"verdict/internal/passfort/sandbox"
	"verdict/internal/policy"
	"verdict/internal/term"
	"verdict/metrics"
)

// demo is one run of `verdict demo`.
type demo struct {
	options demoOptions
	cfg     configs.Config
	log     *slog.Logger
	run     *prometheus.Registry // metrics of `verdict run`
	decide  *prometheus.Registry // metrics of `verdict decide`, with --policy
}

// runDemo starts Kafka, the sandbox API and the services, submits decisions and
// waits until they are settled. It stops the parts in the reverse order, so that
// no service outlives what it uses.
func runDemo(ctx context.Context, s Process, o demoOptions) error {
	input, err := openDemoInput(o, s.In)
	if err != nil {
		return err
	}
	defer input.close()
	cluster, err := startDemoKafka(o.policy)
	if err != nil {
		return err
	}
	defer cluster.Close()
	api, stopAPI, err := startDemoAPI(ctx, o.api)
	if err != nil {
		return err
	}
	d := &demo{
		options: o, cfg: o.config(cluster.Addrs()[0], api), log: newLogger(s, o.log),
		run: prometheus.NewRegistry(), decide: prometheus.NewRegistry(),
	}
	metrics.RegisterProcess(d.run, app.Build())
	admin := make(chan string, 1) // its address, sent once
	running, stopServices := d.startServices(ctx, func(addr string) { admin <- addr })

	summary, err := d.submitAndWait(running, s.Err, input)
	if err == nil && o.keep {
		d.printAddresses(running, s.Err, admin)
		// The summary comes before the wait: a script that reads it can then look
		// around.
		err = summary.write(s.Out)
		fmt.Fprintln(s.Err, "Press Ctrl-C to stop.")
		<-ctx.Done()
	}
	err = errors.Join(err, stopServices())
	err = errors.Join(err, stopAPI())
	if err != nil || o.keep {
		return err
	}
	return summary.write(s.Out)
}

func (d *demo) printAddresses(running context.Context, out io.Writer, admin <-chan string) {
	select {
	case addr := <-admin:
		fmt.Fprintf(out, "Kafka    %s\nAPI      %s (key %s)\nmetrics  http://%s/metrics\n", d.cfg.Kafka.Brokers[0], d.cfg.API.BaseURL, demoKey, addr)
	case <-running.Done():
	}
}

// startDemoKafka starts an embedded Kafka with all topics.
func startDemoKafka(withPolicy bool) (*embedded.Cluster, error) {
	topics := make(map[string]int)
	for _, name := range app.TopicNames(configs.Default().Kafka.Topics) {
		topics[name] = demoPartitions
	}
	cluster, err := embedded.Start(embedded.Options{Topics: topics})
	if err != nil {
		return nil, fmt.Errorf("start the embedded Kafka: %w", err)
	}
	if withPolicy {
		if err := createPolicyTopics(cluster); err != nil {
			cluster.Close()
			return nil, fmt.Errorf("create the topics of decide: %w", err)
		}
	}
	return cluster, nil
}

// startDemoAPI starts the sandbox API and returns its base URL. stop waits for
// its end.
func startDemoAPI(ctx context.Context, o sandbox.Options) (baseURL string, stop func() error, err error) {
	o.Key, o.Profiles = demoKey, sandbox.SeededProfiles(o.Seed)
	box, err := sandbox.New(o)
	if err != nil {
		return "", nil, err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listen for the sandbox API: %w", err)
	}
	// The end of ctx stops the services first.
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var server errgroup.Group
	server.Go(func() error { return serveHTTP(serving, listener, box) })
	return "http://" + listener.Addr().String() + "/4.0", func() error {
		cancel()
		return server.Wait()
	}, nil
}

// startServices starts `run` and, with --policy, `decide`. The context ends when
// one of them fails, because then the demo would never finish. stop waits for
// their end.
func (d *demo) startServices(ctx context.Context, ready func(adminAddr string)) (running context.Context, stop func() error) {
	running, cancel := context.WithCancel(ctx)
	var services errgroup.Group
	start := func(service func() error) {
		services.Go(func() error {
			err := service()
			if err != nil {
				cancel()
			}
			return err
		})
	}
	start(func() error {
		return app.Run(running, d.cfg, app.Options{Log: d.log, Registry: d.run, Ready: ready})
	})
	if d.options.policy {
		start(func() error {
			return app.Decide(running, d.cfg, policy.Default(), policy.StateTopic, app.Options{Log: d.log, Registry: d.decide})
		})
	}
	return running, func() error {
		cancel()
		return services.Wait()
	}
}

// submitAndWait submits everything and waits until it is settled.
func (d *demo) submitAndWait(ctx context.Context, progress io.Writer, input demoInput) (demoSummary, error) {
	start := time.Now()
	submitting, stop := context.WithCancel(ctx)
	defer stop()
	var submitted atomic.Int64 // written by the submitter alone
	allSubmitted := make(chan struct{})
	var submitter errgroup.Group
	submitter.Go(func() error {
		defer close(allSubmitted)
		if d.options.policy {
			return d.submitChecks(submitting, &submitted)
		}
		return d.submitRows(submitting, input, &submitted)
	})
	counter := term.NewCounter(progress, "settled", input.total)
	summary, err := d.awaitSettled(ctx, &submitted, allSubmitted, counter)
	counter.Finish()
	stop()
	err = errors.Join(err, submitter.Wait())
	summary.submitted, summary.elapsed = submitted.Load(), time.Since(start)
	return summary, err
}

// demoPoll is the time between two readings of the services' metrics.
const demoPoll = 50 * time.Millisecond

// awaitSettled waits until every submitted decision is settled.
func (d *demo) awaitSettled(ctx context.Context, submitted *atomic.Int64, allSubmitted <-chan struct{}, counter *term.Counter) (demoSummary, error) {
	ticker := time.NewTicker(demoPoll)
	defer ticker.Stop()
	for {
		summary, err := readDemoSummary(d.run)
		if err != nil {
			return summary, err
		}
		settled := summary.settled()
		counter.Set(settled)
		select {
		case <-allSubmitted:
			if settled >= submitted.Load() {
				return summary, nil
			}
		default:
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return summary, fmt.Errorf("stopped with %d of %d decisions settled", settled, submitted.Load())
		}
	}
}
