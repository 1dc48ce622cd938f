// Joins the parts: the stream brings the figures, each part shows its own.
import { showAppearance, startAppearance } from "./appearance.js";
import { addPoint, restyleChart, setBacklog, startChart } from "./chart.js";
import { startControl } from "./control.js";
import { showDetails } from "./details.js";
import { byId, setAttribute, setText } from "./dom.js";
import { elapsed, span, timeOfDay } from "./format.js";
import { showHeadline } from "./headline.js";
import { startLanguage, t, word } from "./language.js";
import { showNotices } from "./notices.js";
import { showSchedules } from "./schedules.js";
import { showSources } from "./sources.js";
import { follow } from "./stream.js";
import { setTime, stopTime } from "./timeball.js";

// The last of each event: shown anew when the language changes.
const last = { point: null, status: null, schedules: null };
let link = "connecting";
let announced = null;

const handlers = {
  backlog(points) {
    setBacklog(points);
    if (points.length > 0) {
      take(points.at(-1));
    }
  },
  clock(point) {
    addPoint(point);
    take(point);
  },
  status(status) {
    last.status = status;
    showStatus();
  },
  schedules(schedules) {
    last.schedules = schedules;
    showSchedules(schedules, nowNs());
  },
  state(state) {
    link = state;
    showLink();
  },
};

startLanguage(() => {
  showAppearance();
  showLink();
  restyleChart();
  if (last.status) {
    showStatus();
  }
  if (last.schedules) {
    showSchedules(last.schedules, nowNs());
  }
});
startControl();
startAppearance(restyleChart);
showAppearance();
startChart();
follow("v1/events", handlers);

function take(point) {
  last.point = point;
  setTime(point);
  // The kernel of the sentence, in the title of the tab.
  const offset =
    point.offset_ns === null ? t("headline.word") : span(point.offset_ns, { signed: true });
  document.title = `${offset} · ${last.status?.hostname ?? ""} · Timeball`;
}

function showStatus() {
  const { status } = last;
  showHeadline(status);
  showNotices(status);
  showSources(status);
  showDetails(status);
  setText(
    byId("about"),
    t("footer.about", { version: status.version, time: elapsed(status.uptime_s) }),
  );
  announce(status.clock.state);
}

/** Tells a screen reader what changed in kind; figures change each second and are not told. */
function announce(state) {
  if (announced !== state) {
    announced = state;
    setText(byId("announcer"), t("announce.state", { state: word("state", state) }));
  }
}

function showLink() {
  const lost = link === "lost";
  setAttribute(byId("link"), "data-state", link);
  setText(byId("link-word"), t(`link.${link}`));
  setAttribute(document.documentElement, "data-stale", String(lost && last.point !== null));
  const banner = byId("lost");
  banner.hidden = !lost;
  if (lost) {
    stopTime();
    const time = last.point ? timeOfDay(Math.floor(trueNs(last.point) / 1e9) * 1e9) : "";
    setText(banner, t(last.point ? "link.since" : "link.never", { time }));
  }
}

/** The instant by the clock that the schedules are told by, ns since 1970. */
function nowNs() {
  return last.point ? trueNs(last.point) : Date.now() * 1e6;
}

function trueNs(point) {
  return point.system_ns + (point.offset_ns ?? 0);
}
