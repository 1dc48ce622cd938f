// One sentence that says how right the clock is, and where that knowledge comes from.
import { isUneven } from "./certain.js";
import { badge, byId, element, setBadge, setSentence, setText } from "./dom.js";
import { span } from "./format.js";
import { t, template, word } from "./language.js";

const TONES = {
  synchronized: "good",
  acquiring: "fair",
  holdover: "warning",
  unsynchronized: "bad",
};
// So soon after the start silence means nothing yet.
const FIRST_ANSWERS_S = 10;

/** Shows a status (of `/v1/status`). */
export function showHeadline(status) {
  const { clock } = status;
  setText(byId("hostname"), status.hostname);
  const mode = byId("mode");
  mode.hidden = status.mode === "";
  setText(mode, word("mode", status.mode));
  const [sentence, places] = sentenceOf(status);
  setSentence(byId("sentence"), template(sentence), places);
  byId("sentence").dataset.known = String(clock.offset_ns !== null);
  showStanding(status);
}

/** Which sentence, and the nodes for its places. */
function sentenceOf(status) {
  const { offset_ns: offset, bound_ns: bound } = status.clock;
  if (offset === null) {
    const unknown = element("em", {}, t("headline.word"));
    return ["headline.unknown", { unknown, reason: t(`reason.${reasonOf(status)}`) }];
  }
  const side = offset < 0 ? "ahead" : "behind";
  const places = { offset: element("strong", {}, span(Math.abs(offset))) };
  if (bound === null) {
    return [`headline.${side}.unbound`, places];
  }
  if (isUneven(status.clock)) {
    const ends = [status.clock.earliest_offset_ns, status.clock.latest_offset_ns];
    const [earliest, latest] = ends.map(endOf);
    return [`headline.${side}.ends`, { ...places, earliest, latest }];
  }
  places.bound = element("strong", {}, `±${span(bound, { up: true })}`);
  return [`headline.${side}`, places];
}

/** One end of what is certain, as a place of the sentence: the first is rounded down, the other up. */
function endOf(ns, i) {
  const isOutward = ns < 0 === (i === 0);
  const size = span(Math.abs(ns), { up: isOutward, down: !isOutward });
  return element("strong", {}, t(ns < 0 ? "headline.end.ahead" : "headline.end.behind", { size }));
}

/** Why nothing is known, as a key of the reasons. */
function reasonOf({ sources, uptime_s: uptime }) {
  if (sources.length === 0) {
    return "none";
  }
  const answering = sources.filter((source) => source.selection !== "unreachable");
  if (answering.length === 0) {
    return uptime < FIRST_ANSWERS_S ? "waiting" : "silent";
  }
  const disputed = answering.some(({ selection }) => /falseticker|no-majority/.test(selection));
  return disputed ? "majority" : uptime < FIRST_ANSWERS_S ? "waiting" : "few";
}

function showStanding({ clock, sources }) {
  const standing = byId("standing");
  if (!standing.firstChild) {
    standing.append(badge(), element("span", { class: "facts" }));
  }
  const [state, facts] = standing.children;
  setBadge(state, TONES[clock.state] ?? "idle", word("state", clock.state));
  setText(facts, factsOf(clock, sources).join(" · "));
}

function factsOf(clock, sources) {
  const facts = [];
  const chief = sources.find((source) => source.selection === "chief");
  const count = sources.filter(({ selection }) => /^(chief|combined)$/.test(selection)).length;
  if (chief) {
    facts.push(
      t(count > 1 ? "standing.sources" : "standing.source", { count, source: chief.name }),
    );
  }
  if (clock.bound_ns !== null && clock.bound_growth_ppb > 0) {
    const rate = span(clock.bound_growth_ppb);
    facts.push(t(clock.state === "holdover" ? "standing.holdover" : "standing.growth", { rate }));
  }
  if (clock.leap === "insert" || clock.leap === "delete") {
    facts.push(t(`standing.leap.${clock.leap}`));
  }
  return facts;
}
