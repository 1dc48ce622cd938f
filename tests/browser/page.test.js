// What a person sees and does.
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";
import { changed, close, launch, open, url } from "./support.js";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

test("the sentence says how far the clock is off and how surely, or that it is unknown", async () => {
  const opened = await open(browser);
  const sentence = await opened.page.textContent("#sentence");
  const known = await opened.page.getAttribute("#sentence", "data-known");
  const figure = "\\d[\\d.]*\\s(?:ns|µs|ms|s|min|h|d)";
  const expected =
    known === "true"
      ? new RegExp(`^This machine’s clock is (perhaps )?${figure}.* (behind|ahead of) UTC`)
      : /^How far this machine’s clock is from UTC is unknown: .+\.$/;
  assert.match(sentence, expected);
  await close(opened);
});

test("figures change from second to second", async () => {
  const opened = await open(browser);
  const clock = await changed(opened.page, "#utc");
  assert.match(clock.after, /^\d\d:\d\d:\d\d$/);
  await changed(opened.page, "#readout");
  assert.equal(await opened.page.textContent("#link-word"), "live");
  await close(opened);
});

test("the clock on the page agrees with this machine's to a second, unless Timeball knows better", async () => {
  const opened = await open(browser);
  if ((await opened.page.getAttribute("#sentence", "data-known")) === "false") {
    await changed(opened.page, "#utc");
    const shown = await opened.page.evaluate(() => {
      const text =
        document.querySelector("#utc-date").textContent +
        "T" +
        document.querySelector("#utc").textContent;
      return { shown: Date.parse(`${text}Z`), now: Date.now() };
    });
    assert.ok(Math.abs(shown.shown - shown.now) < 2000, JSON.stringify(shown));
  }
  await close(opened);
});

test("the chart draws its points, and its range can be changed", async () => {
  const opened = await open(browser);
  const { page } = opened;
  await page.waitForSelector("#chart canvas");
  // Read through a copy, so that the chart's own canvas is not slowed for good.
  const painted = () =>
    page.evaluate(() => {
      const canvas = document.querySelector("#chart canvas");
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {
        willReadFrequently: true,
      });
      copy.drawImage(canvas, 0, 0);
      return copy.getImageData(0, 0, canvas.width, canvas.height).data.some((octet) => octet !== 0);
    });
  assert.ok(await painted());
  await page.click("#range-offset");
  assert.equal(await page.getAttribute("#range-offset", "aria-pressed"), "true");
  assert.equal(await page.getAttribute("#range-bound", "aria-pressed"), "false");
  assert.ok(await painted());
  await close(opened);
});

test("every source has a state in words and a shape", async () => {
  const opened = await open(browser);
  const rows = await opened.page.$$eval("#source-rows tr", (nodes) =>
    nodes.map((row) => ({
      word: row.querySelector(".state .word").textContent,
      shape: row.querySelector(".state path").getAttribute("d"),
      offset: row.querySelector(".offset").textContent,
    })),
  );
  const empty = await opened.page.isVisible("#sources-empty");
  assert.equal(rows.length === 0, empty);
  for (const row of rows) {
    assert.notEqual(row.word, "");
    assert.ok(row.shape.length > 0);
    assert.match(row.offset, /^(—|[+−]?\d.*s)$/);
  }
  await close(opened);
});

test("a schedule fires: its count rises and its lateness is shown", async () => {
  const opened = await open(browser);
  const { page } = opened;
  await page.waitForSelector(".card .histogram:not([hidden])", { timeout: 20_000 });
  const fired = () =>
    page.$$eval('.counts [data-result="fired"] b', (nodes) => {
      return nodes.reduce((sum, node) => sum + Number(node.textContent.replace(/\D/g, "")), 0);
    });
  const first = await fired();
  await page.waitForTimeout(2500);
  assert.ok((await fired()) > first, `${first} fires, and no more`);
  const percentile = await page.textContent(".card:has(.histogram:not([hidden])) .p50");
  assert.match(percentile, /\d.*s$/);
  assert.match(
    await page.getAttribute(".card .histogram:not([hidden])", "aria-label"),
    /fires: median/,
  );
  assert.ok((await page.$$(".track .instant, .track .flow")).length > 0);
  await close(opened);
});

test("a schedule's history opens, says what became of its instants, and goes on", async () => {
  const opened = await open(browser);
  const { page } = opened;
  const card = page.locator(".card[data-name=tick]");
  assert.equal(await card.locator(".history li").count(), 0);
  await card.locator(".history summary").focus();
  await page.keyboard.press("Enter");
  await card.locator(".history li").first().waitFor();
  const first = await card.locator(".history li .when").first().textContent();
  const word = await card.locator(".history li .word").first().textContent();
  assert.match(first, /\d\d:\d\d:\d\d/);
  assert.match(word, /fired|skipped|missed|failed|unknown/);
  await page.waitForFunction((before) => {
    const when = document.querySelector(".card[data-name=tick] .history li .when");
    return when.textContent !== before;
  }, first);
  await close(opened);
});

const FILES = process.env.TIMEBALL_SCHEDULES;
const CLOSED = `apiVersion: timeball.dev/v1alpha1
kind: PreciseCronJob
metadata: { name: closed }
spec:
  schedule: "@hourly"
  exclude: [{ calendar: weekends }]
  target: { exec: { command: ["true"] } }
---
apiVersion: timeball.dev/v1alpha1
kind: Calendar
metadata: { name: weekends }
spec: { days: [{ cron: "* * SAT,SUN" }] }
`;

test(
  "a file that changes is told at once, and why a schedule does not fire on some days",
  { skip: FILES ? false : "TIMEBALL_SCHEDULES is not set: the directory of schedule files" },
  async () => {
    const opened = await open(browser);
    const { page } = opened;
    const file = `${FILES}/closed.yaml`;
    const told = (text) =>
      page.waitForFunction(
        (part) => document.querySelector("#schedules-reload").textContent.includes(part),
        text,
        { timeout: 15_000 },
      );
    try {
      writeFileSync(file, CLOSED);
      await told("added closed");
      const days = page.locator(".card[data-name=closed] .days");
      await days.waitFor();
      assert.match(
        await days.textContent(),
        /^not on days of weekends · next left out .*\d\d:00:00.* UTC, a day of weekends$/,
      );
      writeFileSync(file, CLOSED.replace("@hourly", "@sometimes"));
      await told("nothing of it is taken up");
      await page.locator("#schedule-problems li p", { hasText: "@sometimes" }).waitFor();
      writeFileSync(file, CLOSED.replace("@hourly", "@daily"));
      await told("changed closed (spec.schedule)");
    } finally {
      rmSync(file);
    }
    await told("removed closed");
    await close(opened);
  },
);

test("the language can be chosen and is remembered", async () => {
  const opened = await open(browser);
  const { page } = opened;
  for (const [tag, title] of [
    ["ja", "時刻源"],
    ["zh", "时间源"],
    ["en", "Time sources"],
  ]) {
    await page.selectOption("#language", tag);
    assert.equal(await page.textContent("#sources-title"), title);
    assert.equal(await page.getAttribute("html", "lang"), tag);
    await page.reload();
    assert.equal(await page.textContent("#sources-title"), title);
  }
  await close(opened);
});

test("the browser's own language is taken first", async () => {
  const opened = await open(browser, { locale: "zh-CN" });
  assert.equal(await opened.page.getAttribute("html", "lang"), "zh");
  await close(opened);
});

test("the colour scheme follows the system, and the choice on the page goes before it", async () => {
  const opened = await open(browser, { colorScheme: "dark" });
  const { page } = opened;
  const paper = () =>
    page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await paper();
  await page.click("#theme");
  assert.equal(await page.textContent("#theme-word"), "Light");
  const light = await paper();
  assert.notEqual(light, dark);
  await page.reload();
  assert.equal(await paper(), light);
  await close(opened);
});

test("a lost connection is said at once, figures are marked as old, and it comes back by itself", async () => {
  const relay = await startRelay();
  const opened = await open(browser, {}, relay.url);
  const { page, misdeeds } = opened;
  await relay.stop();
  await page.waitForSelector("#lost:not([hidden])", { timeout: 15_000 });
  assert.match(await page.textContent("#lost"), /^Connection lost: .* \d\d:\d\d:\d\d UTC/);
  assert.equal(await page.textContent("#utc"), "––:––:––");
  assert.equal(await page.getAttribute("html", "data-stale"), "true");
  await relay.start();
  await page.waitForSelector("#lost", { state: "hidden", timeout: 20_000 });
  assert.equal(await page.getAttribute("html", "data-stale"), "false");
  await changed(page, "#utc");
  // The browser itself reports connections that break; nothing else may be wrong.
  misdeeds.splice(0, misdeeds.length, ...misdeeds.filter((text) => !text.includes("net::ERR_")));
  await close(opened);
});

/** A relay before the server, on loopback, that can be cut. */
async function startRelay() {
  const target = new URL(url);
  const open = new Set();
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname.replace(/[[\]]/g, ""));
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        open.delete(socket);
        (socket === client ? upstream : client).destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  });
  const listen = (port) => new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  await listen(0);
  const { port } = server.address();
  after(() => stop());
  const stop = () =>
    new Promise((resolve) => {
      server.close(resolve);
      open.forEach((socket) => socket.destroy());
    });
  return { url: `http://127.0.0.1:${port}/`, stop, start: () => listen(port) };
}
