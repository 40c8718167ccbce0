// Package watch reads what is shipped for those who watch Verdict (the dashboard
// and the rules), so that tests can check it: here against the metrics that there
// are, in cmd/verdict against a real Prometheus with real data.
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

// Expression is one query of the dashboard, or one rule.
type Expression struct {
	Where  string // for messages, such as "panel Lag"
	Expr   string // PromQL as it stands in the file, with the dashboard's variables
	Legend string // of a panel: its text with {{label}}s
	Record string // of a recording rule: the metric that it makes
	Alert  string // of an alert: its name
}

// Resolved is the expression with the dashboard's variables resolved: everything
// is chosen, and a rate looks back for window, a PromQL duration such as 30s.
func (e Expression) Resolved(window string) string {
	return strings.NewReplacer(
		"$__rate_interval", window, "$__range", window, "$__interval", window,
		"$job", ".*", "$group", ".*", "$instance", ".*",
	).Replace(e.Expr)
}

// Rule is one rule of a file of rules.
type Rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// Rules is every rule below root, which is the repository's.
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

// Panel is one panel of the dashboard.
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

// Dashboard is what is read of the dashboard.
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

// ReadDashboard is the dashboard that is committed below root.
func ReadDashboard(root string) (Dashboard, error) {
	var d Dashboard
	text, err := os.ReadFile(filepath.Join(root, "configs", "grafana", "dashboards", "verdict.json"))
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(text, &d)
}

var labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)

// Expressions is every expression of the dashboard (panels, annotations and
// variables) and of the rules below root.
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
			return nil, fmt.Errorf("variable %s: the query %q is none that is understood here", v.Name, text)
		}
		// The values of a label are those by which the series can be grouped.
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
