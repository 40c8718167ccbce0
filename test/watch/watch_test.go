package watch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"verdict/test/watch"
)

// headings returns the anchors of a Markdown file's headings.
func headings(t *testing.T, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	anchors := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			anchor := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(title), " ", "-"))
			anchors[regexp.MustCompile(`[^\w-]`).ReplaceAllString(anchor, "")] = true
		}
	}
	return anchors
}

func TestAlertsHaveTextsAndARunbookSection(t *testing.T) {
	rules, err := watch.Rules(root)
	if err != nil {
		t.Fatal(err)
	}
	anchors := headings(t, "docs/runbook.md")
	alerts := 0
	for _, r := range rules {
		if r.Alert == "" {
			continue
		}
		alerts++
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: no summary or description", r.Alert)
		}
		if want := "docs/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if !anchors[strings.ToLower(r.Alert)] {
			t.Errorf("%s has no section in docs/runbook.md", r.Alert)
		}
	}
	if alerts < 10 {
		t.Errorf("only %d alerts", alerts)
	}
}

func TestAlertsAreTestedFiringAndQuiet(t *testing.T) {
	rules, err := watch.Rules(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "configs", "prometheus", "tests", "*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	fires, quiet := make(map[string]bool), make(map[string]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Tests []struct {
				Alerts []struct {
					Name string `yaml:"alertname"`
					Want []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		for _, c := range doc.Tests {
			for _, a := range c.Alerts {
				if len(a.Want) > 0 {
					fires[a.Name] = true
				} else {
					quiet[a.Name] = true
				}
			}
		}
	}
	for _, r := range rules {
		if r.Alert != "" && (!fires[r.Alert] || !quiet[r.Alert]) {
			t.Errorf("%s: tested firing %v, not firing %v", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
}

func TestPanelsAreCompleteAndTheirLinksWork(t *testing.T) {
	d, err := watch.ReadDashboard(root)
	if err != nil {
		t.Fatal(err)
	}
	anchors := headings(t, "docs/runbook.md")
	rows, bottom := 0, 0
	for _, p := range d.Panels {
		if p.GridPos.Y < bottom-20 {
			t.Errorf("%s overlaps other panels", p.Title)
		}
		bottom = max(bottom, p.GridPos.Y)
		if p.Type == "row" {
			rows++
			continue
		}
		defaults := p.FieldConfig.Defaults
		switch {
		case p.Description == "":
			t.Errorf("%s: no description", p.Title)
		case len(p.Targets) == 0:
			t.Errorf("%s: no query", p.Title)
		case defaults.Unit == "" && p.Type != "heatmap" && p.Type != "state-timeline":
			t.Errorf("%s: no unit", p.Title)
		case p.Type == "stat" && len(defaults.Thresholds.Steps) < 2:
			t.Errorf("%s: no thresholds", p.Title)
		}
		for _, l := range p.Links {
			if anchor, ok := strings.CutPrefix(l.URL, "${runbook}#"); !ok || !anchors[anchor] {
				t.Errorf("%s: broken link %s", p.Title, l.URL)
			}
		}
	}
	if rows != 6 {
		t.Errorf("%d rows, want 6", rows)
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, " "); got != "datasource job group instance runbook" {
		t.Errorf("variables: %s", got)
	}
}
