// The sources: whom the machine asks, what each says, and whether it is believed.
import { badge, byId, element, keyed, place, setAttribute, setBadge, setText } from "./dom.js";
import { elapsed, span } from "./format.js";
import { t, word } from "./language.js";

// Tone and shape of each selection.
const LOOKS = {
  chief: ["good", "star"],
  combined: ["good", "good"],
  candidate: ["fair", "fair"],
  "not-selectable": ["idle", "idle"],
  unfit: ["warning", "warning"],
  "no-majority": ["warning", "warning"],
  falseticker: ["bad", "bad"],
  unreachable: ["warning", "idle"],
};
const POLLS = 8;

/** Shows the sources of a status. */
export function showSources({ clock, sources }) {
  const answering = sources.filter((source) => source.reach !== 0).length;
  setText(byId("sources-aside"), t("sources.aside", { answering, count: sources.length }));
  byId("sources-empty").hidden = sources.length > 0;
  document.querySelector("table.sources").hidden = sources.length === 0;
  byId("sources-legend").hidden = sources.length === 0;
  const axis = axisOf(clock, sources);
  const named = sources.map((source, i) => ({ source, key: `${i} ${source.name}` }));
  keyed(
    byId("source-rows"),
    named,
    ({ key }) => key,
    createRow,
    (row, { source }) => {
      updateRow(row, source, axis);
    },
  );
}

function createRow() {
  const pips = element("span", { class: "pips", "aria-hidden": "true" });
  pips.append(...Array.from({ length: POLLS }, () => element("span")));
  const cells = {
    state: [badge()],
    name: [element("b"), element("small"), element("p", { class: "problem" })],
    offset: [element("span")],
    interval: [intervalBar(), element("span", { class: "unseen" })],
    delay: [element("span")],
    jitter: [element("span")],
    stratum: [element("span"), element("small")],
    reach: [pips, element("span", { class: "unseen" })],
    heard: [element("span"), element("small")],
  };
  const row = element("tr", { role: "row" });
  for (const [name, children] of Object.entries(cells)) {
    row.append(element("td", { role: "cell", class: name }, ...children));
  }
  return row;
}

function intervalBar() {
  const parts = ["zero", "certain", "reach", "dot"].map((name) => element("span", { class: name }));
  return element("span", { class: "bar", "aria-hidden": "true" }, ...parts);
}

function updateRow(row, source, axis) {
  const cell = (name) => row.querySelector(`:scope > .${name}`);
  const unknown = "—";
  const figure = (ns, options) => (ns === null ? unknown : span(ns, options));
  ["offset", "delay", "jitter", "stratum", "reach", "heard", "interval"].forEach((name) => {
    const key = name === "interval" ? "sources.interval" : `sources.${name}`;
    setAttribute(cell(name), "data-label", t(key));
  });
  const [tone, shape] = LOOKS[source.selection] ?? ["idle", "idle"];
  setBadge(cell("state").firstChild, tone, word("selection", source.selection), shape);
  setText(cell("name").querySelector("b"), source.name);
  const address = source.address ?? "";
  setText(cell("name").querySelector("small"), sameHost(source.name, address) ? "" : address);
  const problem = cell("name").querySelector(".problem");
  setText(problem, source.problem ?? "");
  setText(cell("offset").firstChild, figure(source.offset_ns, { signed: true }));
  setText(cell("delay").firstChild, figure(source.delay_ns));
  setText(cell("jitter").firstChild, source.offset_ns === null ? unknown : span(source.jitter_ns));
  const stratum = source.stratum > 0 && source.stratum < 16 ? String(source.stratum) : unknown;
  setText(cell("stratum").firstChild, stratum);
  setText(cell("stratum").lastChild, source.reference_id);
  showReach(cell("reach"), source.reach);
  showHeard(cell("heard"), source);
  showInterval(cell("interval"), source, axis);
}

/** Whether the address tells nothing that the name does not. */
function sameHost(name, address) {
  return address === "" || address === name || address.replace(/:123$/, "") === name;
}

function showReach(cell, reach) {
  // The newest poll is the lowest bit; it stands at the right.
  [...cell.firstChild.children].forEach((pip, i) => {
    setAttribute(pip, "data-on", String(((reach >> (POLLS - 1 - i)) & 1) === 1));
  });
  const count = [...cell.firstChild.children].filter((pip) => pip.dataset.on === "true").length;
  setText(cell.lastChild, t("sources.reached", { count }));
}

function showHeard(cell, source) {
  const ago = source.last_answer_s;
  const heard = ago === null ? t("sources.never") : t("sources.ago", { time: elapsed(ago) });
  setText(cell.firstChild, heard);
  const poll = source.poll_interval_s;
  setText(cell.lastChild, poll > 0 ? t("sources.poll", { time: elapsed(poll) }) : "");
}

/** The common axis of all bars, in ns around this clock, and where UTC certainly is on it. */
function axisOf(clock, sources) {
  const certain =
    clock.offset_ns === null || clock.bound_ns === null
      ? null
      : [clock.earliest_offset_ns, clock.latest_offset_ns];
  const believed = sources.filter(({ selection }) =>
    /^(chief|combined|candidate)$/.test(selection),
  );
  // What nobody believes must not squeeze the rest together.
  const shown = believed.length > 0 ? believed : certain ? [] : sources;
  const ends = [0, ...(certain ?? []), ...shown.flatMap((source) => intervalOf(source) ?? [])];
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const margin = (high - low || 1000) * 0.06;
  const width = high - low + 2 * margin;
  return { certain, at: (ns) => (ns - low + margin) / width };
}

/** From where to where a source says that UTC is, seen from this clock; `null` when it says nothing. */
function intervalOf({ offset_ns: offset, root_distance_ns: distance }) {
  return offset === null || distance === null ? null : [offset - distance, offset + distance];
}

function showInterval(cell, source, axis) {
  const bar = cell.firstChild;
  const [zero, certain, reach, dot] = bar.children;
  const interval = intervalOf(source);
  const within = (at) => Math.min(1, Math.max(0, at));
  place(zero, axis.at(0));
  certain.hidden = axis.certain === null;
  if (axis.certain) {
    place(certain, within(axis.at(axis.certain[0])), within(axis.at(axis.certain[1])));
  }
  reach.hidden = interval === null;
  dot.hidden = interval === null;
  if (interval === null) {
    setText(cell.lastChild, t("sources.unknown"));
    return;
  }
  const [from, to] = interval.map(axis.at);
  place(reach, within(from), within(to));
  const at = axis.at(source.offset_ns);
  place(dot, within(at));
  // An arrow instead of a dot where the source is off the scale.
  setAttribute(dot, "data-off", at < 0 ? "left" : at > 1 ? "right" : "no");
  setAttribute(bar, "data-selection", source.selection);
  const [low, high] = interval.map((ns) => span(ns, { signed: true }));
  setText(cell.lastChild, t("sources.span", { low, high }));
}
