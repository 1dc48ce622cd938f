// When the schedules fire next, on one time line: logarithmic, since a tenth of a second and a week
// must both be seen.
import { byId, element, keyed, place, setText } from "./dom.js";
import { elapsed } from "./format.js";
import { t } from "./language.js";
import { nextWords, periodOf } from "./instants.js";

const ROWS_MAX = 12;
const NEAR_S = 0.1;
const FAR_S = 7 * 86400;
const MARKS_S = [1, 10, 60, 600, 3600, 6 * 3600, 86400, FAR_S];
// The list of next instants has this many; a full one goes on.
const INSTANTS_FULL = 10;
// Faster than this, dots would only flicker: the row is a line that flows.
const DENSE_S = 2;

/** Shows the schedules at an instant (ns since 1970). */
export function showTimeline(schedules, nowNs) {
  const coming = schedules
    .filter((schedule) => schedule.next_ns.length > 0 && !schedule.suspended)
    .sort((a, b) => a.next_ns[0] - b.next_ns[0])
    .slice(0, ROWS_MAX)
    .sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
  byId("timeline").hidden = coming.length === 0;
  drawAxis();
  keyed(byId("timeline-rows"), coming, nameOf, createRow, (row, schedule) => {
    updateRow(row, schedule, nowNs);
  });
}

function nameOf({ namespace, name }) {
  return `${namespace}/${name}`;
}

function createRow() {
  const track = element("span", { class: "track", "aria-hidden": "true" });
  return element(
    "li",
    {},
    element("span", { class: "name" }),
    track,
    element("span", { class: "unseen" }),
  );
}

function updateRow(row, schedule, nowNs) {
  const [name, track, words] = row.children;
  setText(name, schedule.name);
  setText(words, nextWords(schedule, nowNs));
  const instants = schedule.next_ns.filter((at, i) => {
    return at >= nowNs && (i === 0 || at - nowNs <= FAR_S * 1e9);
  });
  const period = periodOf(schedule);
  const dense = period !== null && period / 1e9 < DENSE_S;
  const last = instants.at(-1) ?? nowNs;
  const goesOn = schedule.next_ns.length >= INSTANTS_FULL;
  const marks = dense ? [] : instants.map((at) => ({ key: at, from: positionOf(at - nowNs) }));
  if (goesOn) {
    const from = dense ? 0 : positionOf(last - nowNs);
    marks.push({ key: dense ? "flow" : "tail", from, to: 1 });
  }
  keyed(
    track,
    marks,
    ({ key }) => key,
    ({ key }) => {
      return element("span", { class: typeof key === "number" ? "instant" : key });
    },
    (mark, { from, to }) => place(mark, from, to ?? from),
  );
}

/** Where an instant so far ahead stands, as a fraction of the width. */
function positionOf(aheadNs) {
  const ahead = Math.min(FAR_S, Math.max(NEAR_S, aheadNs / 1e9));
  return Math.log(ahead / NEAR_S) / Math.log(FAR_S / NEAR_S);
}

function drawAxis() {
  keyed(
    byId("timeline-axis"),
    MARKS_S,
    (mark) => mark,
    () => element("span"),
    (mark, seconds) => {
      place(mark, positionOf(seconds * 1e9));
      setText(mark, seconds < 10 ? `${seconds}\u00a0s` : short(seconds));
    },
  );
}

function short(seconds) {
  return seconds < 60 || seconds % 60 !== 0 ? elapsed(seconds) : shortUnits(seconds);
}

function shortUnits(seconds) {
  const [size, unit] =
    seconds >= 86400 ? [86400, "d"] : seconds >= 3600 ? [3600, "h"] : [60, "min"];
  return t("timeline.mark", { number: seconds / size, unit });
}
