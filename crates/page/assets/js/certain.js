// Between what true time certainly lies: as far either way as the bound, or not as far one way.
import { span } from "./format.js";

// An end at least this much of the bound away is as far as the bound.
const EVEN = 0.9;

/**
 * Whether one end of a clock (of a status) or a clock point is notably nearer than its bound; never
 * where an end is not told.
 */
export function isUneven(point) {
  const { offset_ns: offset, bound_ns: bound } = point;
  const ends = [point.earliest_offset_ns ?? null, point.latest_offset_ns ?? null];
  return !ends.includes(null) && ends.some((end) => Math.abs(end - offset) < EVEN * bound);
}

/** The least that `ns` stands for, signed: rounded down, as a promise is never made smaller. */
export function atLeast(ns) {
  return span(ns, { signed: true, up: ns < 0, down: ns > 0 });
}

/** The most that `ns` stands for, signed: rounded up. */
export function atMost(ns) {
  return span(ns, { signed: true, up: ns > 0, down: ns < 0 });
}
