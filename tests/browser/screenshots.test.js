// The README's pictures, taken only where TIMEBALL_SCREENSHOTS says where to put them.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { close, launch, open } from "./support.js";

const directory = process.env.TIMEBALL_SCREENSHOTS;
// A chart of a few seconds tells little.
const POINTS_MIN = 75;
const PICTURES = [
  { file: "up-light.png", colorScheme: "light", width: 1280, height: 900 },
  { file: "up-dark.png", colorScheme: "dark", width: 1280, height: 900 },
  { file: "up-400.png", colorScheme: "light", width: 400, height: 900 },
];

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

for (const { file, colorScheme, width, height } of PICTURES) {
  test(`a picture of the page, ${file}`, { skip: !directory, timeout: 180_000 }, async () => {
    mkdirSync(directory, { recursive: true });
    const opened = await open(browser, { colorScheme, viewport: { width, height } });
    const { page } = opened;
    await page.waitForFunction(
      (points) => Number(document.querySelector("#scrub").max) >= points,
      POINTS_MIN,
      { timeout: 120_000 },
    );
    await page.screenshot({
      path: join(directory, file),
      fullPage: true,
      clip: await top(page, width),
    });
    await close(opened);
  });
}

/** The page from its head to the end of the schedules, at most as high as a README can bear. */
async function top(page, width) {
  const panel = page.locator("section", { has: page.locator("#schedule-cards") });
  const { y, height } = await panel.boundingBox();
  return { x: 0, y: 0, width, height: Math.min(Math.ceil(y + height + 18), 1900) };
}
