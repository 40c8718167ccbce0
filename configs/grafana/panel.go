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

// Sizes in Grafana's grid, which is 24 wide.
const (
	statHeight  = 4
	graphHeight = 8
)

// query is an expression and how its series are called. In expr SEL stands for
// the matchers of the template variables.
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

// about is what every panel says of itself.
type about struct {
	title, description string
	alert              string // whose section of the runbook the panel links to; "": none
	width              uint32
}

func (a about) links() []cog.Builder[dashboard.DashboardLink] {
	if a.alert == "" {
		return nil
	}
	return []cog.Builder[dashboard.DashboardLink]{
		dashboard.NewDashboardLinkBuilder("Runbook: " + a.alert).
			Type(dashboard.DashboardLinkTypeLink).
			Url("${runbook}#" + strings.ToLower(a.alert)).
			TargetBlank(true),
	}
}

// step is where a colour begins.
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

// words shows 0 and 1 as words.
func words(zero, zeroColor, one, oneColor string) []dashboard.ValueMapping {
	m := dashboard.NewValueMap()
	m.Options["0"] = dashboard.ValueMappingResult{Text: &zero, Color: &zeroColor, Index: new(int32(0))}
	m.Options["1"] = dashboard.ValueMappingResult{Text: &one, Color: &oneColor, Index: new(int32(1))}
	return []dashboard.ValueMapping{{ValueMap: m}}
}

// number1 is one number, large, with its colour.
func number1(a about, unit string, t *dashboard.ThresholdsConfigBuilder, queries ...query) *stat.PanelBuilder {
	p := stat.NewPanelBuilder().
		Title(a.title).Description(a.description).Links(a.links()).Datasource(source()).
		Height(statHeight).Span(a.width).
		Unit(unit).Thresholds(t).
		ColorMode(common.BigValueColorModeBackground).GraphMode(common.BigValueGraphModeArea).
		JustifyMode(common.BigValueJustifyModeAuto).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
	for i, q := range queries {
		p.WithTarget(q.target(i))
	}
	return p
}

// graph is lines over time.
func graph(a about, unit string, queries ...query) *timeseries.PanelBuilder {
	p := timeseries.NewPanelBuilder().
		Title(a.title).Description(a.description).Links(a.links()).Datasource(source()).
		Height(graphHeight).Span(a.width).
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

// limited draws a line where it begins to be bad.
func limited(p *timeseries.PanelBuilder, from float64) *timeseries.PanelBuilder {
	return p.Thresholds(thresholds("green", step{from, "red"})).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
}

// stacked piles the lines up.
func stacked(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return p.FillOpacity(35).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
}

// timeline is states over time, one line each.
func timeline(a about, mappings []dashboard.ValueMapping, queries ...query) *statetimeline.PanelBuilder {
	p := statetimeline.NewPanelBuilder().
		Title(a.title).Description(a.description).Links(a.links()).Datasource(source()).
		Height(graphHeight).Span(a.width).
		Mappings(mappings).Thresholds(thresholds("green", step{1, "red"})).
		MergeValues(true).ShowValue(common.VisibilityModeAuto).RowHeight(0.8).FillOpacity(80)
	for i, q := range queries {
		p.WithTarget(q.target(i))
	}
	return p
}

// heat is a histogram over time.
func heat(a about, q query) *heatmap.PanelBuilder {
	return heatmap.NewPanelBuilder().
		Title(a.title).Description(a.description).Links(a.links()).Datasource(source()).
		Height(graphHeight).Span(a.width).
		Calculate(false).
		YAxis(heatmap.NewYAxisConfigBuilder().Unit(units.Seconds)).
		Color(heatmap.NewHeatmapColorOptionsBuilder().
			Mode(heatmap.HeatmapColorModeScheme).Scheme("Oranges").
			Scale(heatmap.HeatmapColorScaleExponential).Exponent(0.5).Steps(64)).
		WithTarget(q.target(0).Format(prometheus.PromQueryFormatHeatmap))
}
