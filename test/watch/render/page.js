// Draws the panels of window.input into the page.
const colors = { green: "#37872d", orange: "#c4621b", red: "#a3202c" };
const palette = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#fade2a", "#ff9830", "#56a64b"];
const { placed, width, unit } = window.input;
// Every panel shows the whole run.
const times = placed.flatMap((x) => x.panel?.data ?? []).flat().flatMap((s) => s.values.map((v) => v[0]));
const first = Math.min(...times), last = Math.max(...times);
const grid = width / 24;

for (const { row, panel, y } of placed) {
  const box = document.createElement("div");
  if (row) {
    box.className = "row";
    box.textContent = row;
    box.style.top = y * unit + "px";
    document.body.append(box);
    continue;
  }
  const g = panel.gridPos;
  box.className = "panel";
  Object.assign(box.style, { left: g.X * grid + 2 + "px", top: y * unit + 2 + "px", width: g.W * grid - 4 + "px", height: g.H * unit - 4 + "px" });
  const title = document.createElement("h2");
  title.textContent = panel.title;
  const body = document.createElement("div");
  box.append(title, body);
  document.body.append(box);
  if (panel.type === "stat") stat(panel, body);
  else chart(panel, body);
}

// lines returns the series of a panel, each with its legend and its points.
function lines(panel) {
  return panel.targets.flatMap((t, i) => (panel.data[i] ?? []).map((s) => ({
    name: t.legendFormat.replace(/\{\{ *(\w+) *\}\}/g, (_, l) => instance(s.metric[l] ?? "")) || "value",
    points: s.values.map(([at, v]) => [at, Number(v)]),
  })));
}

// instance replaces the addresses of instances, which mean nothing to a reader.
function instance(text) {
  if (!/^127\.0\.0\.1:\d+$/.test(text)) return text;
  instance.seen ??= [];
  if (!instance.seen.includes(text)) instance.seen.push(text);
  return "verdict-" + (instance.seen.indexOf(text) + 1);
}

function format(v, u) {
  const short = (n) => (Math.abs(n) >= 1000 ? (n / 1000).toFixed(1) + "k" : +n.toPrecision(3) + "");
  if (!Number.isFinite(v)) return v > 0 ? "∞" : "";
  switch (u) {
    case "s":
      if (v >= 5400) return +(v / 3600).toPrecision(3) + " h";
      if (v >= 90) return +(v / 60).toPrecision(3) + " min";
      return v >= 1 || v === 0 ? short(v) + " s" : +(v * 1000).toPrecision(3) + " ms";
    case "percentunit": return +(v * 100).toPrecision(3) + " %";
    case "bytes": return +(v / 2 ** 20).toPrecision(3) + " MiB";
    case "reqps": return short(v) + " req/s";
    case "ops": return short(v) + " /s";
    default: return short(v);
  }
}

function stat(panel, body) {
  body.className = "stat";
  const d = panel.fieldConfig.defaults;
  for (const s of lines(panel)) {
    // A value from the middle of the run, because everything is stopped at its end.
    const values = s.points.map((p) => p[1]).filter(Number.isFinite);
    const v = values.length ? values[Math.floor(values.length * 0.4)] : NaN;
    const mapped = d.mappings?.[0]?.options?.[String(v)];
    let color = "green";
    for (const step of d.thresholds.steps) if (step.value === null || v >= step.value) color = step.color;
    const cell = document.createElement("div");
    cell.style.background = colors[mapped?.color ?? color];
    const small = document.createElement("small");
    small.textContent = s.name;
    cell.append(mapped?.text ?? format(v, d.unit), small);
    body.append(cell);
  }
}

function chart(panel, body) {
  body.className = "chart";
  const c = echarts.init(body, null, { renderer: "canvas" });
  const all = lines(panel);
  const seconds = (at) => at - first;
  const text = { color: "#9d9fa8", fontSize: 11 };
  const axis = { axisLabel: text, axisLine: { lineStyle: { color: "#2c2d34" } }, splitLine: { lineStyle: { color: "#24262c" } } };
  const option = { animation: false, textStyle: text, grid: { left: 8, right: 14, top: 10, bottom: 4, containLabel: true } };
  if (panel.type === "heatmap") {
    const les = all.map((s) => s.name).sort((a, b) => parse(a) - parse(b));
    const at = seconds0();
    const cells = [];
    for (const t of at) {
      let below = 0;
      les.forEach((le, i) => {
        const v = all.find((s) => s.name === le).points.find((p) => seconds(p[0]) === t)?.[1] ?? 0;
        if (v - below > 0.01) cells.push([String(t), i, v - below]);
        below = Math.max(below, v);
      });
    }
    Object.assign(option, {
      xAxis: { ...axis, type: "category", data: at.map(String), axisLabel: { ...text, formatter: (t) => t + "s" } },
      yAxis: { ...axis, type: "category", data: les.map((l) => (l === "+Inf" ? "∞" : format(Number(l), "s"))) },
      visualMap: { show: false, min: 0, max: Math.max(...cells.map((x) => x[2])), inRange: { color: ["#3a2413", "#c4621b", "#ffd9b0"] } },
      series: [{ type: "heatmap", data: cells }],
    });
  } else if (panel.type === "state-timeline") {
    const names = all.map((s) => s.name);
    Object.assign(option, {
      xAxis: { ...axis, type: "value", min: 0, max: last - first, axisLabel: { ...text, formatter: "{value}s" } },
      yAxis: { ...axis, type: "category", data: names },
      series: [{
        type: "custom", encode: { x: [0, 1], y: 2 },
        data: all.flatMap((s, i) => s.points.map(([t, v]) => ({
          value: [seconds(t), seconds(t) + 1, i], itemStyle: { color: v > 0 ? colors.red : colors.green },
        }))),
        renderItem: (_, api) => {
          const a = api.coord([api.value(0), api.value(2)]), b = api.coord([api.value(1), api.value(2)]);
          const h = api.size([0, 1])[1] * 0.7;
          return { type: "rect", shape: { x: a[0], y: a[1] - h / 2, width: b[0] - a[0] + 0.5, height: h }, style: { fill: api.visual("color") } };
        },
      }],
    });
  } else {
    const stacked = panel.fieldConfig.defaults.custom?.stacking?.mode === "normal";
    const u = panel.fieldConfig.defaults.unit;
    const limit = panel.fieldConfig.defaults.custom?.thresholdsStyle ? panel.fieldConfig.defaults.thresholds.steps[1].value : undefined;
    const shown = all.filter((s) => s.points.some((p) => p[1] > 0)).slice(0, 12);
    const [by, suffix] = scale(u, Math.max(0, ...shown.flatMap((s) => s.points.map((p) => p[1])).filter(Number.isFinite)));
    Object.assign(option, {
      color: palette,
      grid: { left: 8, right: 14, top: 10, bottom: 26, containLabel: true },
      legend: { bottom: 0, type: "scroll", itemWidth: 12, itemHeight: 3, textStyle: text, pageIconColor: "#555", pageTextStyle: text },
      xAxis: { ...axis, type: "value", min: 0, max: last - first, axisLabel: { ...text, formatter: "{value}s" } },
      yAxis: { ...axis, type: "value", min: 0, axisLabel: { ...text, formatter: (v) => +v.toPrecision(4) + suffix } },
      series: shown.map((s, i) => ({
        name: s.name, type: "line", showSymbol: false, lineStyle: { width: 1.5 }, stack: stacked ? "all" : undefined,
        areaStyle: { opacity: stacked ? 0.35 : 0.08 },
        data: seconds0().map((t) => {
          const v = s.points.find((p) => seconds(p[0]) === t)?.[1];
          return [t, Number.isFinite(v) ? v / by : stacked ? 0 : null];
        }),
        markLine: i === 0 && limit !== undefined && shown.some((x) => x.points.some((p) => p[1] > limit / 3))
          ? { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: "#f2495c", type: "dashed" }, data: [{ yAxis: limit / by }] } : undefined,
      })),
    });
  }
  c.setOption(option);
}

// seconds0 returns every second of the run.
function seconds0() {
  return Array.from({ length: last - first + 1 }, (_, i) => i);
}

// scale returns divisor and suffix of an axis, so that its labels are round.
function scale(u, most) {
  if (u === "bytes") return [2 ** 20, " MiB"];
  if (u === "percentunit") return [0.01, " %"];
  if (u === "s") return most >= 5400 ? [3600, " h"] : most >= 120 ? [60, " min"] : most < 1 ? [0.001, " ms"] : [1, " s"];
  return [1, { reqps: " req/s", ops: " /s" }[u] ?? ""];
}

function parse(le) {
  return le === "+Inf" ? Infinity : Number(le);
}
