// The schedules: when each fires next, how it fared, and how late it was.
import { actions, showActions } from "./control.js";
import { badge, byId, element, keyed, setBadge, setText } from "./dom.js";
import { count as number, span } from "./format.js";
import { histogram, showHistogram } from "./histogram.js";
import { TONES, factWords, history, showHistory } from "./history.js";
import { instantWords, nextWords } from "./instants.js";
import { language, t, word } from "./language.js";
import { showTimeline } from "./timeline.js";

const CARDS_MAX = 48;
const RESULTS = ["fired", "missed", "skipped", "failed", "unknown"];

/** Shows the schedules (of `/v1/schedules`) at an instant (ns since 1970). */
export function showSchedules({ schedules, problems, reload }, nowNs) {
  showAside(schedules);
  showProblems(problems);
  showReload(reload, nowNs);
  byId("schedules-empty").hidden = schedules.length > 0 || problems.length > 0;
  showTimeline(schedules, nowNs);
  const key = ({ namespace, name }) => `${namespace}/${name}`;
  keyed(
    byId("schedule-cards"),
    schedules.slice(0, CARDS_MAX),
    key,
    createCard,
    (card, schedule) => {
      updateCard(card, schedule, nowNs);
    },
  );
  const more = byId("schedules-more");
  more.hidden = schedules.length <= CARDS_MAX;
  setText(more, t("schedules.more", { count: schedules.length - CARDS_MAX }));
}

function showAside(schedules) {
  const fired = schedules.reduce((sum, { counts }) => sum + counts.fired, 0);
  const values = { count: schedules.length, fired: number(fired, language()) };
  setText(
    byId("schedules-aside"),
    t(schedules.length === 1 ? "schedules.aside.one" : "schedules.aside", values),
  );
}

function showProblems(problems) {
  const list = byId("schedule-problems");
  list.hidden = problems.length === 0;
  keyed(
    list,
    problems.slice(0, CARDS_MAX),
    ({ file }) => file,
    createProblem,
    (item, { file, message }) => {
      setBadge(item.firstChild, "bad", t("schedules.problem"));
      setText(item.querySelector("b"), file);
      setText(item.querySelector("p"), message);
    },
  );
}

/** What came of the files when they last changed. */
function showReload(reload, nowNs) {
  const line = byId("schedules-reload");
  line.hidden = reload === null;
  if (reload === null) {
    return;
  }
  const time = instantWords(reload.at_ns, "UTC", nowNs);
  if (!reload.applied) {
    setText(line, t("schedules.reload.refused", { time }));
    return;
  }
  const told = reload.changes.map(changeWords);
  if (reload.count > told.length) {
    told.push(t("schedules.reload.more", { count: reload.count - told.length }));
  }
  const changes = told.join(", ") || t("schedules.reload.nothing");
  setText(line, t("schedules.reload", { time, changes }));
}

/** `changed flush (spec.schedule)`. */
function changeWords({ kind, namespace, name, fields }) {
  const named = namespace === "default" ? name : `${namespace}/${name}`;
  const list = fields.map(({ field }) => field).join(", ");
  return `${word("change", kind)} ${list === "" ? named : `${named} (${list})`}`;
}

function createProblem() {
  return element("li", {}, badge(), element("b"), element("p", { lang: "en" }));
}

function createCard() {
  const term = (name, ...children) => {
    return [element("dt", { class: name }), element("dd", { class: name }, ...children)];
  };
  const percentiles = element("dl", { class: "percentiles" });
  for (const name of ["p50", "p99", "max"]) {
    percentiles.append(element("div", {}, element("dt"), element("dd", { class: name })));
  }
  return element(
    "li",
    { class: "card" },
    element("h3", {}, element("span", { class: "title" }), element("span", { class: "chip" })),
    element("p", { class: "expression" }, element("code"), element("span")),
    element("p", { class: "target" }),
    element("p", { class: "days" }),
    element("dl", { class: "facts" }, ...term("next"), ...term("last", badge(), element("span"))),
    actions(),
    element("ul", { class: "counts" }),
    element("p", { class: "lateness-title" }),
    percentiles,
    histogram(),
    history(),
  );
}

function updateCard(card, schedule, nowNs) {
  const part = (selector) => card.querySelector(selector);
  card.dataset.name = schedule.name;
  setText(
    part(".title"),
    schedule.namespace === "default" ? schedule.name : `${schedule.namespace}/${schedule.name}`,
  );
  const chip = part(".chip");
  const rests = schedule.suspended || schedule.paused;
  chip.hidden = !rests && schedule.running === 0;
  setText(
    chip,
    rests
      ? t(schedule.suspended ? "schedules.suspended" : "schedules.paused")
      : t("schedules.running", { count: schedule.running }),
  );
  setText(part(".expression code"), schedule.schedule);
  setText(part(".expression span"), schedule.time_zone);
  setText(part(".target"), schedule.target);
  showDays(part(".days"), schedule, nowNs);
  setText(part("dt.next"), t("schedules.next"));
  setText(part("dd.next"), nextWords(schedule, nowNs));
  setText(part("dt.last"), t("schedules.last"));
  showLast(part("dd.last"), schedule, nowNs);
  showActions(part(".actions"), schedule);
  showCounts(part(".counts"), schedule.counts);
  showLateness(card, schedule.lateness);
  showHistory(part(".history"), schedule, nowNs);
}

/** The calendars, and the next instant that they leave out: why something does not fire. */
function showDays(line, { include, exclude, left_out: leftOut, time_zone: zone }, nowNs) {
  line.hidden = include.length === 0 && exclude.length === 0;
  const parts = [];
  if (include.length > 0) {
    parts.push(t("schedules.days.include", { calendars: include.join(", ") }));
  }
  if (exclude.length > 0) {
    parts.push(t("schedules.days.exclude", { calendars: exclude.join(", ") }));
  }
  if (leftOut !== null) {
    const time = instantWords(leftOut.at_ns, zone, nowNs);
    const by = leftOut.excluded_by;
    parts.push(
      by === null
        ? t("schedules.days.outside", { time })
        : t("schedules.days.left-out", { time, calendar: by }),
    );
  }
  setText(line, parts.join(" · "));
}

function showLast(cell, { last, time_zone: zone }, nowNs) {
  const [state, words] = cell.children;
  state.hidden = last === null;
  if (last === null) {
    setText(words, t("schedules.last.none"));
    return;
  }
  setBadge(state, TONES[last.result] ?? "idle", word("result", last.result));
  const at = instantWords(last.until_ns, zone, nowNs);
  const when =
    last.count > 1
      ? t("schedules.last.run", { count: number(last.count, language()), time: at })
      : at;
  setText(words, [when, ...factWords(last)].join(" · "));
}

function showCounts(list, counts) {
  // What never happened is left out, save the fires themselves.
  const shown = RESULTS.filter((result) => result === "fired" || counts[result] > 0);
  keyed(
    list,
    shown,
    (result) => result,
    () => element("li", {}, badge(), element("b")),
    (item, result) => {
      item.dataset.result = result;
      setBadge(item.firstChild, TONES[result], word("result", result));
      setText(item.lastChild, number(counts[result], language()));
    },
  );
}

function showLateness(card, lateness) {
  const known = lateness.p50_ns !== null;
  setText(
    card.querySelector(".lateness-title"),
    t(known ? "schedules.lateness" : "schedules.lateness.none"),
  );
  card.querySelector(".percentiles").hidden = !known;
  for (const name of ["p50", "p99", "max"]) {
    const figure = card.querySelector(`.percentiles .${name}`);
    const ns = lateness[`${name}_ns`];
    setText(figure.previousSibling, t(`schedules.${name}`));
    setText(figure, ns === null ? t("sources.unknown") : span(ns));
  }
  showHistogram(card.querySelector(".histogram"), lateness);
}
