// Package grafana is Verdict's dashboard as code. The JSON that Grafana loads,
// dashboards/verdict.json, is made from it by `go test ./configs/grafana -update`
// and committed. Nothing of this is in the program; what the metrics are called
// is left to package metrics, and a test compares.
package grafana

import (
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// source is the data source that the variable of this name chooses.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// JSON is the dashboard as Grafana loads it.
func JSON() ([]byte, error) {
	d := dashboard.NewDashboardBuilder("Verdict"). //nolint:staticcheck // the classic schema is what every Grafana loads from a file; the new one needs a new one
							Uid("verdict").
							Description("Task decisions from Kafka, carried out at the API. Made by configs/grafana of Verdict: change it there.").
							Tags([]string{"verdict", "kafka"}).
							Timezone("browser").
							Time("now-1h", "now").
							Refresh("10s").
							Tooltip(dashboard.DashboardCursorSyncCrosshair).
							Readonly().
							Link(dashboard.NewDashboardLinkBuilder("Runbook").
								Type(dashboard.DashboardLinkTypeLink).Icon("doc").Url("${runbook}").TargetBlank(true).
								Tooltip("What to look at and which command mends it, alert by alert"))

	d.WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus"))
	// Each lists what is there for the choices before it. "All" matches also where a
	// scrape sets no such label.
	d.WithVariable(choice("job", "Job", "label_values(verdict_ready, job)"))
	d.WithVariable(choice("group", "Consumer group", `label_values(verdict_ready{job=~"$job"}, group)`))
	d.WithVariable(choice("instance", "Instance", `label_values(verdict_ready{job=~"$job",group=~"$group"}, instance)`))
	d.WithVariable(dashboard.NewConstantVariableBuilder("runbook").
		Description("Address of docs/runbook.md, for the links of the panels.").
		Value(dashboard.StringOrMap{String: new("/public/runbook.md")}))

	d.Annotation(dashboard.NewAnnotationQueryBuilder().
		Name("Alerts").Datasource(source()).Enable(true).IconColor("red").
		Expr(`ALERTS{alertname=~"Verdict.+",alertstate="firing"}`).
		TitleFormat("{{alertname}}").TextFormat("group {{group}}, severity {{severity}}"))

	for _, r := range rows() {
		d.WithRow(dashboard.NewRowBuilder(r.title))
		for _, p := range r.panels {
			d.WithPanel(p)
		}
	}
	built, err := d.Build()
	if err != nil {
		return nil, fmt.Errorf("build the dashboard: %w", err)
	}
	number(&built)
	out, err := json.MarshalIndent(built, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the dashboard: %w", err)
	}
	return append(out, '\n'), nil
}

// row is a heading with the panels below it.
type row struct {
	title  string
	panels []cog.Builder[dashboard.Panel]
}

// choice is a variable with the values that a label has; any number can be chosen.
func choice(name, label, query string) *dashboard.QueryVariableBuilder {
	all := dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}}
	return dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Datasource(source()).
		Query(dashboard.StringOrMap{String: &query}).
		Definition(query).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortNaturalAsc).
		Multi(true).IncludeAll(true).AllValue(".*").
		Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value: all,
		})
}

// number gives every panel an ID by its place, so that a link to one stays good
// for as long as the order does.
func number(d *dashboard.Dashboard) { //nolint:staticcheck // the same
	for i := range d.Panels {
		id := uint32(i + 1)
		if p := d.Panels[i].Panel; p != nil {
			p.Id = &id
		}
		if r := d.Panels[i].RowPanel; r != nil {
			r.Id = id
		}
	}
}
