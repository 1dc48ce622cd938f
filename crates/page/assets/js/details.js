// The figures behind the sentence, for those who want them.
import { isUneven } from "./certain.js";
import { byId, element, keyed, setText } from "./dom.js";
import { count, rate, span } from "./format.js";
import { language, t, word } from "./language.js";

/** Shows the clock, the kernel's view and the counts of a status. */
export function showDetails(status) {
  show("clock-details", clockRows(status.clock));
  show(
    "kernel-details",
    status.kernel ? kernelRows(status.kernel) : [["details.kernel", t("details.unread")]],
  );
  show("server-details", [...serverRows(status.server), ...counterRows(status.counters)]);
}

function clockRows(clock) {
  const known = clock.offset_ns !== null;
  const gains = clock.frequency_ppb < 0 ? "details.loses" : "details.gains";
  return [
    ["details.offset", spanOrUnknown(clock.offset_ns, { signed: true })],
    ["details.bound", clock.bound_ns === null ? t("details.unknown") : boundOf(clock)],
    ["details.error", spanOrUnknown(clock.offset_error_ns)],
    [
      "details.frequency",
      known ? t(gains, { rate: rate(clock.frequency_ppb) }) : t("details.unknown"),
    ],
    [
      "details.stratum",
      clock.stratum < 16 && clock.stratum > 0 ? String(clock.stratum) : t("details.unknown"),
    ],
    ["details.reference", known && clock.reference_id ? clock.reference_id : t("details.unknown")],
    ["details.delay", known ? span(clock.root_delay_ns) : t("details.unknown")],
    ["details.dispersion", known ? span(clock.root_dispersion_ns) : t("details.unknown")],
    ["details.leap", known ? word("leap", clock.leap) : t("details.unknown")],
  ];
}

/** `±50 µs`, or both ends where one is notably nearer than the bound. */
function boundOf(clock) {
  const { offset_ns: offset, bound_ns: bound } = clock;
  const ends = [clock.earliest_offset_ns, clock.latest_offset_ns].map((ns) => ns - offset);
  return isUneven(clock)
    ? ends.map((ns) => span(ns, { signed: true, up: true })).join(" … ")
    : `±${span(bound, { up: true })}`;
}

function kernelRows(kernel) {
  return [
    ["details.synchronized", t(kernel.synchronized ? "details.yes" : "details.no")],
    ["details.maxerror", span(kernel.max_error_ns, { up: true })],
    ["details.esterror", span(kernel.estimated_error_ns, { up: true })],
    ["details.correction", rate(kernel.frequency_ppb)],
    [
      "details.tai",
      kernel.tai_offset_s === 0 ? t("details.tai.unset") : `${kernel.tai_offset_s}\u00a0s`,
    ],
  ];
}

function serverRows(server) {
  if (server === null) {
    return [["details.address", t("details.off")]];
  }
  return [
    ["details.address", server.address],
    ["details.answered", whole(server.answered)],
    ["details.invalid", whole(server.invalid)],
    ["details.denied", whole(server.denied)],
  ];
}

function counterRows(counters) {
  return [
    ["details.sent", whole(counters.sent)],
    ["details.received", whole(counters.received)],
    ["details.rejected", whole(counters.rejected)],
    ["details.updates", whole(counters.updates)],
    ["details.steps", whole(counters.steps)],
    ["details.jumps", whole(counters.foreign_jumps)],
    ["details.refused", whole(counters.adjust_failures)],
  ];
}

function show(id, rows) {
  keyed(
    byId(id),
    rows,
    ([key]) => key,
    () => element("div", {}, element("dt"), element("dd")),
    (row, [key, text]) => {
      row.dataset.row = key;
      setText(row.firstChild, t(key));
      setText(row.lastChild, text);
    },
  );
}

function spanOrUnknown(ns, options) {
  return ns === null ? t("details.unknown") : span(ns, options);
}

function whole(number) {
  return count(number, language());
}
