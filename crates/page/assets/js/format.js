// Figures as people read them: with a unit, a sign where it means something, and no more digits
// than the figure deserves. Whole nanoseconds come in; what is unknown is said by the caller.

const NBSP = "\u00a0";
const MINUS = "\u2212";
const UNITS = [
  { name: "ns", ns: 1 },
  { name: "µs", ns: 1e3 },
  { name: "ms", ns: 1e6 },
  { name: "s", ns: 1e9 },
];
const SECOND_NS = 1e9;
const LONG_NS = 120 * SECOND_NS;

/** The largest unit in which `ns` is at least one. */
export function unitFor(ns) {
  const size = Math.abs(ns);
  return UNITS.findLast((unit) => size >= unit.ns) ?? UNITS[0];
}

/**
 * A span with three figures: `12.3 µs`, `−1.80 ms`. With `signed` a positive one has its plus; with
 * `up` it is rounded away from zero, as a bound must be: a promise is never made smaller; with `down`
 * towards zero.
 */
export function span(ns, { signed = false, up = false, down = false } = {}) {
  const round = up ? roundUp : down ? roundDown : Math.round;
  const size = Math.abs(ns);
  const sign = ns < 0 ? MINUS : signed && ns > 0 ? "+" : "";
  if (size >= LONG_NS) {
    return sign + longSpan(size, round);
  }
  return sign + magnitude(size, round);
}

/** Seconds that have passed or are to come, coarsely: `3.4 s`, `12 min 5 s`, `3 d 4 h`. */
export function elapsed(seconds) {
  if (seconds * SECOND_NS >= LONG_NS) {
    return longSpan(seconds * SECOND_NS, Math.round);
  }
  return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)}${NBSP}s`;
}

/** A rate in parts per million or billion, signed: `+12.345 ppm`. */
export function rate(ppb) {
  const sign = ppb < 0 ? MINUS : ppb > 0 ? "+" : "";
  const size = Math.abs(ppb);
  return (
    sign + (size < 1000 ? `${size.toFixed(1)}${NBSP}ppb` : `${(size / 1000).toFixed(3)}${NBSP}ppm`)
  );
}

/** A whole number with the language's separators. */
export function count(number, language) {
  return new Intl.NumberFormat(language).format(number);
}

/** Time of day of an instant in `zone`, to the millisecond where it has any: `14:30:00.250`. */
export function timeOfDay(ns, zone = "UTC") {
  const ms = toMs(ns);
  const text = formatter(zone, { timeStyle: "medium" }).format(ms);
  const rest = ((ms % 1000) + 1000) % 1000;
  return rest === 0 ? text : `${text}.${String(rest).padStart(3, "0")}`;
}

/** The day of an instant in `zone`: `2026-11-21`. */
export function day(ns, zone = "UTC") {
  // Sweden writes dates as ISO 8601 does.
  return formatter(zone, { dateStyle: "short" }).format(toMs(ns));
}

/** Whole milliseconds. Instants came as JSON numbers, exact to 256 ns only: hence first to the µs. */
function toMs(ns) {
  return Math.floor(Math.round(ns / 1e3) / 1e3);
}

const formatters = new Map();

function formatter(zone, style) {
  const key = `${zone} ${Object.values(style)}`;
  if (!formatters.has(key)) {
    formatters.set(key, makeFormatter(zone, style));
  }
  return formatters.get(key);
}

function makeFormatter(zone, style) {
  try {
    return new Intl.DateTimeFormat("sv-SE", { ...style, timeZone: zone });
  } catch {
    // The server's zone database may be newer than the browser's: better the instant in UTC than
    // no instant. The caller shows the zone's name beside it only when `knowsZone`.
    return new Intl.DateTimeFormat("sv-SE", { ...style, timeZone: "UTC" });
  }
}

/** Whether the browser knows the zone, so that times can be shown in it. */
export function knowsZone(zone) {
  return formatter(zone, { timeStyle: "medium" }).resolvedOptions().timeZone === "UTC"
    ? /^(Etc\/)?(UTC|UCT|GMT|Zulu|Universal|Greenwich)$/.test(zone)
    : true;
}

function magnitude(size, round) {
  let unit = unitFor(size);
  let text = figures(size / unit.ns, unit, round);
  if (Number(text) >= 1000 && unit.name !== "s") {
    unit = UNITS[UNITS.indexOf(unit) + 1];
    text = figures(size / unit.ns, unit, round);
  }
  return `${text}${NBSP}${unit.name}`;
}

function figures(value, unit, round) {
  const decimals = unit.name === "ns" || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const scale = 10 ** decimals;
  return (round(value * scale) / scale).toFixed(decimals);
}

/** A hair less before it is rounded, so that 1.8 stays 1.80 although 1.8 · 100 is a little more. */
function roundUp(value) {
  return Math.ceil(value * (1 - 1e-12));
}

function roundDown(value) {
  return Math.floor(value * (1 + 1e-12));
}

function longSpan(ns, round) {
  let seconds = round(ns / SECOND_NS);
  const parts = [];
  for (const [name, size] of [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ]) {
    const whole = Math.floor(seconds / size);
    if (whole > 0 || parts.length > 0) {
      parts.push([whole, name, size]);
      seconds -= whole * size;
    }
  }
  const shown = parts.slice(0, 2);
  if (round === roundUp && parts.slice(2).some(([whole]) => whole > 0)) {
    shown.at(-1)[0] += 1;
  }
  return shown
    .filter(([whole]) => whole > 0)
    .map(([whole, name]) => `${whole}${NBSP}${name}`)
    .join(" ");
}
