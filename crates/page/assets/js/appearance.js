// The colour scheme: the system's, or light or dark by wish, remembered in this browser.
import { byId, setAttribute, setText } from "./dom.js";
import { t } from "./language.js";

const KEY = "timeball.theme";
const ORDER = ["auto", "light", "dark"];

/** Wires the button; `changed` is called whenever colours change. */
export function startAppearance(changed) {
  byId("theme").addEventListener("click", () => {
    const next = ORDER[(ORDER.indexOf(current()) + 1) % ORDER.length];
    apply(next);
    remember(next);
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

/** Writes the button's words in the page's language. */
export function showAppearance() {
  const word = t(`theme.${current()}`);
  setText(byId("theme-word"), word);
  setAttribute(byId("theme"), "aria-label", t("theme.label", { scheme: word }));
}

function current() {
  return document.documentElement.dataset.theme ?? "auto";
}

function apply(theme) {
  if (theme === "auto") {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = theme;
  }
  showAppearance();
}

function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Not remembered where storage is forbidden; it holds until the page is left.
  }
}
