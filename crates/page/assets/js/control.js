// What a person may do with a schedule: pause it, let it go on, run it now. Only with the token that
// the link of `timeball page` brings; every act asks first.
import { byId, element, keyed, setAttribute, setText } from "./dom.js";
import { t } from "./language.js";

const KEY = "timeball.token";
const TOKEN = /^#token=([0-9a-f]{64})$/;

// What the dialog asks about: a schedule and an action.
let asked = null;

/** Takes the token out of the address into this tab's storage, and readies the dialog. */
export function startControl() {
  const token = TOKEN.exec(location.hash)?.[1];
  if (token) {
    sessionStorage.setItem(KEY, token);
    history.replaceState(null, "", location.pathname + location.search);
  }
  byId("control-cancel").addEventListener("click", () => byId("control").close());
  byId("control-confirm").addEventListener("click", act);
  byId("control-why").addEventListener("keydown", (event) => event.key === "Enter" && act());
}

/** Makes the place of a schedule's buttons. */
export function actions() {
  return element("div", { class: "actions" });
}

/** Shows the buttons that a schedule has now. */
export function showActions(node, schedule) {
  node.schedule = schedule;
  keyed(
    node,
    [schedule.paused ? "resume" : "pause", "run"],
    (action) => action,
    (action) => {
      const button = element("button", { type: "button", "data-action": action });
      button.addEventListener("click", () => ask(node.schedule, action));
      return button;
    },
    (button, action) => {
      setText(button, t(`control.${action}`));
      setAttribute(button, "aria-label", `${t(`control.${action}`)}: ${schedule.name}`);
    },
  );
}

function ask(schedule, action) {
  asked = { schedule, action };
  const may = sessionStorage.getItem(KEY) !== null;
  setText(byId("control-question"), t(`control.${action}.ask`, { name: schedule.name }));
  setText(byId("control-explain"), t(may ? `control.${action}.explain` : "control.locked"));
  setText(byId("control-cancel"), t(may ? "control.cancel" : "control.close"));
  setText(byId("control-confirm"), t(`control.${action}`));
  setText(byId("control-answer"), "");
  byId("control-confirm").hidden = !may;
  byId("control-reason").hidden = !may;
  byId("control-why").value = "";
  byId("control").showModal();
}

async function act() {
  const { schedule, action } = asked;
  const confirm = byId("control-confirm");
  if (confirm.disabled) {
    return;
  }
  confirm.disabled = true;
  try {
    const name = [schedule.namespace, schedule.name].map(encodeURIComponent).join("/");
    const answer = await fetch(`v1/schedules/${name}/${action}`, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${sessionStorage.getItem(KEY)}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify({ why: byId("control-why").value }),
    });
    if (answer.ok) {
      byId("control").close();
    } else {
      const said = await answer.text();
      setText(byId("control-answer"), t("control.failed", { why: messageOf(said) }));
    }
  } catch (error) {
    setText(byId("control-answer"), t("control.failed", { why: error.message }));
  } finally {
    confirm.disabled = false;
  }
}

function messageOf(text) {
  try {
    return JSON.parse(text).message ?? text;
  } catch {
    return text;
  }
}
