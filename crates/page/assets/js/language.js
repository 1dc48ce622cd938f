// The page's language: the browser's first one that we have, or the one chosen here.
import { byId } from "./dom.js";
import { en } from "./strings/en.js";
import { ja } from "./strings/ja.js";
import { zh } from "./strings/zh.js";

const KEY = "timeball.language";
const LANGUAGES = { en, zh, ja };

let chosen = initial();

/** The BCP 47 tag of the language in use. */
export function language() {
  return chosen;
}

/** The text of `key`, its `{places}` filled from `values`. */
export function t(key, values = {}) {
  const template = LANGUAGES[chosen][key] ?? en[key] ?? key;
  return template.replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place);
}

/** The text of `key` with its places left open. */
export function template(key) {
  return LANGUAGES[chosen][key] ?? en[key] ?? key;
}

/** A word of the API in the page's language; one that is not known stays as it came. */
export function word(kind, value) {
  return LANGUAGES[chosen][`${kind}.${value}`] ?? value;
}

/** Translates the markup and wires the choice; `changed` is called after a change. */
export function startLanguage(changed) {
  const select = byId("language");
  select.value = chosen;
  select.addEventListener("change", () => {
    chosen = select.value;
    remember(chosen);
    translate();
    changed();
  });
  translate();
}

function translate() {
  document.documentElement.lang = chosen;
  for (const node of document.querySelectorAll("[data-t]")) {
    node.textContent = t(node.dataset.t);
  }
  for (const node of document.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", t(node.dataset.tLabel));
  }
}

function initial() {
  const wishes = [stored(), ...(navigator.languages ?? [])];
  const tags = wishes.map((wish) => wish?.toLowerCase().split("-")[0]);
  return tags.find((tag) => Object.hasOwn(LANGUAGES, tag ?? "")) ?? "en";
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(tag) {
  try {
    localStorage.setItem(KEY, tag);
  } catch {
    // As with the colour scheme: it holds until the page is left.
  }
}
