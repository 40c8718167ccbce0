// Package watch reads the dashboard and the Prometheus rules that Verdict ships, so that
// tests can check them. The tests here compare them with the registered metrics, the
// runbook and docker-compose.yml; test/service runs every expression on a real Prometheus.
// stack.sh runs the stack of docker-compose.yml without Docker, and render draws the
// pictures of the dashboard for the documentation.
package watch

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Expression is a query of the dashboard or the expression of a rule.
type Expression struct {
	Where  string // its place, for messages, such as "panel Lag"
	Expr   string // PromQL, with the dashboard's variables
	Legend string // legend of a panel, with {{label}}s
	Record string // metric of a recording rule
	Alert  string // name of an alert
}

// Resolved returns the expression without the dashboard's variables: everything is
// selected, and rates cover window, a PromQL duration such as 30s.
func (e Expression) Resolved(window string) string {
	return strings.NewReplacer(
		"$__rate_interval", window, "$__range", window, "$__interval", window,
		"$job", ".*", "$group", ".*", "$instance", ".*",
	).Replace(e.Expr)
}

// Rule is a recording rule or an alert.
type Rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// Rules returns every rule of the repository at root.
func Rules(root string) ([]Rule, error) {
	files, err := filepath.Glob(filepath.Join(root, "configs", "prometheus", "rules", "*.yml"))
	if err != nil {
		return nil, err
	}
	var all []Rule
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var doc struct {
			Groups []struct {
				Rules []Rule `yaml:"rules"`
			} `yaml:"groups"`
		}
		if err := yaml.Unmarshal(text, &doc); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		for _, g := range doc.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all, nil
}

// Panel is a panel of the dashboard.
type Panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Links       []struct {
		URL string `json:"url"`
	} `json:"links"`
	FieldConfig struct {
		Defaults struct {
			Unit       string `json:"unit"`
			Thresholds struct {
				Steps []json.RawMessage `json:"steps"`
			} `json:"thresholds"`
			Mappings []json.RawMessage `json:"mappings"`
			Custom   json.RawMessage   `json:"custom"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	} `json:"targets"`
	GridPos struct{ X, Y, W, H int } `json:"gridPos"`
}

// Dashboard is the part of the dashboard that tests check.
type Dashboard struct {
	Panels     []Panel `json:"panels"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Type  string `json:"type"`
			Query any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []struct {
			Name string `json:"name"`
			Expr string `json:"expr"`
		} `json:"list"`
	} `json:"annotations"`
}

// ReadDashboard returns the committed dashboard of the repository at root.
func ReadDashboard(root string) (Dashboard, error) {
	var d Dashboard
	text, err := os.ReadFile(filepath.Join(root, "configs", "grafana", "dashboards", "verdict.json"))
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(text, &d)
}

var labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)

// Expressions returns every expression of the dashboard (panels, annotations and
// variables) and of the rules of the repository at root.
func Expressions(root string) ([]Expression, error) {
	d, err := ReadDashboard(root)
	if err != nil {
		return nil, err
	}
	var all []Expression
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			all = append(all, Expression{Where: "panel " + p.Title, Expr: t.Expr, Legend: t.LegendFormat})
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			all = append(all, Expression{Where: "annotation " + a.Name, Expr: a.Expr})
		}
	}
	for _, v := range d.Templating.List {
		text, _ := v.Query.(string)
		if v.Type != "query" {
			continue
		}
		m := labelValues.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("variable %s: query %q, want label_values(METRIC, LABEL)", v.Name, text)
		}
		// Grouping by a label gives its values.
		all = append(all, Expression{Where: "variable " + v.Name, Expr: fmt.Sprintf("group by (%s) (%s)", m[2], m[1])})
	}
	rules, err := Rules(root)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		all = append(all, Expression{Where: "rule " + r.Record + r.Alert, Expr: r.Expr, Record: r.Record, Alert: r.Alert})
	}
	return all, nil
}
