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

var update = flag.Bool("update", false, "write docs/metrics.md")

const referenceFile = "../docs/metrics.md"

// registered is a Registerer that only collects what it is given.
type registered struct{ all []prometheus.Collector }

func (r *registered) Register(c prometheus.Collector) error    { r.all = append(r.all, c); return nil }
func (r *registered) MustRegister(all ...prometheus.Collector) { r.all = append(r.all, all...) }
func (*registered) Unregister(prometheus.Collector) bool       { return false }

// kindOf returns the kind of a collector's metrics.
func kindOf(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	case prometheus.Gauge, *prometheus.GaugeVec, *OldestUnsettled, *Backlog: // before Counter, whose methods gauges have too
		return "gauge"
	case prometheus.Counter:
		return "counter"
	case prometheus.GaugeFunc: // an interface without methods of its own
		return "gauge"
	}
	return ""
}

var description = regexp.MustCompile(`^Desc\{fqName: "(verdict_[a-z_]+)", help: "(.*)", unit: "", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// rows returns a table row for each of Verdict's own metrics.
func rows(t *testing.T, all []prometheus.Collector) []string {
	var rows []string
	for _, c := range all {
		descs := make(chan *prometheus.Desc, 1000)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := description.FindStringSubmatch(d.String())
			if m == nil {
				continue // from the collectors of Go and the process
			}
			var labels []string
			for label := range strings.SplitSeq(m[3]+","+m[4], ",") {
				if label, _, _ = strings.Cut(label, "="); label != "" {
					labels = append(labels, "`"+label+"`")
				}
			}
			kind := kindOf(c)
			if kind == "" {
				t.Fatalf("%s: kindOf does not know %T", m[1], c)
			}
			rows = append(rows, "| `"+m[1]+"` | "+kind+" | "+strings.Join(labels, ", ")+" | "+m[2]+" |\n")
		}
	}
	slices.Sort(rows)
	return rows
}

// reference returns docs/metrics.md, generated from the code.
func reference(t *testing.T) string {
	var service, decide registered
	New(&service)
	RegisterReady(&service, func() bool { return true })
	RegisterProcess(&service, Build{})
	NewPolicy(&decide)
	const head = "\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n"
	return "# Metrics\n\n<!-- Generated from the code by: go test ./metrics -update -->\n\n" +
		"Verdict serves its metrics at `/metrics` on `admin.addr`: in the Prometheus text format, as OpenMetrics (with exemplars), or as protobuf for scrapers that ask for native histograms. Every series of a closed label set exists from the start, at 0. The standard collectors for Go and the process are included. Alerts are in [configs/prometheus](../configs/prometheus), the dashboard in [configs/grafana](../configs/grafana).\n" +
		"\n## The service\n" + head + strings.Join(rows(t, service.all), "") +
		"\n## Additional metrics of `verdict decide`\n" + head + strings.Join(rows(t, decide.all), "")
}

func TestReferenceIsUpToDate(t *testing.T) {
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
		t.Errorf("%s is out of date; run go test ./metrics -update", referenceFile)
	}
}
