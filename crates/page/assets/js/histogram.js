// Lateness as a histogram: one bar a bucket, heights by square root, so that a single late fire
// among a million is still seen.
import { element, keyed, setAttribute } from "./dom.js";
import { count as number, span } from "./format.js";
import { language, t } from "./language.js";

/** Makes an empty histogram. */
export function histogram() {
  return element(
    "div",
    { class: "histogram", role: "img" },
    element("div", { class: "bars" }),
    element("div", { class: "ends" }, element("span"), element("span")),
  );
}

/** Shows a schedule's lateness. */
export function showHistogram(node, { p50_ns: p50, p99_ns: p99, max_ns: max, histogram: buckets }) {
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  node.hidden = total === 0;
  if (total === 0) {
    return;
  }
  const shown = occupied(buckets);
  const most = Math.max(...shown.map((bucket) => bucket.count));
  const [bars, ends] = node.children;
  keyed(
    bars,
    shown,
    (bucket) => bucket.upper_ns ?? "last",
    () => element("span", { class: "column" }),
    (bar, bucket) => {
      bar.style.setProperty("--height", String(Math.sqrt(bucket.count / most)));
      setAttribute(bar, "data-empty", String(bucket.count === 0));
      setAttribute(bar, "title", bucketWords(bucket));
    },
  );
  ends.firstChild.textContent = edge(shown[0], buckets, 0);
  ends.lastChild.textContent = edge(shown.at(-1), buckets, 1);
  const words = {
    count: number(total, language()),
    p50: spanOr(p50),
    p99: spanOr(p99),
    max: spanOr(max),
  };
  setAttribute(node, "aria-label", t("schedules.histogram", words));
}

/** The buckets from the first to the last that has fires, with a neighbour each side. */
function occupied(buckets) {
  const first = buckets.findIndex((bucket) => bucket.count > 0);
  const last = buckets.findLastIndex((bucket) => bucket.count > 0);
  return buckets.slice(Math.max(0, first - 1), last + 2);
}

function edge(bucket, buckets, side) {
  const at = buckets.indexOf(bucket);
  if (side === 0) {
    return at === 0 ? "0" : span(buckets[at - 1].upper_ns);
  }
  return bucket.upper_ns === null
    ? `> ${span(buckets[at - 1]?.upper_ns ?? 0)}`
    : span(bucket.upper_ns);
}

function bucketWords({ upper_ns: upper, count }) {
  const words = { count: number(count, language()) };
  return upper === null
    ? t("schedules.bucket.last", words)
    : t("schedules.bucket", { ...words, upper: span(upper) });
}

function spanOr(ns) {
  return ns === null ? t("sources.unknown") : span(ns);
}
