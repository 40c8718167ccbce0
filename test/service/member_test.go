package service_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/decision"
	"verdict/test/fixture"
)

// member is one running service, a member of the consumer group.
type member struct {
	w        *world
	registry *prometheus.Registry
	link     *fixture.Link // to Kafka
	cancel   context.CancelFunc
	ended    chan error // gets Run's or Decide's error
}

// start starts `run` with the world's configuration, changed by change.
func (w *world) start(change ...func(*configs.Config)) *member {
	w.t.Helper()
	return w.startMember(app.Run, change...)
}

// startMember starts a service with the world's configuration, changed by change.
func (w *world) startMember(run func(context.Context, configs.Config, app.Options) error, change ...func(*configs.Config)) *member {
	w.t.Helper()
	cfg := w.cfg
	for _, c := range change {
		c(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	m := &member{w: w, registry: prometheus.NewRegistry(), link: &fixture.Link{Network: w.network}, cancel: cancel, ended: make(chan error, 1)}
	w.running[m] = struct{}{}
	go func() {
		m.ended <- run(ctx, cfg, app.Options{
			Log:      slog.New(slog.NewTextHandler(&lockedWriter{mu: &w.mu, to: &w.logs}, &slog.HandlerOptions{Level: w.level})),
			Registry: m.registry, Tracer: w.tracer,
			DialKafka: m.link.DialContext, DialAPI: w.network.DialContext, DialSchemas: w.network.DialContext,
		})
	}()
	return m
}

// wait waits for the member's end and returns its error.
func (m *member) wait() error {
	err := <-m.ended
	delete(m.w.running, m)
	return err
}

// stop stops the member as SIGTERM would, and waits for its end.
func (m *member) stop() {
	m.w.t.Helper()
	m.cancel()
	if err := m.wait(); err != nil {
		m.w.t.Errorf("the service ended with: %v", err)
	}
}

// awaitJoined waits until the member owns every partition.
func (m *member) awaitJoined() {
	m.w.t.Helper()
	m.w.await(time.Minute, "the member owns every partition", func() bool {
		return m.metric("verdict_partitions_assigned") == 2*partitions
	})
}

// paused reports whether the metric shows a pause of this cause.
func (m *member) paused(cause decision.PauseCause) bool {
	m.w.t.Helper()
	return m.metric("verdict_paused", "cause", string(cause)) == 1
}

// metric returns the sum of the series of one name whose labels have these values,
// given as name, value, name, value …
func (m *member) metric(name string, labels ...string) float64 {
	m.w.t.Helper()
	return seriesSum(m.w.t, m.registry, name, labels...)
}

// seriesSum returns the sum of the counters and gauges of one name whose labels have
// these values.
func seriesSum(t testing.TB, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	sum := 0.0
	for _, family := range gather(t, registry) {
		if family.GetName() != name {
			continue
		}
		for _, series := range family.GetMetric() {
			have := make(map[string]string)
			for _, l := range series.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			matches := true
			for i := 0; i < len(labels); i += 2 {
				matches = matches && have[labels[i]] == labels[i+1]
			}
			if matches {
				sum += series.GetCounter().GetValue() + series.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func gather(t testing.TB, registry *prometheus.Registry) []*dto.MetricFamily {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// series returns the labels of every series of the member, as text, by name.
func (m *member) series() map[string][]string {
	m.w.t.Helper()
	all := make(map[string][]string)
	for _, family := range gather(m.w.t, m.registry) {
		for _, s := range family.GetMetric() {
			all[family.GetName()] = append(all[family.GetName()], fmt.Sprint(s.GetLabel()))
		}
	}
	return all
}

// exemplars returns the trace of each exemplar in the member's histograms of one
// name.
func (m *member) exemplars(name string) []string {
	m.w.t.Helper()
	var all []string
	for _, family := range gather(m.w.t, m.registry) {
		if family.GetName() != name {
			continue
		}
		for _, series := range family.GetMetric() {
			for _, b := range series.GetHistogram().GetBucket() {
				for _, l := range b.GetExemplar().GetLabel() {
					all = append(all, l.GetValue())
				}
			}
		}
	}
	return all
}
