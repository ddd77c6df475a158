/**
 * Charts as SVG: one function from data to text. Drawn here rather than by a library: those that are well
 * kept want a DOM (Observable Plot), or bring a dozen packages for what two scales and a path are.
 */
import { type Domain, extent, linear, logarithmic, type Scale } from "./scale.ts";

/** One axis. */
export interface Axis {
  /** What it shows, with the unit: `recovery time, ms`. */
  label: string;
  /** Default linear. */
  scale?: "linear" | "log";
  /** What it has to show at least; default all values. */
  domain?: Domain;
  /** Text of a tick; default the number with its thousands separated. */
  format?: (value: number) => string;
}

/** Values to draw in one colour, under one name. */
export interface Series {
  name: string;
  /** By x, ascending. */
  points: readonly (readonly [x: number, y: number])[];
  /** `line` (default) joins the points; `step` keeps each value until the next, as a distribution does. */
  draw?: "line" | "step";
}

/** A value of x that is pointed out. */
export interface Mark {
  x: number;
  label: string;
  /** Index of the series whose colour it has; default that of the axes. */
  series?: number;
}

/** What is on a chart. */
export interface Chart {
  title: string;
  /** A line below the title: how it was measured. */
  subtitle?: string;
  x: Axis;
  y: Axis;
  /** At most as many as there are colours, {@link COLORS}. */
  series: readonly Series[];
  marks?: readonly Mark[];
}

/** Size of the drawing, and of what surrounds the plot. */
const SIZE = { width: 760, height: 440 };
const MARGIN = { left: 72, right: 24, top: 96, bottom: 60 };
const PLOT = {
  width: SIZE.width - MARGIN.left - MARGIN.right,
  height: SIZE.height - MARGIN.top - MARGIN.bottom,
};

/** Colours of the series on light and on dark ground: of the Okabe-Ito palette, told apart by the colour-blind. */
export const COLORS: readonly { light: string; dark: string }[] = [
  { light: "#0072b2", dark: "#56b4e9" },
  { light: "#d55e00", dark: "#e69f00" },
  { light: "#007e5a", dark: "#2dc79a" },
  { light: "#a0447f", dark: "#dd94bd" },
];

/** Dashes of the series, so that colour is not all that tells them apart. */
const DASHES = ["none", "7 4", "2 3", "10 3 2 3"];

/** Width of a character in ems, about: SVG does not say how wide a text will be. */
const CHARACTER = 0.55;

/**
 * Draws a chart.
 * @returns An SVG document that is light or dark as its reader prefers.
 * @throws {RangeError} for more series than colours, or a value that its axis cannot show.
 */
export function drawChart({ title, subtitle, x, y, series, marks = [] }: Chart): string {
  if (series.length > COLORS.length) {
    throw new RangeError(`Cannot draw ${series.length} series: there are ${COLORS.length} colours`);
  }
  const points = series.flatMap((one) => one.points);
  const across = scaleOf(x, [...points.map(([value]) => value), ...marks.map((mark) => mark.x)]);
  const up = scaleOf(y, points.map(([, value]) => value));
  const px = (value: number) => round(MARGIN.left + across.at(value) * PLOT.width);
  const py = (value: number) => round(MARGIN.top + (1 - up.at(value)) * PLOT.height);
  const bottom = MARGIN.top + PLOT.height;
  const right = MARGIN.left + PLOT.width;
  const said = [title, subtitle].filter((text) => text).join(". ");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE.width} ${SIZE.height}" ` +
    `width="${SIZE.width}" height="${SIZE.height}" role="img" aria-label="${escape(said)}">`,
    `<style>${style()}</style>`,
    `<rect class="ground" width="${SIZE.width}" height="${SIZE.height}"/>`,
    text(title, { x: MARGIN.left, y: 28, class: "title" }),
    ...(subtitle ? [text(subtitle, { x: MARGIN.left, y: 48, class: "muted" })] : []),
    ...legend(series),
    ...across.ticks.flatMap((value) => [
      `<line class="grid" x1="${px(value)}" y1="${MARGIN.top}" x2="${px(value)}" y2="${bottom}"/>`,
      text((x.format ?? plain)(value), { x: px(value), y: bottom + 18, class: "muted middle" }),
    ]),
    ...up.ticks.flatMap((value) => [
      `<line class="grid" x1="${MARGIN.left}" y1="${py(value)}" x2="${right}" y2="${py(value)}"/>`,
      text((y.format ?? plain)(value), { x: MARGIN.left - 8, y: py(value) + 4, class: "muted end" }),
    ]),
    `<line class="axis" x1="${MARGIN.left}" y1="${bottom}" x2="${right}" y2="${bottom}"/>`,
    `<line class="axis" x1="${MARGIN.left}" y1="${MARGIN.top}" x2="${MARGIN.left}" y2="${bottom}"/>`,
    text(x.label, { x: MARGIN.left + PLOT.width / 2, y: SIZE.height - 16, class: "middle" }),
    text(y.label, {
      x: 0,
      y: 0,
      class: "middle",
      transform: `translate(18 ${MARGIN.top + PLOT.height / 2}) rotate(-90)`,
    }),
    ...series.map(({ points, draw }, index) =>
      `<path class="series s${index}" d="${path(points.map(([a, b]) => [px(a), py(b)]), draw ?? "line")}"/>`
    ),
    ...marks.flatMap((mark, index) => drawMark(mark, { at: px(mark.x), level: index })),
    "</svg>",
    "",
  ].join("\n");
}

function scaleOf(axis: Axis, values: readonly number[]): Scale {
  const domain = extent([...values, ...(axis.domain ?? [])]);
  return axis.scale === "log" ? logarithmic(domain) : linear(domain);
}

function path(points: readonly (readonly [x: number, y: number])[], draw: "line" | "step"): string {
  return points.map(([x, y], index) => {
    if (index === 0) return `M${x} ${y}`;
    return draw === "step" ? `H${x}V${y}` : `L${x} ${y}`;
  }).join("");
}

/** Names of the series in a row below the title, each behind a piece of its line. */
function legend(series: readonly Series[]): string[] {
  let x = MARGIN.left;
  return series.flatMap(({ name }, index) => {
    const from = x;
    x += 36 + name.length * CHARACTER * 13 + 20;
    return [
      `<line class="series s${index}" x1="${from}" y1="72" x2="${from + 28}" y2="72"/>`,
      text(name, { x: from + 36, y: 76 }),
    ];
  });
}

/** A thin line across the plot with its label at the bottom, on the side that has room. */
function drawMark(mark: Mark, { at, level }: { at: number; level: number }): string[] {
  const colour = mark.series === undefined ? "" : ` s${mark.series}`;
  const room = MARGIN.left + PLOT.width - at > mark.label.length * CHARACTER * 12 + 8;
  return [
    `<line class="mark${colour}" x1="${at}" y1="${MARGIN.top}" x2="${at}" y2="${MARGIN.top + PLOT.height}"/>`,
    text(mark.label, {
      x: room ? at + 5 : at - 5,
      y: MARGIN.top + PLOT.height - 10 - 16 * level,
      class: room ? "small" : "small end",
    }),
  ];
}

function text(
  content: string,
  attributes: { x: number; y: number; class?: string; transform?: string },
): string {
  const written = Object.entries(attributes).map(([name, value]) => ` ${name}="${escape(`${value}`)}"`);
  return `<text${written.join("")}>${escape(content)}</text>`;
}

function style(): string {
  const colours = (shade: "light" | "dark") =>
    COLORS.map((colour, index) => `.s${index}{stroke:${colour[shade]}}`).join("");
  const dashes = DASHES.map((dash, index) => `.series.s${index}{stroke-dasharray:${dash}}`).join("");
  return "text{font:13px system-ui,sans-serif;fill:#1b1f24}.title{font-size:17px;font-weight:600}" +
    ".small{font-size:12px;paint-order:stroke;stroke:#fff;stroke-width:4px}.muted{font-size:12px;fill:#59636e}.middle{text-anchor:middle}.end{text-anchor:end}" +
    ".ground{fill:#fff}.grid{stroke:#e3e6ea}.axis{stroke:#6e7781}.series{fill:none;stroke-width:2}" +
    `.mark{stroke:#6e7781;stroke-width:1;stroke-dasharray:1 3}${colours("light")}${dashes}` +
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.muted{fill:#9aa5b1}.ground{fill:#0d1117}.small{stroke:#0d1117}" +
    `.grid{stroke:#262c34}.axis{stroke:#8b949e}${colours("dark")}}`;
}

function plain(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 6 });
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function escape(content: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return content.replaceAll(/[&<>"]/g, (character) => entities[character]);
}
