package metrics

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const referenceFile = "../docs/metrics.md"

// registered is a registerer that only notes what it is given.
type registered struct{ all []prometheus.Collector }

func (r *registered) Register(c prometheus.Collector) error    { r.all = append(r.all, c); return nil }
func (r *registered) MustRegister(all ...prometheus.Collector) { r.all = append(r.all, all...) }
func (*registered) Unregister(prometheus.Collector) bool       { return false }

// kindOf is the kind of the metrics that a collector has.
func kindOf(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	case prometheus.Gauge, *prometheus.GaugeVec, *OldestUnsettled: // before counters, whose methods gauges have too
		return "gauge"
	case prometheus.Counter:
		return "counter"
	case prometheus.GaugeFunc: // a metric with no methods of its own
		return "gauge"
	}
	return ""
}

var description = regexp.MustCompile(`^Desc\{fqName: "(verdict_[a-z_]+)", help: "(.*)", unit: "", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// rows is one row for each metric of the project's own among collectors.
func rows(t *testing.T, all []prometheus.Collector) []string {
	var rows []string
	for _, c := range all {
		descs := make(chan *prometheus.Desc, 1000)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := description.FindStringSubmatch(d.String())
			if m == nil {
				continue // Go's or the process's own
			}
			var labels []string
			for label := range strings.SplitSeq(m[3]+","+m[4], ",") {
				if label, _, _ = strings.Cut(label, "="); label != "" {
					labels = append(labels, "`"+label+"`")
				}
			}
			kind := kindOf(c)
			if kind == "" {
				t.Fatalf("%s: of what kind is a %T?", m[1], c)
			}
			rows = append(rows, "| `"+m[1]+"` | "+kind+" | "+strings.Join(labels, ", ")+" | "+m[2]+" |\n")
		}
	}
	slices.Sort(rows)
	return rows
}

// reference is docs/metrics.md as the code makes it.
func reference(t *testing.T) string {
	var service, decide registered
	New(&service)
	RegisterReady(&service, func() error { return nil })
	RegisterProcess(&service, Build{})
	NewPolicy(&decide)
	const head = "\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n"
	return "# Metrics\n\n<!-- Made from the code: go test ./metrics -update -->\n\n" +
		"At `/metrics` of `admin.addr`, in the Prometheus text format, OpenMetrics (with exemplars) or, for a scraper that asks for native histograms, protobuf. Every series of a closed label set is there from the start, at 0. Go's and the process's own collectors are there as well. Alerts and dashboard are in [configs/prometheus](../configs/prometheus) and [configs/grafana](../configs/grafana).\n" +
		"\n## The service\n" + head + strings.Join(rows(t, service.all), "") +
		"\n## `verdict decide`, beside those of the service that it has a use for\n" + head + strings.Join(rows(t, decide.all), "")
}

func TestTheReferenceIsWhatTheCodeRegisters(t *testing.T) {
	if *update {
		if err := os.WriteFile(referenceFile, []byte(reference(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != reference(t) {
		t.Errorf("%s is not what the code registers; go test ./metrics -update writes it", referenceFile)
	}
}
