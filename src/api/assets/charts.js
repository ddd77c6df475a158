// @ts-check
/// <reference lib="dom" />
/** Charts as SVG: lines over the last two minutes, and bars of recovery times. */

import { carriedBy, middle } from "./words.js";

/** @import { Driver } from "../../supervisor/schema.ts" */

/** Milliseconds that a chart shows. */
const SPAN = 120_000;
/** Milliseconds between two samples that are not joined by a line: nobody knows what was between. */
const GAP = 3500;
/** Units of the drawing. */
const WIDTH = 240;
const HEIGHT = 60;
/** Recoveries that are drawn. */
const BARS = 60;

/**
 * What each chart draws, a line for each entry.
 * @type {Record<string, { label: string, of: (driver: Driver) => number }[]>}
 */
const SERIES = {
  packets: [
    { label: "in", of: (driver) => carriedBy(driver).packets[0] },
    { label: "out", of: (driver) => carriedBy(driver).packets[1] },
  ],
  bytes: [
    { label: "in", of: (driver) => carriedBy(driver).bytes[0] },
    { label: "out", of: (driver) => carriedBy(driver).bytes[1] },
  ],
  interrupts: [{ label: "interrupts", of: ({ interruptsPerSecond }) => interruptsPerSecond }],
  wakeups: [{ label: "packets", of: (driver) => carriedBy(driver).perWakeup }],
};

/** @typedef {{ time: number, values: Record<string, number[]> }} Sample */

/** The charts of one card. */
export class Charts {
  /** @type {Sample[]} */
  #samples = [];
  /** @type {Map<string, SVGElement>} */
  #drawings = new Map();
  /** @type {Map<string, HTMLElement>} */
  #scales = new Map();
  /** @type {string} */
  #bars = "";

  /**
   * @param {HTMLElement} card with an `svg[data-chart]` and a `[data-scale]` for each chart
   */
  constructor(card) {
    for (const drawing of card.querySelectorAll("svg[data-chart]")) {
      if (drawing instanceof SVGElement) this.#drawings.set(drawing.dataset.chart ?? "", drawing);
    }
    for (const scale of card.querySelectorAll("[data-scale]")) {
      if (scale instanceof HTMLElement) this.#scales.set(scale.dataset.scale ?? "", scale);
    }
  }

  /**
   * Takes what is true now, and draws.
   * @param {Driver} driver
   * @param {{ time: number, written: (chart: string, value: number) => string }} options `time`: milliseconds
   */
  add(driver, { time, written }) {
    const values = Object.fromEntries(
      Object.entries(SERIES).map(([chart, series]) => [chart, series.map(({ of }) => of(driver))]),
    );
    this.#samples = [...this.#samples.filter((sample) => sample.time > time - SPAN - GAP), { time, values }];
    for (const [chart, series] of Object.entries(SERIES)) this.#drawLines(chart, { series, time, written });
    this.#drawBars(driver.recoveries, written);
  }

  /**
   * @param {string} chart
   * @param {{ series: { label: string }[], time: number, written: (chart: string, value: number) => string }} options
   */
  #drawLines(chart, { series, time, written }) {
    const drawing = this.#drawings.get(chart);
    if (!drawing) return;
    const most = Math.max(...this.#samples.flatMap(({ values }) => values[chart]));
    const top = roundUp(most);
    const shapes = [rule(HEIGHT / 2)];
    for (const index of series.keys()) {
      const points = this.#samples.map((sample) => ({
        time: sample.time,
        x: WIDTH * (1 - (time - sample.time) / SPAN),
        y: HEIGHT * (1 - sample.values[chart][index] / top),
      }));
      const runs = unbroken(points);
      if (index === 0) shapes.push(path(runs.map(area).join(""), "area"));
      shapes.push(path(runs.map(line).join(""), `line line-${index}`));
    }
    drawing.replaceChildren(...shapes);
    drawing.setAttribute("aria-label", `Last two minutes, at most ${written(chart, most)}`);
    const scale = this.#scales.get(chart);
    if (scale) scale.textContent = written(chart, top);
  }

  /**
   * @param {readonly number[]} recoveries milliseconds
   * @param {(chart: string, value: number) => string} written
   */
  #drawBars(recoveries, written) {
    const drawing = this.#drawings.get("recoveries");
    const shown = recoveries.slice(-BARS);
    // They change far less often than once a second.
    if (!drawing || this.#bars === String(shown)) return;
    this.#bars = String(shown);
    const scale = this.#scales.get("recoveries");
    if (shown.length === 0) {
      drawing.replaceChildren();
      if (scale) scale.textContent = "";
      return;
    }
    const { median, worst } = middle(shown);
    const top = roundUp(worst);
    const step = WIDTH / BARS;
    const bars = shown.map((ms, index) => {
      const height = Math.max(1, HEIGHT * ms / top);
      const x = WIDTH - (shown.length - index) * step;
      return shape("rect", { class: "bar", x, y: HEIGHT - height, width: step * 0.7, height });
    });
    const across = rule(HEIGHT * (1 - median / top));
    across.setAttribute("class", "median");
    drawing.replaceChildren(...bars, across);
    drawing.setAttribute(
      "aria-label",
      `The last ${shown.length} recoveries: median ${written("recoveries", median)}, worst ${
        written("recoveries", worst)
      }`,
    );
    if (scale) scale.textContent = written("recoveries", top);
  }
}

/**
 * The next of 1, 2, 5, 10, 20, 50 …; 1 at least.
 * @param {number} value
 */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= value) ?? 10 * power;
}

/** @typedef {{ time: number, x: number, y: number }} Point */

/**
 * Points in runs without a gap.
 * @param {Point[]} points
 */
function unbroken(points) {
  /** @type {Point[][]} */
  const runs = [];
  for (const point of points) {
    const run = runs[runs.length - 1];
    if (run && point.time - run[run.length - 1].time <= GAP) run.push(point);
    else runs.push([point]);
  }
  return runs;
}

/** @param {Point[]} run */
function line(run) {
  return run.map(({ x, y }, index) => `${index === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

/** @param {Point[]} run */
function area(run) {
  return `${line(run)}L${run[run.length - 1].x.toFixed(1)} ${HEIGHT}L${run[0].x.toFixed(1)} ${HEIGHT}Z`;
}

/**
 * @param {string} d
 * @param {string} name its class
 */
function path(d, name) {
  return shape("path", { d, class: name });
}

/**
 * A line across.
 * @param {number} y
 */
function rule(y) {
  return shape("line", { class: "rule", x1: 0, x2: WIDTH, y1: y, y2: y });
}

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 */
function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}
