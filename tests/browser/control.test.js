// Pause, resume and run now from the page: only with the token, and never unasked.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { close, launch, open, url } from "./support.js";

const TOKEN = "0123456789abcdef".repeat(4);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

const pauseOf = (page) => page.locator(".card .actions [data-action=pause]").first();

test("without the token the page says how to get one, and offers nothing", async () => {
  const opened = await open(browser);
  const { page } = opened;
  await pauseOf(page).click();
  assert.match(await page.textContent("#control-explain"), /timeball page/);
  assert.equal(await page.isVisible("#control-confirm"), false);
  await page.keyboard.press("Escape");
  assert.equal(await page.isVisible("#control"), false);
  await close(opened);
});

test("with the token a change is asked for by keyboard, and sent with the reason", async () => {
  const opened = await open(browser, {}, `${url}#token=${TOKEN}`);
  const { page } = opened;
  assert.equal(await page.evaluate(() => location.hash), "", "the token leaves the address");
  const sent = [];
  await page.route("**/v1/schedules/*/*/pause", async (route) => {
    sent.push(route.request());
    await route.fulfill({ json: { instants_ns: [], left_out: 0 } });
  });
  await pauseOf(page).focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.isVisible("#control-confirm"), true);
  assert.deepEqual(sent, [], "nothing is sent unasked");
  await page.focus("#control-why");
  await page.keyboard.type("disk full");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.querySelector("#control").open);
  assert.equal(sent.length, 1);
  assert.equal(sent[0].headers().authorization, `Bearer ${TOKEN}`);
  assert.deepEqual(sent[0].postDataJSON(), { why: "disk full" });
  await close(opened);
});

test("the server pauses and resumes the schedule, says who and why, and the page shows it", async () => {
  // What `timeball page` prints, with the token of the running server.
  const token = readFileSync(join(process.env.TIMEBALL_SCHEDULES, "../token"), "utf8").trim();
  const opened = await open(browser, {}, `${url}#token=${token}`);
  const { page } = opened;
  const button = (action) => page.locator(`[data-action=${action}][aria-label$=": minute"]`);
  const paused = async () => {
    const { schedules } = await (await fetch(new URL("v1/schedules", url))).json();
    return schedules.find(({ name }) => name === "minute").paused;
  };
  assert.equal(await paused(), null);

  await button("pause").click();
  await page.fill("#control-why", "disk full");
  await page.click("#control-confirm");
  await button("resume").waitFor();
  const { by, why } = await paused();
  assert.deepEqual([by, why], ["the page", "disk full"]);

  await button("resume").click();
  await page.click("#control-confirm");
  await button("pause").waitFor();
  assert.equal(await paused(), null);
  await close(opened);
});

for (const colorScheme of ["light", "dark"]) {
  test(`the dialog is accessible (${colorScheme}), also 320 px wide`, async () => {
    const options = { colorScheme, viewport: { width: 320, height: 700 } };
    const opened = await open(browser, options, `${url}#token=${TOKEN}`);
    const { page } = opened;
    await page.locator(".card .actions [data-action=run]").first().click();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 320, `${width} px`);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run("#control"));
    assert.deepEqual(
      violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`),
      [],
    );
    await close(opened);
  });
}
