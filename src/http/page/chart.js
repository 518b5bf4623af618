// SPDX-License-Identifier: Apache-2.0
// A card with current values and their course over the last minutes.

const CHART_WIDTH = 300;
const CHART_HEIGHT = 100;
const NUM_GRID_LINES = 3;
// Readings further apart are not joined: nobody looked meanwhile.
const MAX_GAP_MS = 5000;

/** The next 1, 2 or 5 times a power of ten. */
function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((limit) => limit >= value * 0.999);
}

class ChartCard {
  /** series: [{label, format(value), isDrawn?}], at most two. `ceiling`: a fixed top of the axis. */
  constructor(title, series, { ceiling } = {}) {
    this.series = series;
    this.isDrawn = series.map(({ isDrawn = true }) => isDrawn);
    this.ceiling = ceiling;
    this.values = series.map(() => el("b", {}, "–"));
    const hasColors = this.isDrawn.filter(Boolean).length > 1;
    const legend = series.map(({ label }, i) =>
      el("div", { class: i ? "value second" : "value" }, ...(hasColors ? [el("i")] : []), this.values[i], el("span", {}, label)),
    );
    this.svg = svgEl("svg", { class: "chart", viewBox: `0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.from = el("span");
    this.top = el("span", { class: "top" });
    const plot = el("div", { class: "plot" }, this.top, this.svg);
    const axis = el("div", { class: "axis" }, this.from, el("span", {}, "now"));
    this.node = el("section", { class: "card" }, el("h2", {}, title), el("div", { class: "values" }, ...legend), plot, axis);
    this.title = title;
  }

  /** points: [{time, values: [number or undefined per series]}], oldest first; spanS: width of the axis. */
  update(points, spanS) {
    const last = points.at(-1);
    this.series.forEach(({ format }, i) => {
      const value = last?.values[i];
      this.values[i].textContent = value === undefined ? "–" : format(value);
    });
    const all = points.flatMap(({ values }) => values.filter((value, i) => this.isDrawn[i] && value !== undefined));
    const top = this.ceiling ?? niceCeiling(Math.max(0, ...all));
    this.from.textContent = `−${spanS} s`;
    this.top.textContent = this.series[0].format(top);
    this.svg.replaceChildren(...this.gridLines());
    this.series.forEach((_, i) => this.isDrawn[i] && this.draw(points, i, top, spanS, last?.time ?? 0));
    const spoken = this.series.map(({ label }, i) => `${label} ${this.values[i].textContent}`);
    this.svg.setAttribute("aria-label", `${this.title}: ${spoken.join(", ")}`);
  }

  gridLines() {
    return Array.from({ length: NUM_GRID_LINES }, (_, i) => {
      const y = (CHART_HEIGHT * i) / (NUM_GRID_LINES - 1);
      return svgEl("path", { class: "grid", d: `M0 ${y}H${CHART_WIDTH}` });
    });
  }

  /** A line for each stretch without gaps, and the area under the first series. */
  draw(points, i, top, spanS, now) {
    const runs = [[]];
    let last = 0;
    for (const { time, values } of points) {
      const x = CHART_WIDTH * (1 - (now - time) / 1000 / spanS);
      if (values[i] === undefined || x < 0 || time - last > MAX_GAP_MS) runs.push([]);
      last = time;
      if (values[i] !== undefined && x >= 0) runs.at(-1).push([x, CHART_HEIGHT * (1 - Math.min(1, values[i] / top))]);
    }
    for (const run of runs.filter((r) => r.length > 1)) {
      const line = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
      const base = `L${run.at(-1)[0].toFixed(1)} ${CHART_HEIGHT}L${run[0][0].toFixed(1)} ${CHART_HEIGHT}Z`;
      if (i === 0) this.svg.append(svgEl("path", { class: "area", d: `M${line}${base}` }));
      this.svg.append(svgEl("path", { class: i ? "second curve" : "curve", d: `M${line}` }));
    }
  }
}
