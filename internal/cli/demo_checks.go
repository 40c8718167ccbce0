package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/policy"
)

// createPolicyTopics creates the topics that decide needs besides those of run.
func createPolicyTopics(cluster *embedded.Cluster) error {
	if err := cluster.CreateTopic(configs.Default().Kafka.Topics.CheckResults, demoPartitions, nil); err != nil {
		return err
	}
	state := policy.Topic(policy.StateTopic, demoPartitions, 1)
	return cluster.CreateTopic(state.Name, state.Partitions, state.Configs)
}

// submitChecks publishes check results that lead to a decision on each of
// --decisions tasks. It returns when decide has counted them all; submitted is
// then the number of decide's decisions.
func (d *demo) submitChecks(ctx context.Context, submitted *atomic.Int64) error {
	sent, err := d.publishChecks(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(demoPoll)
	defer ticker.Stop()
	for {
		counted, err := sumCounters(d.decide, "verdict_policy_results_total")
		if err != nil {
			return err
		}
		decided, err := sumCounters(d.decide, "verdict_policy_decisions_total")
		if err != nil {
			return err
		}
		submitted.Store(decided)
		if counted >= sent {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil // awaitSettled reports the stop
		}
	}
}

// publishChecks returns the number of check results that were acknowledged.
func (d *demo) publishChecks(ctx context.Context) (int64, error) {
	connection, err := app.Connect(d.cfg.Kafka, nil)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	var sent atomic.Int64
	for rec := range newDemoChecks(d.options.decisions).records {
		rec.Topic = d.cfg.Kafka.Topics.CheckResults
		err := publisher.Publish(ctx, rec, func(err error) {
			if err == nil {
				sent.Add(1)
			}
		})
		if err != nil {
			return 0, errors.Join(err, publisher.Close(ctx))
		}
	}
	err = publisher.Close(ctx)
	return sent.Load(), err
}

// sumCounters returns the sum of all counters of a metric.
func sumCounters(registry prometheus.Gatherer, name string) (int64, error) {
	families, err := registry.Gather()
	if err != nil {
		return 0, fmt.Errorf("read the metrics of decide: %w", err)
	}
	sum := int64(0)
	for _, family := range families {
		if family.GetName() == name {
			for _, metric := range family.GetMetric() {
				sum += int64(metric.GetCounter().GetValue())
			}
		}
	}
	return sum, nil
}

// demoChecks generates check results, the same in each run. Each task gets some
// that decide nothing and then a PASS; one task in ten gets three FAILs instead.
// Tasks are interleaved, and some results are delivered twice.
type demoChecks struct {
	rand *rand.Rand
	n    int // tasks
}

func newDemoChecks(n int) *demoChecks { return &demoChecks{rand.New(rand.NewPCG(1, 2)), n} }

// demoInterleaved is the number of tasks whose results are interleaved.
const demoInterleaved = 100

// records yields the records of all check results.
func (d *demoChecks) records(yield func(decision.Record) bool) {
	type openTask struct{ task, check int }
	next := 0
	var open []openTask
	left := make(map[int][]decision.CheckResult) // by task, the results still to yield
	for {
		for len(open) < demoInterleaved && next < d.n {
			left[next] = d.results()
			open = append(open, openTask{task: next})
			next++
		}
		if len(open) == 0 {
			return
		}
		i := d.rand.IntN(len(open))
		o := &open[i]
		rec := demoCheck(o.task, o.check, left[o.task][0])
		if !yield(rec) || d.rand.IntN(20) == 0 && !yield(rec) {
			return
		}
		o.check++
		if left[o.task] = left[o.task][1:]; len(left[o.task]) == 0 {
			delete(left, o.task)
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
		}
	}
}

// results returns the results of one task's checks.
func (d *demoChecks) results() []decision.CheckResult {
	undecided := [...]decision.CheckResult{decision.CheckFail, decision.CheckWarn, decision.CheckPartial, decision.CheckError}
	var all []decision.CheckResult
	if d.rand.IntN(10) == 0 {
		for range 3 {
			if d.rand.IntN(3) == 0 {
				all = append(all, undecided[1+d.rand.IntN(3)])
			}
			all = append(all, decision.CheckFail)
		}
		return all
	}
	for range d.rand.IntN(3) { // at most two FAILs, which decide nothing
		all = append(all, undecided[d.rand.IntN(len(undecided))])
	}
	return append(all, decision.CheckPass)
}

// demoCheck returns the record of one check's result.
func demoCheck(task, check int, result decision.CheckResult) decision.Record {
	profile := fmt.Sprintf("%08x-0000-4000-8000-%012x", task/3, task/3) // three tasks per profile
	return decision.Record{Key: []byte(profile), Value: fmt.Appendf(nil,
		`{"id":"demo-%d-%d","profile_id":%q,"task_id":"%08x-0000-4000-9000-%012x","check_id":"%08x-0000-4000-a000-%012x","decision":%q}`,
		task, check, profile, task, task, task, check, result)}
}
