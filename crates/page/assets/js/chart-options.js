// How the chart looks: axes in units, the bound as a band, unknown stretches hatched.
import { atLeast, atMost, isUneven } from "./certain.js";
import { span, timeOfDay, unitFor } from "./format.js";
import { t } from "./language.js";
import { roundUp, ticks } from "./scale.js";

const NARROW_PX = 560;
const MINUTE_S = 60;

/** The options of uPlot for `chart` (its window, range and gaps) at a width and height in pixels. */
export function optionsFor(chart, width, height) {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--chart-${name}`).trim();
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const grid = { stroke: color("grid"), width: 1 };
  const axis = { stroke: color("text"), font, grid, ticks: { ...grid, size: 5 } };
  const edge = { stroke: color("edge"), width: 1, points: { show: false } };
  return {
    width,
    height,
    padding: [14, 30, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: true, range: () => chart.window() }, y: { range: () => chart.range() } },
    series: [{}, edge, edge, { stroke: color("line"), width: 2, points: { show: false } }],
    bands: [{ series: [2, 1], fill: color("band") }],
    axes: [
      { ...axis, size: 34, values: timeValues, space: width < NARROW_PX ? 88 : 110 },
      // While nothing is known the scale would be an invention, so it stays empty.
      {
        ...axis,
        size: 82,
        splits: (_u, _axis, low, high) => (chart.known() ? ticks(low, high, 5) : []),
        values: spanValues,
      },
    ],
    hooks: {
      drawClear: [(u) => hatch(u, chart.gaps(), color("gap"))],
      draw: [
        (u) =>
          chart.known() &&
          annotate(u, { font, text: color("text"), line: color("line"), zero: color("zero") }),
      ],
      setCursor: [(u) => chart.pointed(u.cursor.idx ?? null)],
    },
  };
}

/** A calm range for values from `low` to `high`: round, so that it does not move every second. */
export function calmRange(low, high) {
  const spread = Math.max(high - low, Math.abs(high) * 1e-3, 100);
  const step = roundUp(spread / 4);
  const from = Math.floor((low - spread * 0.04) / step) * step;
  const to = Math.ceil((high + spread * 0.04) / step) * step;
  return [from, to];
}

function timeValues(_u, splits, _axis, _space, step) {
  return splits.map((at) => timeOfDay(at * 1e9).slice(0, step >= MINUTE_S ? 5 : 8));
}

function spanValues(_u, splits) {
  const unit = unitFor(Math.max(...splits.map(Math.abs)));
  const step = splits.length > 1 ? (splits[1] - splits[0]) / unit.ns : 1;
  const decimals = Math.max(0, Math.min(3, -Math.floor(Math.log10(step) + 1e-9)));
  return splits.map((ns) => {
    if (Math.abs(ns) < 1e-6) {
      return "0";
    }
    const figure = (Math.abs(ns) / unit.ns).toFixed(decimals);
    return `${ns < 0 ? "\u2212" : "+"}${figure}\u00a0${unit.name}`;
  });
}

/** Hatches the stretches `[from, to]` (seconds) in which nothing was known. */
function hatch(u, gaps, stroke) {
  const { ctx, bbox } = u;
  for (const [from, to] of gaps) {
    const left = Math.max(bbox.left, u.valToPos(from, "x", true));
    const right = Math.min(bbox.left + bbox.width, u.valToPos(to, "x", true));
    if (right <= left) {
      continue;
    }
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.strokeStyle = stroke;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    const step = 7 * devicePixelRatio;
    // Drawn on a grid of the whole plot, so that neighbouring stretches join.
    for (let x = Math.floor((left - bbox.height) / step) * step; x < right; x += step) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }
}

/** The zero line, what up and down mean, and a mark at the newest point. */
function annotate(u, { font, text, line, zero }) {
  const { ctx, bbox } = u;
  const { min, max } = u.scales.y;
  if (min === null || max === null) {
    return;
  }
  const inset = 8 * devicePixelRatio;
  ctx.save();
  if (min < 0 && max > 0) {
    const y = Math.round(u.valToPos(0, "y", true));
    ctx.strokeStyle = zero;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.font = scaled(font);
  ctx.fillStyle = text;
  ctx.textAlign = "left";
  if (max > 0) {
    ctx.textBaseline = "top";
    ctx.fillText(`↑ ${t("chart.behind")}`, bbox.left + inset, bbox.top + inset * 0.6);
  }
  if (min < 0) {
    ctx.textBaseline = "bottom";
    ctx.fillText(`↓ ${t("chart.ahead")}`, bbox.left + inset, bbox.top + bbox.height - inset * 0.6);
  }
  const [times, , , offsets] = u.data;
  const offset = offsets.at(-1);
  if (offset !== null && offset !== undefined) {
    ctx.fillStyle = line;
    ctx.beginPath();
    const x = u.valToPos(times.at(-1), "x", true);
    ctx.arc(x, u.valToPos(offset, "y", true), 3.5 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.restore();
}

function scaled(font) {
  return font.replace(/^(\d+)px/, (_px, size) => `${size * devicePixelRatio}px`);
}

/** One reading in words, for the line above the chart and for the slider. */
export function reading(at, clockPoint) {
  const { offset_ns: offset, bound_ns: bound } = clockPoint;
  const time = timeOfDay(Math.round(at) * 1e9);
  if (offset === null) {
    return t("chart.readout.unknown", { time });
  }
  const values = { time, offset: span(offset, { signed: true }) };
  if (bound === null) {
    return t("chart.readout.unbound", values);
  }
  if (isUneven(clockPoint)) {
    const earliest = atLeast(clockPoint.earliest_offset_ns);
    const latest = atMost(clockPoint.latest_offset_ns);
    return t("chart.readout.ends", { ...values, earliest, latest });
  }
  return t("chart.readout", { ...values, bound: span(bound, { up: true }) });
}
