// What became of a schedule's instants, and why: asked for only while somebody looks.
import { badge, element, keyed, setAttribute, setBadge, setText } from "./dom.js";
import { count as number, span } from "./format.js";
import { instantWords } from "./instants.js";
import { language, t, word } from "./language.js";

const ROWS_MAX = 40;
// A fast schedule changes all the time, and nobody reads faster than this.
const PAUSE_MS = 2000;

/** The tones of results, for badges. */
export const TONES = {
  fired: "good",
  missed: "warning",
  skipped: "idle",
  failed: "bad",
  unknown: "fair",
};

/** Makes a closed history; nothing is asked before it is opened. */
export function history() {
  const node = element(
    "details",
    { class: "history" },
    element("summary"),
    element("p", { class: "history-state", role: "status" }),
    element("ol", { tabindex: "0" }),
  );
  node.addEventListener("toggle", () => node.open && refresh(node));
  return node;
}

/** Shows the history of a schedule as of an instant (ns since 1970). */
export function showHistory(node, schedule, nowNs) {
  const name = `${t("history.title")}: ${schedule.name}`;
  const summary = node.querySelector("summary");
  setText(summary, t("history.title"));
  setAttribute(summary, "aria-label", name);
  setAttribute(node.querySelector("ol"), "aria-label", name);
  node.schedule = schedule;
  node.nowNs = nowNs;
  if (node.open) {
    refresh(node);
  }
}

async function refresh(node) {
  const { schedule } = node;
  const now = performance.now();
  if (!schedule || node.asking || now - (node.askedAt ?? -Infinity) < PAUSE_MS) {
    return;
  }
  node.asking = true;
  node.askedAt = now;
  const state = node.querySelector(".history-state");
  try {
    const name = [schedule.namespace, schedule.name].map(encodeURIComponent).join("/");
    const answer = await fetch(`v1/schedules/${name}/history?limit=${ROWS_MAX}`);
    if (!answer.ok) {
      throw new Error(`HTTP ${answer.status}`);
    }
    const { outcomes } = await answer.json();
    setText(state, outcomes.length === 0 ? t("history.none") : "");
    state.hidden = outcomes.length > 0;
    showRows(node, outcomes);
  } catch (error) {
    state.hidden = false;
    setText(state, t("history.failed", { why: error.message }));
  } finally {
    node.asking = false;
  }
}

function showRows(node, outcomes) {
  keyed(
    node.querySelector("ol"),
    outcomes,
    keys(),
    () => element("li", {}, element("span", { class: "when" }), badge(), element("span")),
    (row, outcome) => {
      const [when, result, facts] = row.children;
      setText(when, whenWords(outcome, node.schedule.time_zone, node.nowNs));
      setBadge(result, TONES[outcome.result] ?? "idle", word("result", outcome.result));
      setText(facts, factWords(outcome).join(" · "));
    },
  );
}

/** A key for each outcome: an instant may have one of its own and several that were asked for. */
function keys() {
  const seen = new Map();
  return ({ scheduled_ns: at, trigger }) => {
    const key = `${trigger}-${at}`;
    seen.set(key, (seen.get(key) ?? 0) + 1);
    return `${key}-${seen.get(key)}`;
  };
}

function whenWords(outcome, zone, nowNs) {
  const until = instantWords(outcome.until_ns, zone, nowNs);
  return outcome.count > 1
    ? t("schedules.last.run", { count: number(outcome.count, language()), time: until })
    : until;
}

/** Lateness, reason and message of an outcome, each in words, the unknown ones left out. */
export function factWords(outcome) {
  const facts = [];
  if (outcome.lateness_ns !== null) {
    facts.push(latenessWords(outcome.lateness_ns));
  }
  if (outcome.trigger !== "schedule") {
    facts.push(word("trigger", outcome.trigger));
  }
  facts.push(outcome.reason, outcome.message || outcome.explanation);
  if (outcome.clock_exceeded) {
    facts.push(t("schedules.flagged"));
  }
  return facts.filter((fact) => fact !== "");
}

/** `68.4 µs late`; a fire may be early by a hair where the schedule says "nearest". */
function latenessWords(ns) {
  return t(ns < 0 ? "schedules.early" : "schedules.late", { time: span(Math.abs(ns)) });
}
