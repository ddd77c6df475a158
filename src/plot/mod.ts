/** Charts without a library, as SVG. */
export { type Axis, type Chart, drawChart, type Mark, type Series } from "./chart.ts";
export { empirical } from "./distribution.ts";
