// The page's own modules, run where they live: in the browser, under the page's policy.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, launch, open } from "./support.js";

let browser;
let opened;
before(async () => {
  browser = await launch();
  opened = await open(browser);
});
after(async () => {
  await close(opened);
  await browser.close();
});

/** What `name` of a module gives for each list of arguments, no-break spaces made plain. */
function results(path, name, calls) {
  return opened.page.evaluate(
    async ([module, fn, lists]) => {
      const exported = await import(module);
      const plain = (value) =>
        typeof value === "string" ? value.replaceAll("\u00a0", " ") : value;
      return lists.map((list) => plain(exported[fn](...list)));
    },
    [path, name, calls],
  );
}

test("a span has three figures, its unit and, where asked, its sign", async () => {
  const cases = [
    [[0], "0 ns"],
    [[7], "7 ns"],
    [[999], "999 ns"],
    [[1000], "1.00 µs"],
    [[12_300], "12.3 µs"],
    [[-12_300], "−12.3 µs"],
    [[12_300, { signed: true }], "+12.3 µs"],
    [[0, { signed: true }], "0 ns"],
    [[999_600], "1.00 ms"],
    [[1_800_000], "1.80 ms"],
    [[77_000_000], "77.0 ms"],
    [[-1_500_000_000], "−1.50 s"],
    [[119_000_000_000], "119 s"],
    [[125_000_000_000], "2 min 5 s"],
    [[7_260_000_000_000], "2 h 1 min"],
  ];
  assert.deepEqual(
    await results(
      "/js/format.js",
      "span",
      cases.map(([call]) => call),
    ),
    cases.map(([, text]) => text),
  );
});

test("a bound is rounded up, never down, and not without need", async () => {
  const up = { up: true };
  const cases = [
    [[1_801_000, up], "1.81 ms"],
    [[1_800_000, up], "1.80 ms"],
    [[1_800_001, up], "1.81 ms"],
    [[100_400, up], "101 µs"],
    [[999_001, up], "1.00 ms"],
    [[7_261_000_000_000, up], "2 h 2 min"],
  ];
  assert.deepEqual(
    await results(
      "/js/format.js",
      "span",
      cases.map(([call]) => call),
    ),
    cases.map(([, text]) => text),
  );
});

test("both ends of what is certain are told where one is nearer, and are rounded outwards", async () => {
  const clock = (earliest, latest) => ({
    offset_ns: -7_000,
    bound_ns: 50_000,
    earliest_offset_ns: earliest,
    latest_offset_ns: latest,
  });
  const cases = [
    [[clock(-57_000, 43_000)], false],
    [[clock(-56_000, 43_000)], false],
    [[clock(-17_000, 43_000)], true],
    [[clock(null, null)], false],
    [[{ offset_ns: -7_000, bound_ns: 50_000 }], false],
  ];
  assert.deepEqual(
    await results(
      "/js/certain.js",
      "isUneven",
      cases.map(([call]) => call),
    ),
    cases.map(([, uneven]) => uneven),
  );
  const ends = [[-12_340], [12_340], [100_600], [-100_600], [7_261_000_000_000], [0]];
  assert.deepEqual(await results("/js/certain.js", "atLeast", ends), [
    "−12.4 µs",
    "+12.3 µs",
    "+100 µs",
    "−101 µs",
    "+2 h 1 min",
    "0 ns",
  ]);
  assert.deepEqual(await results("/js/certain.js", "atMost", ends), [
    "−12.3 µs",
    "+12.4 µs",
    "+101 µs",
    "−100 µs",
    "+2 h 2 min",
    "0 ns",
  ]);
});

test("rates, times of day and days are written plainly", async () => {
  assert.deepEqual(await results("/js/format.js", "rate", [[-12_401.8], [512.34], [0]]), [
    "−12.402 ppm",
    "+512.3 ppb",
    "0.0 ppb",
  ]);
  const at = 1_795_264_680_250_000_000;
  assert.deepEqual(
    await results("/js/format.js", "timeOfDay", [
      [at],
      [at - 250_000_000],
      [at, "Asia/Tokyo"],
      [at, "No/Zone"],
    ]),
    ["12:38:00.250", "12:38:00", "21:38:00.250", "12:38:00.250"],
  );
  assert.deepEqual(
    await results("/js/format.js", "day", [[at], [at + 12 * 3.6e12, "Asia/Tokyo"]]),
    ["2026-11-21", "2026-11-22"],
  );
  assert.deepEqual(
    await results("/js/format.js", "knowsZone", [["Europe/Berlin"], ["Etc/UTC"], ["No/Zone"]]),
    [true, true, false],
  );
});

test("axes have round steps", async () => {
  assert.deepEqual(
    await results("/js/scale.js", "roundUp", [[0.3], [1], [1.1], [49], [51]]),
    [0.5, 1, 2, 50, 100],
  );
  assert.deepEqual(await results("/js/scale.js", "ticks", [[-10, 10, 4]]), [[-10, -5, 0, 5, 10]]);
});

test("a constant period is recognised, and only a constant one", async () => {
  const from = 1_795_264_680_000_000_000;
  const every = (steps) => steps.map((step) => from + step * 1e8);
  const lists = [every([1, 2, 3, 4]), every([1, 2, 4]), every([1, 2])].map((next_ns) => [
    { next_ns },
  ]);
  assert.deepEqual(await results("/js/instants.js", "periodOf", lists), [1e8, null, null]);
});

test("all languages have the same texts with the same places", async () => {
  const tables = await opened.page.evaluate(async () => {
    const modules = await Promise.all(
      ["en", "zh", "ja"].map((tag) => import(`/js/strings/${tag}.js`)),
    );
    return modules.map((module) => Object.values(module)[0]);
  });
  const shape = (table) =>
    Object.fromEntries(
      Object.entries(table)
        .sort()
        .map(([key, text]) => {
          return [key, [...text.matchAll(/\{\w+\}/g)].map(String).sort()];
        }),
    );
  const [en, ...others] = tables.map(shape);
  others.forEach((other) => assert.deepEqual(other, en));
});

test("every text that the page asks for exists", async () => {
  const missing = await opened.page.evaluate(async () => {
    const { en } = await import("/js/strings/en.js");
    const asked = [...document.querySelectorAll("[data-t], [data-t-label]")];
    return asked
      .flatMap(({ dataset }) => [dataset.t, dataset.tLabel])
      .filter((key) => key && !(key in en));
  });
  assert.deepEqual(missing, []);
});
