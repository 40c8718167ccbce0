package cli

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
	"verdict/metrics"
)

// The outcomes include one that this version does not know.
func TestDemoSummaryAddsUpOverAllOutcomes(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := metrics.New(registry)
	all := append(slices.Clone(decision.Outcomes[:]), "brand_new")
	want := int64(0)
	for i, outcome := range all {
		n := int64(1) << i
		m.Decisions.WithLabelValues(decision.Live.String(), string(outcome)).Add(float64(n))
		want += n
	}
	s, err := readDemoSummary(registry)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.settled(); got != want {
		t.Errorf("settled %d, want %d", got, want)
	}
	s.submitted = want
	var out bytes.Buffer
	if err := s.write(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	last := lines[len(lines)-1]
	if !regexp.MustCompile(`^submitted=\d+ completed=\d+ dead_lettered=\d+ retries=\d+ duplicates=\d+ seconds=\S+ rate=\S+$`).MatchString(last) {
		t.Errorf("last line %q", last)
	}
	sum := int64(0)
	for _, field := range regexp.MustCompile(`\b([a-z_]+)=(\d+)\b`).FindAllStringSubmatch(out.String(), -1) {
		if !slices.Contains([]string{"submitted", "retries", "seconds", "rate"}, field[1]) {
			n, err := strconv.ParseInt(field[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	if sum != want || !strings.Contains(last, fmt.Sprintf("submitted=%d ", want)) || !strings.Contains(out.String(), "brand_new=") {
		t.Errorf("the outcomes add up to %d, want %d:\n%s", sum, want, out.String())
	}
}

func TestDemoSummaryIsOneLineWithoutOtherOutcomes(t *testing.T) {
	s := demoSummary{submitted: 3, outcomes: map[decision.Outcome]int64{decision.Completed: 1, decision.AlreadyComplete: 1, decision.DeadLettered: 1}}
	var out bytes.Buffer
	if err := s.write(&out); err != nil {
		t.Fatal(err)
	}
	if want := "submitted=3 completed=2 dead_lettered=1 retries=0 duplicates=0 seconds=0.00 rate=3000.0\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
