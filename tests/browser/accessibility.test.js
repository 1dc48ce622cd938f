// The page for everybody: contrast, names, keyboard, narrow screens, no unwanted motion.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { close, launch, open } from "./support.js";

const AXE = readFileSync(new URL(import.meta.resolve("axe-core")), "utf8");

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

for (const colorScheme of ["light", "dark"]) {
  for (const width of [400, 800, 1280]) {
    test(`axe finds nothing, and nothing overflows, ${colorScheme} at ${width} px`, async () => {
      const opened = await open(browser, { colorScheme, viewport: { width, height: 900 } });
      assert.deepEqual(await axe(opened.page), []);
      const widest = await opened.page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(widest <= width, `the page is ${widest} px wide`);
      await close(opened);
    });
  }
}

test("axe finds nothing in the other languages", async () => {
  for (const locale of ["zh-CN", "ja-JP"]) {
    const opened = await open(browser, { locale });
    assert.deepEqual(await axe(opened.page), []);
    await close(opened);
  }
});

test("everything that can be used is reached by the keyboard, and seen to be", async () => {
  const opened = await open(browser);
  const { page } = opened;
  const reached = [];
  for (let i = 0; i < 40; i += 1) {
    await page.keyboard.press("Tab");
    const focus = await page.evaluate(() => {
      const node = document.activeElement;
      const style = getComputedStyle(node);
      const box = node.getBoundingClientRect();
      return {
        name:
          node.id ||
          node.className ||
          node.getAttribute("href") ||
          node.getAttribute("aria-label") ||
          node.localName,
        outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        visible: box.width > 8 && box.height > 8,
      };
    });
    if (focus.name === "body" || reached.includes(focus.name)) {
      break;
    }
    assert.ok(focus.outlined && focus.visible, `the focus on ${focus.name} is not seen`);
    reached.push(focus.name);
  }
  const expected = [
    "skip",
    "language",
    "theme",
    "range-bound",
    "range-offset",
    "scrub",
    "Pause: minute",
    "Run now: minute",
    "History: minute",
    "Pause: tick",
    "Run now: tick",
    "History: tick",
    "v1/status",
    "v1/schedules",
    "metrics",
  ];
  assert.deepEqual(reached, expected);
  await close(opened);
});

test("the keyboard moves through the chart and works its switch", async () => {
  const opened = await open(browser);
  const { page } = opened;
  await page.waitForFunction(() => Number(document.querySelector("#scrub").max) >= 3, null, {
    timeout: 15_000,
  });
  await page.focus("#scrub");
  await page.keyboard.press("Home");
  const first = await page.textContent("#readout");
  assert.equal(await page.getAttribute("#scrub", "aria-valuetext"), first);
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await page.textContent("#readout"), first);
  await page.focus("#range-offset");
  await page.keyboard.press("Enter");
  assert.equal(await page.getAttribute("#range-offset", "aria-pressed"), "true");
  await close(opened);
});

test("what is read out loud does not change each second", async () => {
  const opened = await open(browser);
  const { page } = opened;
  await page.evaluate(() => {
    window.spoken = 0;
    const live = document.querySelectorAll(
      '[role="status"], [role="alert"], [role="log"], [aria-live]:not([aria-live="off"])',
    );
    const observer = new MutationObserver((changes) => (window.spoken += changes.length));
    live.forEach((node) =>
      observer.observe(node, { subtree: true, childList: true, characterData: true }),
    );
  });
  await page.waitForTimeout(4000);
  // The clock's state itself may change once or twice while it starts.
  assert.ok((await page.evaluate(() => window.spoken)) <= 2);
  await close(opened);
});

test("with reduced motion nothing moves by itself", async () => {
  const opened = await open(browser, { reducedMotion: "reduce" });
  const moving = await opened.page.evaluate(
    () =>
      [...document.querySelectorAll("*")].filter((node) => {
        const { transitionDuration, animationName } = getComputedStyle(node);
        return (
          animationName !== "none" ||
          transitionDuration.split(", ").some((time) => parseFloat(time) > 0)
        );
      }).length,
  );
  assert.equal(moving, 0);
  await close(opened);
});

async function axe(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }),
  );
  return violations.map(
    ({ id, nodes }) =>
      `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`,
  );
}
