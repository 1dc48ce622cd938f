// The offset and its bound over the last ten minutes.
import { byId, setAttribute, setText } from "./dom.js";
import { calmRange, optionsFor, reading } from "./chart-options.js";
import { span } from "./format.js";
import { t } from "./language.js";

const POINTS_MAX = 600;
const WINDOW_S_MIN = 60;
// Points come each second; a longer silence is a gap, and no line is drawn across it.
const GAP_S = 3;
const HEIGHT_PX = 280;
const HEIGHT_NARROW_PX = 220;

const UNKNOWN = {
  offset_ns: null,
  bound_ns: null,
  earliest_offset_ns: null,
  latest_offset_ns: null,
};

// Columns of the chart: seconds since 1970, and nanoseconds or `null`.
const columns = { at: [], low: [], high: [], offset: [], bound: [] };
let plot = null;
let mode = "bound";
let pointed = null;

/** Makes the chart and wires its controls. */
export function startChart() {
  for (const choice of ["bound", "offset"]) {
    byId(`range-${choice}`).addEventListener("click", () => {
      mode = choice;
      for (const other of ["bound", "offset"]) {
        setAttribute(byId(`range-${other}`), "aria-pressed", String(other === choice));
      }
      draw();
    });
  }
  byId("scrub").addEventListener("input", (event) => point(Number(event.target.value)));
  byId("scrub").addEventListener("blur", () => point(null));
  new ResizeObserver(() => plot?.setSize(sizeOf())).observe(byId("chart"));
}

/** Replaces all points. */
export function setBacklog(points) {
  Object.values(columns).forEach((column) => (column.length = 0));
  points.forEach(push);
  draw();
}

/** Adds the newest point. */
export function addPoint(clockPoint) {
  push(clockPoint);
  draw();
}

/** Draws anew in other colours or another language. */
export function restyleChart() {
  plot?.destroy();
  plot = null;
  draw();
}

function push(clockPoint) {
  const { system_ns: system, offset_ns: offset } = clockPoint;
  const at = (system + (offset ?? 0)) / 1e9;
  // After somebody set the clock back, what was later than now is no longer on this time line.
  while (columns.at.length > 0 && columns.at.at(-1) >= at) {
    Object.values(columns).forEach((column) => column.pop());
  }
  const last = columns.at.at(-1);
  if (last !== undefined && at - last > GAP_S) {
    append(last + 1, UNKNOWN);
  }
  append(at, clockPoint);
}

function append(at, clockPoint) {
  columns.at.push(at);
  columns.offset.push(clockPoint.offset_ns);
  columns.bound.push(clockPoint.bound_ns);
  columns.low.push(clockPoint.earliest_offset_ns);
  columns.high.push(clockPoint.latest_offset_ns);
  if (columns.at.length > POINTS_MAX) {
    Object.values(columns).forEach((column) => column.shift());
  }
}

function draw() {
  const data = [columns.at, columns.low, columns.high, columns.offset];
  if (plot) {
    plot.setData(data);
  } else if (columns.at.length > 0) {
    const { width, height } = sizeOf();
    const chart = { window: timeWindow, range: valueRange, known, gaps, pointed: hover };
    plot = new uPlot(optionsFor(chart, width, height), data, byId("chart"));
  }
  byId("scrub").max = Math.max(0, columns.at.length - 1);
  point(pointed);
  summarize();
}

function sizeOf() {
  const width = byId("chart").clientWidth;
  return { width, height: width < 560 ? HEIGHT_NARROW_PX : HEIGHT_PX };
}

function timeWindow() {
  const last = columns.at.at(-1) ?? 0;
  const length = last - (columns.at[0] ?? last);
  return [last - Math.min(POINTS_MAX, Math.max(WINDOW_S_MIN, length)), last];
}

function valueRange() {
  if (!known()) {
    return [-1, 1];
  }
  const values = withoutGaps(columns.offset);
  if (mode === "bound") {
    values.push(0, ...withoutGaps(columns.low), ...withoutGaps(columns.high));
  }
  return calmRange(Math.min(...values), Math.max(...values));
}

/** Whether any point of the window has an offset. */
function known() {
  return columns.offset.some((offset) => offset !== null);
}

function withoutGaps(column) {
  return column.filter((value) => value !== null);
}

/** The stretches of time in which the offset was unknown. */
function gaps() {
  const found = [];
  let from = null;
  columns.at.forEach((at, i) => {
    if (columns.offset[i] === null) {
      from ??= columns.at[i - 1] ?? at;
    } else if (from !== null) {
      found.push([from, at]);
      from = null;
    }
  });
  return from === null ? found : [...found, [from, columns.at.at(-1)]];
}

/** Shows the reading of a point, or of the newest where `index` is `null`. */
function point(index) {
  const last = columns.at.length - 1;
  pointed = index === null || index >= last ? null : index;
  const shown = pointed ?? last;
  showReading(shown);
  const scrub = byId("scrub");
  scrub.value = String(shown);
  setAttribute(scrub, "aria-valuetext", readingOf(shown));
  if (plot && document.activeElement === scrub) {
    plot.setCursor({ left: plot.valToPos(columns.at[shown], "x"), top: 0 }, false);
  }
}

/** The pointer moved over the chart, or left it. */
function hover(index) {
  if (document.activeElement !== byId("scrub")) {
    showReading(index ?? columns.at.length - 1);
  }
}

function showReading(index) {
  setText(byId("readout"), readingOf(index));
}

function readingOf(index) {
  return columns.at.length === 0
    ? t("chart.readout.none")
    : reading(columns.at[index], {
        offset_ns: columns.offset[index],
        bound_ns: columns.bound[index],
        earliest_offset_ns: columns.low[index],
        latest_offset_ns: columns.high[index],
      });
}

function summarize() {
  const offsets = withoutGaps(columns.offset);
  const bounds = withoutGaps(columns.bound);
  if (offsets.length === 0 || bounds.length === 0) {
    setText(byId("chart-summary"), t("chart.summary.none"));
    return;
  }
  const minutes = Math.max(1, Math.round((columns.at.at(-1) - columns.at[0]) / 60));
  setText(
    byId("chart-summary"),
    t("chart.summary", {
      minutes,
      low: span(Math.min(...offsets), { signed: true }),
      high: span(Math.max(...offsets), { signed: true }),
      least: `±${span(Math.min(...bounds), { up: true })}`,
      most: `±${span(Math.max(...bounds), { up: true })}`,
    }),
  );
}
