package grafana

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// Heights in units of Grafana's grid, which is 24 units wide.
const (
	statHeight  = 4
	graphHeight = 8
)

// query is a PromQL expression and the legend of its series. SEL in expr stands for the
// matchers of the dashboard's variables.
type query struct{ expr, legend string }

const selectors = `job=~"$job",group=~"$group",instance=~"$instance"`

func (q query) target(ref int) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().
		RefId(string(rune('A' + ref))).
		Datasource(source()).
		EditorMode(prometheus.QueryEditorModeCode).
		Expr(strings.ReplaceAll(strings.TrimSpace(q.expr), "SEL", selectors)).
		LegendFormat(q.legend)
}

// header is what every panel has: title, description, runbook link and width.
type header struct {
	title, description string
	alert              string // alert whose section in the runbook the panel links to; empty means none
	width              uint32 // in units of the grid
}

func (h header) links() []cog.Builder[dashboard.DashboardLink] {
	if h.alert == "" {
		return nil
	}
	return []cog.Builder[dashboard.DashboardLink]{
		dashboard.NewDashboardLinkBuilder("Runbook: " + h.alert).
			Type(dashboard.DashboardLinkTypeLink).
			Url("${runbook}#" + strings.ToLower(h.alert)).
			TargetBlank(true),
	}
}

// step is a threshold: from this value on, the panel has this color.
type step struct {
	from  float64
	color string
}

func thresholds(base string, steps ...step) *dashboard.ThresholdsConfigBuilder {
	all := []dashboard.Threshold{{Color: base}}
	for _, s := range steps {
		all = append(all, dashboard.Threshold{Value: new(s.from), Color: s.color})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(all)
}

// words maps the values 0 and 1 to words.
func words(zero, zeroColor, one, oneColor string) []dashboard.ValueMapping {
	m := dashboard.NewValueMap()
	m.Options["0"] = dashboard.ValueMappingResult{Text: &zero, Color: &zeroColor, Index: new(int32(0))}
	m.Options["1"] = dashboard.ValueMappingResult{Text: &one, Color: &oneColor, Index: new(int32(1))}
	return []dashboard.ValueMapping{{ValueMap: m}}
}

// bigNumber returns a panel with large colored numbers.
func bigNumber(h header, unit string, t *dashboard.ThresholdsConfigBuilder, queries ...query) *stat.PanelBuilder {
	p := stat.NewPanelBuilder().
		Title(h.title).Description(h.description).Links(h.links()).Datasource(source()).
		Height(statHeight).Span(h.width).
		Unit(unit).Thresholds(t).
		ColorMode(common.BigValueColorModeBackground).GraphMode(common.BigValueGraphModeArea).
		JustifyMode(common.BigValueJustifyModeAuto).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
	for i, q := range queries {
		p.WithTarget(q.target(i))
	}
	return p
}

// graph returns a panel with lines over time.
func graph(h header, unit string, queries ...query) *timeseries.PanelBuilder {
	p := timeseries.NewPanelBuilder().
		Title(h.title).Description(h.description).Links(h.links()).Datasource(source()).
		Height(graphHeight).Span(h.width).
		Unit(unit).Min(0).
		LineWidth(1).FillOpacity(8).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().
			DisplayMode(common.LegendDisplayModeTable).Placement(common.LegendPlacementBottom).ShowLegend(true).
			Calcs([]string{"lastNotNull", "max"})).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	for i, q := range queries {
		p.WithTarget(q.target(i))
	}
	return p
}

// limited adds a dashed line at the value that is too high.
func limited(p *timeseries.PanelBuilder, from float64) *timeseries.PanelBuilder {
	return p.Thresholds(thresholds("green", step{from, "red"})).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
}

// stacked stacks the lines.
func stacked(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return p.FillOpacity(35).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
}

// timeline returns a panel with states over time, one row each.
func timeline(h header, mappings []dashboard.ValueMapping, queries ...query) *statetimeline.PanelBuilder {
	p := statetimeline.NewPanelBuilder().
		Title(h.title).Description(h.description).Links(h.links()).Datasource(source()).
		Height(graphHeight).Span(h.width).
		Mappings(mappings).Thresholds(thresholds("green", step{1, "red"})).
		MergeValues(true).ShowValue(common.VisibilityModeAuto).RowHeight(0.8).FillOpacity(80)
	for i, q := range queries {
		p.WithTarget(q.target(i))
	}
	return p
}

// heat returns a panel with a histogram over time.
func heat(h header, q query) *heatmap.PanelBuilder {
	return heatmap.NewPanelBuilder().
		Title(h.title).Description(h.description).Links(h.links()).Datasource(source()).
		Height(graphHeight).Span(h.width).
		Calculate(false).
		YAxis(heatmap.NewYAxisConfigBuilder().Unit(units.Seconds)).
		Color(heatmap.NewHeatmapColorOptionsBuilder().
			Mode(heatmap.HeatmapColorModeScheme).Scheme("Oranges").
			Scale(heatmap.HeatmapColorScaleExponential).Exponent(0.5).Steps(64)).
		WithTarget(q.target(0).Format(prometheus.PromQueryFormatHeatmap))
}
