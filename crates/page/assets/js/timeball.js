// The clock and the ball. As at a harbour's tower the ball goes up half way, then to the top, and
// drops at the exact start of the minute, by the best estimate of UTC that there is.
import { byId, setAttribute, setText } from "./dom.js";
import { day, timeOfDay } from "./format.js";
import { t } from "./language.js";

const HALF_AT_S = 50;
const TOP_AT_S = 55;

// True time in ms since 1970 when `performance.now()` was `at`; `null` while nobody says.
let anchor = null;
let timer = 0;

/** Takes a clock point (of `/v1/events`). */
export function setTime(point) {
  const known = point.offset_ns !== null;
  anchor = { ms: (point.system_ns + (point.offset_ns ?? 0)) / 1e6, at: performance.now(), known };
  tick();
}

/** Stops the clock: no time is better than an old one. */
export function stopTime() {
  anchor = null;
  tick();
}

function tick() {
  clearTimeout(timer);
  const mast = byId("mast");
  if (!anchor) {
    setText(byId("utc"), "––:––:––");
    setText(byId("utc-date"), "");
    setAttribute(mast, "data-phase", "rest");
    setAttribute(mast, "data-known", "false");
    return;
  }
  const ms = anchor.ms + performance.now() - anchor.at;
  const second = Math.floor(ms / 1000);
  setText(byId("utc-label"), anchor.known ? "UTC" : t("clock.unsure"));
  setText(byId("utc"), timeOfDay(second * 1e9));
  setText(byId("utc-date"), day(second * 1e9));
  setAttribute(mast, "data-phase", phaseOf(((second % 60) + 60) % 60));
  setAttribute(mast, "data-known", String(anchor.known));
  timer = setTimeout(tick, 1000 - (ms - second * 1000) + 1);
}

function phaseOf(second) {
  return second >= TOP_AT_S ? "top" : second >= HALF_AT_S ? "half" : "rest";
}
