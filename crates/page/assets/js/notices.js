// What a person should know and do, worst first.
import { badge, byId, element, keyed, setBadge, setText } from "./dom.js";
import { t } from "./language.js";

const TONES = { error: "bad", warning: "warning", info: "idle" };
const NOTICES_MAX = 20;

/** Shows the notices of a status. */
export function showNotices({ notices }) {
  byId("notices").hidden = notices.length === 0;
  const key = ({ reason, message }) => `${reason} ${message}`;
  keyed(byId("notice-list"), notices.slice(0, NOTICES_MAX), key, createNotice, (item, notice) => {
    item.dataset.severity = notice.severity;
    setBadge(
      item.querySelector(".badge"),
      TONES[notice.severity] ?? "idle",
      t(`severity.${notice.severity}`),
    );
    setText(item.querySelector("code"), notice.reason);
    setText(item.querySelector("p"), notice.message);
  });
}

function createNotice() {
  // The agent writes its messages in English.
  return element("li", {}, badge(), element("code"), element("p", { lang: "en" }));
}
