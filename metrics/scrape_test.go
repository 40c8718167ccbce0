package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"verdict/internal/decision"
	"verdict/metrics"
)

// scrape reads /metrics over HTTP, as Prometheus does, in the format of accept.
func scrape(t *testing.T, reg prometheus.Gatherer, accept string) (map[string]*dto.MetricFamily, string) {
	t.Helper()
	server := httptest.NewServer(metrics.NewAdmin(metrics.AdminOptions{Gatherer: reg}).Handler())
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	families := make(map[string]*dto.MetricFamily)
	decoder := expfmt.NewDecoder(resp.Body, expfmt.ResponseFormat(resp.Header))
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); err != nil {
			break // io.EOF, or an error that shows as missing metrics
		}
		families[f.GetName()] = &f
	}
	return families, resp.Header.Get("Content-Type")
}

func TestScrapeOffersClassicAndNativeHistograms(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg)
	m.APIRequestDuration.WithLabelValues("complete").Observe(0.123)
	m.DecisionDuration.WithLabelValues("live").Observe(1)
	m.RateLimitWait.Observe(0.3)
	m.PublishDuration.WithLabelValues("task-results").Observe(0.004)
	histograms := []string{
		"verdict_api_request_duration_seconds", "verdict_decision_duration_seconds",
		"verdict_rate_limit_wait_seconds", "verdict_publish_duration_seconds",
	}
	// Prometheus sends this Accept header if native histograms are enabled.
	protobuf := "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.8,text/plain;version=0.0.4;q=0.5"
	families, contentType := scrape(t, reg, protobuf)
	if !strings.HasPrefix(contentType, "application/vnd.google.protobuf") {
		t.Errorf("asked for protobuf, got %q", contentType)
	}
	for _, name := range histograms {
		classic, native := false, false
		for _, series := range families[name].GetMetric() {
			h := series.GetHistogram()
			classic = classic || len(h.GetBucket()) > 0
			native = native || len(h.GetPositiveDelta()) > 0
		}
		if !classic || !native {
			t.Errorf("%s in protobuf: classic buckets %v, native ones %v; want both", name, classic, native)
		}
	}
	families, contentType = scrape(t, reg, "text/plain;version=0.0.4")
	if !strings.HasPrefix(contentType, "text/plain") {
		t.Errorf("asked for text, got %q", contentType)
	}
	for _, name := range histograms {
		if h := families[name].GetMetric()[0].GetHistogram(); len(h.GetBucket()) == 0 {
			t.Errorf("%s in text has no classic buckets", name)
		}
	}
}

func TestNativeHistogramBucketsAreBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg)
	for seconds := 1e-9; seconds < 1e9; seconds *= 1.05 {
		m.RateLimitWait.Observe(seconds)
	}
	families, _ := scrape(t, reg, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	h := families["verdict_rate_limit_wait_seconds"].GetMetric()[0].GetHistogram()
	if n := len(h.GetPositiveDelta()); n == 0 || n > 200 {
		t.Errorf("%d native buckets", n)
	}
}

func TestScrapeReadsOldestBacklogAndReady(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg)
	ready := false
	metrics.RegisterReady(reg, func() bool { return ready })
	text := exposition(t, reg)
	for _, want := range []string{
		"verdict_ready 0\n",
		"verdict_oldest_unsettled_timestamp_seconds{lane=\"live\"} 0\n",
		"verdict_backlog{lane=\"live\"} 0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing at the start: %s", want)
		}
	}
	ready = true
	m.OldestUnsettled.From(func(l decision.Lane) time.Time {
		if l == decision.Live {
			return time.UnixMilli(1_700_000_000_500)
		}
		return time.Time{}
	})
	m.Backlog.From(func(l decision.Lane) int64 { return 7 * int64(l) })
	text = exposition(t, reg)
	for _, want := range []string{
		"verdict_ready 1\n",
		"verdict_oldest_unsettled_timestamp_seconds{lane=\"live\"} 1.7000000005e+09\n",
		"verdict_oldest_unsettled_timestamp_seconds{lane=\"backfill\"} 0\n",
		"verdict_backlog{lane=\"live\"} 0\n",
		"verdict_backlog{lane=\"backfill\"} 7\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
}
