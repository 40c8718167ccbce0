package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
)

// demoSummary is what a demo did, by the metrics of its service.
type demoSummary struct {
	submitted int64
	outcomes  map[decision.Outcome]int64
	retries   int64
	elapsed   time.Duration
}

// readDemoSummary counts the settled decisions and the retries.
func readDemoSummary(registry prometheus.Gatherer) (demoSummary, error) {
	s := demoSummary{outcomes: make(map[decision.Outcome]int64)}
	families, err := registry.Gather()
	if err != nil {
		return s, fmt.Errorf("read the service's metrics: %w", err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			n := int64(metric.GetCounter().GetValue())
			switch family.GetName() {
			case "verdict_retries_total":
				s.retries += n
			case "verdict_decisions_total":
				for _, label := range metric.GetLabel() {
					if label.GetName() == "outcome" {
						s.outcomes[decision.Outcome(label.GetValue())] += n
					}
				}
			}
		}
	}
	return s, nil
}

// settled returns the number of settled decisions.
func (s *demoSummary) settled() int64 {
	var n int64
	for _, of := range s.outcomes {
		n += of
	}
	return n
}

// demoColumns maps outcomes to their columns in the last line. Scripts read that
// line, so it gets no further columns: a new outcome needs no place here.
//
//exhaustive:ignore
var demoColumns = map[decision.Outcome]string{
	decision.Completed: "completed", decision.AlreadyComplete: "completed",
	decision.DeadLettered: "dead_lettered", decision.Duplicate: "duplicates",
}

// write prints the summary. Outcomes without a column in the last line, such as
// one that is new, have a line before it; together the two lines add up to
// submitted.
func (s *demoSummary) write(out io.Writer) error {
	columns := make(map[string]int64)
	others := make(map[string]int64)
	for outcome, n := range s.outcomes {
		if column := demoColumns[outcome]; column != "" {
			columns[column] += n
		} else if n > 0 {
			others[string(outcome)] = n
		}
	}
	if len(others) > 0 {
		var line []string
		for _, name := range slices.Sorted(maps.Keys(others)) {
			line = append(line, fmt.Sprintf("%s=%d", name, others[name]))
		}
		if _, err := fmt.Fprintln(out, strings.Join(line, " ")); err != nil {
			return err
		}
	}
	seconds := s.elapsed.Seconds()
	_, err := fmt.Fprintf(out, "submitted=%d completed=%d dead_lettered=%d retries=%d duplicates=%d seconds=%.2f rate=%.1f\n",
		s.submitted, columns["completed"], columns["dead_lettered"], s.retries, columns["duplicates"], seconds, float64(s.submitted)/max(seconds, 0.001))
	return err
}
