// The next instants of a schedule, in words.
import { day, elapsed, knowsZone, span, timeOfDay } from "./format.js";
import { t } from "./language.js";

// A fast schedule is described by its period: nobody can read its instants.
const FAST_NS = 2e9;
// Instants arrive as JSON numbers, which near 1.8e18 are exact to 256 ns.
const ROUND_NS = 1000;

/** The constant period of the coming instants, ns; `null` where it is not constant or not known. */
export function periodOf({ next_ns: instants }) {
  if (instants.length < 3) {
    return null;
  }
  const steps = instants.slice(1).map((at, i) => Math.round((at - instants[i]) / ROUND_NS));
  return steps.every((step) => step === steps[0]) ? steps[0] * ROUND_NS : null;
}

/** When it fires next: `every 100 ms`, or `14:30:00 Europe/Berlin, in 12 min 5 s`. */
export function nextWords(schedule, nowNs) {
  if (schedule.suspended) {
    return t("schedules.suspended");
  }
  if (schedule.paused) {
    const { by, why } = schedule.paused;
    return t(why === "" ? "schedules.paused.by" : "schedules.paused.why", { by, why });
  }
  const next = schedule.next_ns[0];
  if (next === undefined) {
    return t("schedules.next.none");
  }
  const period = periodOf(schedule);
  if (period !== null && period < FAST_NS) {
    return t("schedules.next.every", { period: span(period) });
  }
  const ahead = (next - nowNs) / 1e9;
  const until = ahead <= 0 ? t("schedules.due") : t("schedules.next.in", { time: elapsed(ahead) });
  return `${instantWords(next, schedule.time_zone, nowNs)}, ${until}`;
}

/** An instant in a zone, with the day where it is not today's. */
export function instantWords(ns, zone, nowNs) {
  const shown = knowsZone(zone) ? zone : "UTC";
  const date = day(ns, shown) === day(nowNs, shown) ? "" : `${day(ns, shown)} `;
  return `${date}${timeOfDay(ns, shown)} ${shown.replace("Etc/", "")}`;
}
