package watch_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"verdict/metrics"
	"verdict/test/watch"
)

const root = "../.."

// labelSet is the labels of a metric or of an expression's result.
type labelSet map[string]bool

func labels(names ...string) labelSet {
	set := make(labelSet)
	for _, n := range names {
		set[n] = true
	}
	return set
}

func (l labelSet) with(names ...string) labelSet {
	set := maps.Clone(l)
	maps.Copy(set, labels(names...))
	return set
}

func (l labelSet) without(names ...string) labelSet {
	set := maps.Clone(l)
	maps.DeleteFunc(set, func(n string, _ bool) bool { return slices.Contains(names, n) })
	return set
}

func (l labelSet) String() string { return fmt.Sprint(slices.Sorted(maps.Keys(l))) }

// known returns the labels of every metric that a Prometheus has when it scrapes Verdict.
func known(t *testing.T) map[string]labelSet {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg)
	metrics.RegisterProcess(reg, metrics.Build{})
	metrics.RegisterReady(reg, func() bool { return true })
	m.APIRequests.WithLabelValues("complete", "200")
	m.ConsumerLag.WithLabelValues("task-decisions", "0")
	m.TopicInfo.WithLabelValues("task-decisions", "live")
	m.RecordsLost.WithLabelValues("task-decisions")
	m.PublishDuration.WithLabelValues("task-results")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]labelSet{
		"up":     labels("job", "group", "instance"),
		"ALERTS": labels("alertname", "alertstate", "severity", "job", "group", "lane", "reason"),
	}
	for _, f := range families {
		set := labels("job", "group", "instance")
		for _, l := range f.GetMetric()[0].GetLabel() {
			set[l.GetName()] = true
		}
		name := f.GetName()
		if f.GetType() == dto.MetricType_HISTOGRAM {
			all[name+"_count"], all[name+"_sum"], all[name+"_bucket"] = set, set, set.with("le")
		} else {
			all[name] = set
		}
	}
	// The name of a recorded metric begins with its labels.
	rules, err := watch.Rules(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.Record == "" {
			continue
		}
		level, _, ok := strings.Cut(r.Record, ":")
		if !ok {
			t.Errorf("rule %s: the name does not begin with labels", r.Record)
		}
		all[r.Record] = labels(strings.Split(level, "_")...).with("job")
	}
	return all
}

// checker derives the labels of an expression's result and finds labels that cannot
// exist.
type checker struct {
	known  map[string]labelSet
	faults []string
}

func (c *checker) fault(format string, a ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, a...))
}

// want adds a fault for each name that is not in a set.
func (c *checker) want(in labelSet, what string, names []string) {
	for _, n := range names {
		if !in[n] {
			c.fault("%s: no label %s in %s", what, n, in)
		}
	}
}

// of returns the labels of an expression's result.
func (c *checker) of(e metricsql.Expr) labelSet {
	switch e := e.(type) {
	case *metricsql.MetricExpr:
		return c.ofMetric(e)
	case *metricsql.RollupExpr: // a range
		return c.of(e.Expr)
	case *metricsql.AggrFuncExpr:
		inner := c.ofAll(e.Args)
		c.want(inner, e.Name, e.Modifier.Args)
		switch {
		case e.Name == "topk" || e.Name == "bottomk":
			return inner
		case e.Modifier.Op == "without":
			return inner.without(e.Modifier.Args...)
		}
		return labels(e.Modifier.Args...)
	case *metricsql.FuncExpr:
		set := c.ofAll(e.Args)
		switch e.Name {
		case "histogram_quantile":
			c.want(set, e.Name, []string{"le"})
			return set.without("le")
		case "absent": // its labels come from the matchers, which the rules do not rely on
			return labelSet{}
		}
		return set
	case *metricsql.BinaryOpExpr:
		left, right := c.of(e.Left), c.of(e.Right)
		if e.GroupModifier.Op == "" && len(left) > 0 && len(right) > 0 && left.String() != right.String() {
			c.fault("%s: the sides have different labels, %s and %s", e.Op, left, right)
		}
		c.want(left, e.Op+" (left)", e.GroupModifier.Args)
		c.want(right, e.Op+" (right)", e.GroupModifier.Args)
		c.want(right, e.Op+" (right)", e.JoinModifier.Args)
		if len(left) == 0 { // a number, or a sum over everything
			left = right
		}
		return left.with(e.JoinModifier.Args...)
	case *metricsql.NumberExpr, *metricsql.StringExpr, *metricsql.DurationExpr:
		return labelSet{}
	default:
		c.fault("unexpected %T", e)
		return labelSet{}
	}
}

// ofMetric returns the labels of a selector's metric.
func (c *checker) ofMetric(e *metricsql.MetricExpr) labelSet {
	if len(e.LabelFilterss) != 1 {
		c.fault("%s: Prometheus has no or between matchers", e.AppendString(nil))
		return labelSet{}
	}
	filters := e.LabelFilterss[0]
	set, ok := c.known[filters[0].Value]
	if filters[0].Label != "__name__" || !ok {
		c.fault("no metric %q", filters[0].Value)
		return labelSet{}
	}
	for _, f := range filters[1:] {
		c.want(set, filters[0].Value, []string{f.Label})
	}
	return set
}

// ofAll returns the labels of all arguments together.
func (c *checker) ofAll(args []metricsql.Expr) labelSet {
	set := labelSet{}
	for _, arg := range args {
		set = set.with(slices.Collect(maps.Keys(c.of(arg)))...)
	}
	return set
}

var mentioned = regexp.MustCompile(`\{\{ *(?:\$labels\.)?(\w+) *\}\}`)

func TestExpressionsNameExistingMetricsAndLabels(t *testing.T) {
	all := known(t)
	expressions, err := watch.Expressions(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(expressions) < 50 {
		t.Fatalf("found only %d expressions", len(expressions))
	}
	for _, e := range expressions {
		tree, err := metricsql.Parse(e.Resolved("1m"))
		if err != nil {
			t.Errorf("%s: %v", e.Where, err)
			continue
		}
		c := checker{known: all}
		has := c.of(tree)
		for _, m := range mentioned.FindAllStringSubmatch(e.Legend, -1) {
			c.want(has, "legend", m[1:])
		}
		if e.Record != "" && has.String() != all[e.Record].String() {
			c.fault("it has the labels %s, but its name says %s", has, all[e.Record])
		}
		for _, f := range c.faults {
			t.Errorf("%s: %s\n%s", e.Where, f, e.Expr)
		}
	}
}

func TestCheckerFindsMissingMetricsAndLabels(t *testing.T) {
	all := known(t)
	for _, text := range []string{
		`verdict_retry_total`,
		`verdict_retries_total{reason="timeout"}`,
		`sum by (outcome) (verdict_retries_total)`,
		`histogram_quantile(0.9, sum by (lane) (rate(verdict_decision_duration_seconds_bucket[1m])))`,
		`verdict_consumer_lag * on (topic) group_left (operation) verdict_topic_info`,
		`sum by (job, lane) (verdict_pending) / sum by (job) (verdict_rate_limit)`,
		`rate(verdict_decision_duration_seconds[1m])`,
	} {
		tree, err := metricsql.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		c := checker{known: all}
		c.of(tree)
		if len(c.faults) == 0 {
			t.Errorf("no fault in %s", text)
		}
	}
}
