// A browser that reaches nothing but the page, and a page whose every misdeed is written down.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Whatever asks for another host fails, and is then seen as an error.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]",
];

/** The address of the page under test. */
export const url = address();

/** Starts the browser with a profile of its own, which goes with it. */
export function launch() {
  const executablePath = process.env.TIMEBALL_CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: FLAGS });
}

/**
 * Opens the page and waits until figures have come. `misdeeds` of the result lists errors, foreign
 * requests and policy violations as they happen.
 */
export async function open(browser, options = {}, at = url) {
  const context = await browser.newContext({
    locale: "en-GB",
    viewport: { width: 1280, height: 900 },
    ...options,
  });
  const page = await context.newPage();
  const misdeeds = [];
  watch(page, new URL(at).origin, misdeeds);
  await page.exposeFunction("timeballViolation", (text) => misdeeds.push(`policy: ${text}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      window.timeballViolation(
        `${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`,
      );
    });
  });
  await page.goto(at);
  await page.waitForFunction(() => document.querySelector("#sentence").dataset.known !== undefined);
  return { context, page, misdeeds };
}

/** Closes a page that must have done nothing wrong. */
export async function close({ context, misdeeds }) {
  await context.close();
  assert.deepEqual(misdeeds, []);
}

/** Waits until `probe(page)` differs from what it is now; answers the new value. */
export async function changed(page, selector, limitMs = 15_000) {
  const before = await page.textContent(selector);
  await page.waitForFunction(
    ([query, old]) => document.querySelector(query).textContent !== old,
    [selector, before],
    { timeout: limitMs },
  );
  return { before, after: await page.textContent(selector) };
}

function watch(page, origin, misdeeds) {
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      misdeeds.push(`console: ${message.text()}`);
    }
  });
  page.on("pageerror", (error) => misdeeds.push(`exception: ${error.stack}`));
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (asked.protocol !== "data:" && asked.origin !== origin) {
      misdeeds.push(`outside request: ${request.url()}`);
    }
  });
  page.on("response", (response) => {
    if (response.status() >= 400) {
      misdeeds.push(`${response.status()} for ${response.url()}`);
    }
  });
}

function address() {
  const given = process.env.TIMEBALL_URL;
  if (!given) {
    throw new Error("TIMEBALL_URL is not set: give the address that `timeball up` prints");
  }
  return new URL("/", given).href;
}
