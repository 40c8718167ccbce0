package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestObserveAddsSampledTracesAsExemplars(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for traceparent, want := range map[string]string{
		"":                                     "",
		"00-" + trace + "-00f067aa0ba902b7-00": "",
		"00-" + trace + "-00f067aa0ba902b7-02": "",
		"00-" + trace + "-00f067aa0ba902b7-01": trace,
		"00-" + trace + "-00f067aa0ba902b7-03": trace,
	} {
		m := New(prometheus.NewRegistry())
		o := m.DecisionDuration.WithLabelValues("live")
		Observe(o, 0.07, traceparent)
		var got dto.Metric
		if err := o.(prometheus.Metric).Write(&got); err != nil {
			t.Fatal(err)
		}
		if got.GetHistogram().GetSampleCount() != 1 {
			t.Errorf("%q: %d values", traceparent, got.GetHistogram().GetSampleCount())
		}
		var found strings.Builder
		for _, b := range got.GetHistogram().GetBucket() {
			for _, l := range b.GetExemplar().GetLabel() {
				found.WriteString(l.GetValue())
			}
		}
		if found.String() != want {
			t.Errorf("%q: exemplar %q, want %q", traceparent, found.String(), want)
		}
	}
}
