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

// createPolicyTopics creates what decide needs beside the topics of run.
func createPolicyTopics(cluster *embedded.Cluster) error {
	if err := cluster.CreateTopic(configs.Default().Kafka.Topics.CheckResults, demoPartitions, nil); err != nil {
		return err
	}
	state := policy.Topic(policy.StateTopic, demoPartitions, 1)
	return cluster.CreateTopic(state.Name, state.Partitions, state.Configs)
}

// submitChecks makes check results up that lead to a decision on each of n tasks,
// and returns when decide, whose registry is given, has counted them all:
// submitted is then the number of its decisions.
func submitChecks(ctx context.Context, cfg configs.Config, n int, registry prometheus.Gatherer, submitted *atomic.Int64) error {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	var sent atomic.Int64
	for rec := range newDemoChecks(n).records {
		rec.Topic = cfg.Kafka.Topics.CheckResults
		if err := publisher.Publish(ctx, rec, func(err error) {
			if err == nil {
				sent.Add(1)
			}
		}); err != nil {
			return errors.Join(err, publisher.Close(ctx))
		}
	}
	if err := publisher.Close(ctx); err != nil {
		return err
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		counted, err := sumCounters(registry, "verdict_policy_results_total")
		if err != nil {
			return err
		}
		decided, err := sumCounters(registry, "verdict_policy_decisions_total")
		if err != nil {
			return err
		}
		submitted.Store(decided)
		if counted >= sent.Load() {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil // which awaitSettled tells
		}
	}
}

// sumCounters is the sum of all counters of a name.
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

// demoChecks makes up check results, the same at each run: of every task some
// that decide nothing, then a PASS or, of one task in ten, a third FAIL; the tasks
// mixed, and some results delivered twice.
type demoChecks struct {
	rand *rand.Rand
	n    int
}

func newDemoChecks(n int) *demoChecks { return &demoChecks{rand.New(rand.NewPCG(1, 2)), n} }

// demoMixed is how many tasks have results on their way at a time.
const demoMixed = 100

// records gives them all.
func (d *demoChecks) records(yield func(decision.Record) bool) {
	type open struct{ task, check int }
	next := 0
	var mixed []open
	waiting := make(map[int][]decision.CheckResult) // by task, the results to come
	for {
		for len(mixed) < demoMixed && next < d.n {
			waiting[next] = d.results()
			mixed = append(mixed, open{task: next})
			next++
		}
		if len(mixed) == 0 {
			return
		}
		i := d.rand.IntN(len(mixed))
		o := &mixed[i]
		rec := demoCheck(o.task, o.check, waiting[o.task][0])
		if !yield(rec) || d.rand.IntN(20) == 0 && !yield(rec) {
			return
		}
		o.check++
		if waiting[o.task] = waiting[o.task][1:]; len(waiting[o.task]) == 0 {
			delete(waiting, o.task)
			mixed[i] = mixed[len(mixed)-1]
			mixed = mixed[:len(mixed)-1]
		}
	}
}

// results is what the checks of one task come to.
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
	for range d.rand.IntN(3) { // two fails at the most
		all = append(all, undecided[d.rand.IntN(len(undecided))])
	}
	return append(all, decision.CheckPass)
}

// demoCheck is the record of one check's result.
func demoCheck(task, check int, result decision.CheckResult) decision.Record {
	profile := fmt.Sprintf("%08x-0000-4000-8000-%012x", task/3, task/3) // three tasks each
	return decision.Record{Key: []byte(profile), Value: fmt.Appendf(nil,
		`{"id":"demo-%d-%d","profile_id":%q,"task_id":"%08x-0000-4000-9000-%012x","check_id":"%08x-0000-4000-a000-%012x","decision":%q}`,
		task, check, profile, task, task, task, check, result)}
}
