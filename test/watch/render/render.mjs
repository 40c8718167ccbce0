// Draws panels of the dashboard for docs/images, from data of a Prometheus. It does not
// need a running Grafana.
//
//   VERDICT_TEST_PANELS=/tmp/panels.json make test-prometheus
//   cd test/watch/render && npm install && node render.mjs /tmp/panels.json ../../../docs/images
//
// Expressions, legends, units, thresholds and positions come from the dashboard. ECharts
// draws them in headless Chromium.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [file, out] = process.argv.slice(2);
if (!file || !out) {
  console.error("usage: node render.mjs PANELS.json FOLDER");
  process.exit(2);
}
const here = dirname(fileURLToPath(import.meta.url));
const panels = JSON.parse(readFileSync(file, "utf8"));

// The rows of each picture.
const pictures = {
  "dashboard-flow": ["Is it well?", "Flow"],
  "dashboard-api": ["API", "Dead letters"],
  "dashboard-kafka": ["Kafka", "Process"],
};
const width = 1320, unit = 36; // width of the page and height of a grid unit, in pixels

const rows = [];
for (const p of panels) {
  if (p.type === "row") rows.push({ title: p.title, panels: [] });
  else rows.at(-1).panels.push(p);
}

const folder = mkdtempSync(join(tmpdir(), "render-"));
for (const [name, titles] of Object.entries(pictures)) {
  const chosen = titles.map((t) => rows.find((r) => r.title === t));
  let y = 0;
  const placed = [];
  for (const r of chosen) {
    placed.push({ row: r.title, y });
    const top = Math.min(...r.panels.map((p) => p.gridPos.Y));
    for (const p of r.panels) placed.push({ panel: p, y: y + 1 + p.gridPos.Y - top });
    y += 1 + Math.max(...r.panels.map((p) => p.gridPos.Y + p.gridPos.H)) - top;
  }
  const page = join(folder, name + ".html");
  writeFileSync(page, html(placed, y * unit));
  execFileSync("chromium", ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
    `--window-size=${width},${y * unit}`, "--virtual-time-budget=10000",
    `--screenshot=${resolve(out, name + ".png")}`, "file://" + page], { stdio: ["ignore", "ignore", "ignore"] });
  console.log(join(out, name + ".png"));
}
rmSync(folder, { recursive: true });

function html(placed, height) {
  const echarts = join(here, "node_modules/echarts/dist/echarts.min.js");
  // Escape "<", so that the data cannot end the script element.
  const data = JSON.stringify({ placed, width, unit }).replaceAll("<", "\\u003c");
  return `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="file://${join(here, "page.css")}">
<body style="width:${width}px;height:${height}px"><script src="file://${echarts}"></script>
<script>window.input = ${data};</script><script src="file://${join(here, "page.js")}"></script>`;
}
