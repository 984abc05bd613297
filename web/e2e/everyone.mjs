// For everyone: axe-core on every page and state, small and magnified windows, the keyboard
// alone, reduced motion, forced colours, and browsers of right-to-left languages.
import assert from "node:assert/strict";
import { join } from "node:path";
import { axeFaults } from "./axe.mjs";

/** A range in which there was nothing. */
const NOTHING = "from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z";

/** Pages and states by their names: an address, and what is done there. */
const STATES = {
  overview: ["/"],
  throughput: ["/throughput"],
  models: ["/models"],
  requests: ["/requests"],
  "nothing on overview": [`/?${NOTHING}`],
  "nothing on throughput": [`/throughput?${NOTHING}`],
  "nothing on models": [`/models?${NOTHING}`],
  "nothing on requests": [`/requests?${NOTHING}`],
  "no such page": ["/nowhere"],
  "filters in force": ["/?model=nothing-like-it&status=error&stream=yes"],
  "chart as a table": ["/", (page) => page.getByRole("button", { name: "Table" }).first().click()],
  "range open": [
    "/",
    async (page) => {
      await page.getByRole("button", { name: "Time range" }).click();
      await page.getByLabel("Time range in words").waitFor();
    },
  ],
  "filter open": [
    "/",
    async (page) => {
      await page.getByRole("button", { name: "Filter", exact: true }).click();
      await page.getByRole("checkbox", { name: "error" }).waitFor();
    },
  ],
  "views and marks open": [
    "/?not.model=nothing-like-it&not.status=error&prompt=1-",
    async (page) => {
      await page.getByRole("button", { name: "Views and marks" }).click();
      await page.getByRole("textbox", { name: "What happens now" }).waitFor();
    },
  ],
  "export open": [
    "/",
    async (page) => {
      await page.getByRole("button", { name: /^Export tokens/ }).click();
      await page.getByRole("button", { name: "PNG" }).waitFor();
    },
  ],
  "columns open": [
    "/requests",
    async (page) => {
      await page.getByRole("button", { name: "Columns" }).click();
      await page.getByRole("checkbox", { name: "Endpoint" }).waitFor();
    },
  ],
  "keys open": [
    "/",
    async (page) => {
      await page.getByRole("button", { name: "Keys" }).click();
      await page.getByRole("dialog", { name: "Keys" }).waitFor();
    },
  ],
  "ways to ask open": [
    "/",
    async (page) => {
      await page.getByRole("button", { name: "How this page asks" }).click();
      await page.getByRole("list", { name: "How this page asks" }).waitFor();
    },
  ],
  "a request open": [
    "/requests",
    async (page) => {
      await page.getByRole("region", { name: "Recent requests" }).locator("tbody button").first().click();
      await page.getByRole("dialog", { name: "Request" }).getByText("Tokens", { exact: true }).waitFor();
    },
  ],
  "a model": [
    "/models",
    async (page) => {
      await page.locator("[aria-label=Models] tbody th a").first().click();
      await page.waitForURL(/\/models\/./);
      await page.getByRole("link", { name: "All models" }).waitFor();
    },
  ],
  "models side by side": [
    "/models",
    async (page) => {
      const boxes = page.locator("[aria-label=Models] tbody input");
      await boxes.first().waitFor();
      for (let at = 0; at < Math.min(2, await boxes.count()); at += 1) await boxes.nth(at).check();
    },
  ],
};

const settled = async (page) => {
  await page.locator("h1").first().waitFor({ state: "attached" });
  await page.waitForFunction(() => !document.querySelector('[role="status"][aria-label^="Loading"]'));
};

/** Content that is wider than the window. */
const overhang = (page) =>
  page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth - clientWidth;
  });

export async function checkEveryone({ open, step, folder, broken }) {
  const at = async (name, options) => {
    const [path, act] = STATES[name];
    const page = await open(path, options);
    await settled(page);
    await act?.(page);
    await settled(page);
    return page;
  };
  for (const colorScheme of ["light", "dark"]) {
    for (const name of Object.keys(STATES)) {
      await step(`${colorScheme}, ${name}: axe finds nothing`, async () => {
        const page = await at(name, { colorScheme, reducedMotion: "reduce" });
        assert.deepEqual(await axeFaults(page), []);
        await page.close();
      });
    }
    await step(`${colorScheme}, broken: axe finds nothing`, async () => {
      const page = await broken({ colorScheme });
      assert.deepEqual(await axeFaults(page), []);
      await page.close();
    });
  }

  const views = {
    "320 px": { viewport: { width: 320, height: 640 } },
    // 200 % of a window of 1280 by 800 has half as many CSS pixels.
    "zoom of 200 %": { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 },
    "a right-to-left browser": { viewport: { width: 390, height: 844 }, locale: "he-IL" },
    "forced colours": { forcedColors: "active" },
  };
  for (const [view, options] of Object.entries(views)) {
    for (const name of [
      "overview",
      "throughput",
      "models side by side",
      "a model",
      "requests",
      "a request open",
    ]) {
      await step(`${view}, ${name}: nothing sticks out, and axe finds nothing`, async () => {
        const page = await at(name, { ...options, reducedMotion: "reduce" });
        assert.ok((await overhang(page)) <= 0, `${await overhang(page)} px too wide`);
        assert.deepEqual(await axeFaults(page), []);
        if (folder)
          await page.screenshot({ path: join(folder, `${view} ${name}.png`.replaceAll(/[ %]+/g, "-")) });
        await page.close();
      });
    }
  }

  for (const path of ["/", "/throughput", "/models", "/requests"]) {
    await step(`${path} loads, and nothing moves`, async () => {
      const page = await open(path, {}, (page) =>
        page.addInitScript(() => {
          window.shifts = [];
          new PerformanceObserver((list) => {
            for (const { value, sources } of list.getEntries()) {
              window.shifts.push([value, ...sources.map(({ node }) => node?.outerHTML?.slice(0, 100))]);
            }
          }).observe({ type: "layout-shift", buffered: true });
        }),
      );
      await settled(page);
      const drawn = () =>
        [...document.querySelectorAll("figure [role=group]")].every((chart) => chart.querySelector("svg"));
      await page.waitForFunction(drawn);
      const shifts = await page.evaluate(
        () => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(window.shifts)))),
      );
      const sum = shifts.reduce((total, [value]) => total + value, 0);
      assert.ok(sum <= 0.001, `${sum}: ${shifts.flat().join("\n")}`);
      await page.close();
    });
  }

  await step("whoever asks for less motion gets none", async () => {
    const page = await at("overview", { reducedMotion: "reduce" });
    const moving = await page.evaluate(() => document.getAnimations().length);
    assert.equal(moving, 0);
    await page.close();
  });

  await step(
    "by the keyboard alone: past the controls, into a chart, its requests, one of them, and back",
    async () => {
      const page = await at("overview");
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
      await page.keyboard.press("Enter");
      const focused = () =>
        page.evaluate(() => {
          const element = document.activeElement;
          return `${element.getAttribute("aria-label") ?? ""} ${element.textContent}`.trim();
        });
      const tabTo = async (pattern) => {
        for (let presses = 0; presses < 80; presses += 1) {
          await page.keyboard.press("Tab");
          if (pattern.test(await focused())) {
            const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
            assert.notEqual(outline, "none", "the focus is seen");
            return;
          }
        }
        assert.fail(`no ${pattern} within 80 steps`);
      };
      await tabTo(/^Tokens over time\./);
      // Back to a bucket with requests: the last one may have just begun.
      const spoken = async (before) => {
        const changed = await page.waitForFunction((before) => {
          const texts = [...document.querySelectorAll('[aria-live="polite"]')].map((e) => e.textContent);
          return texts.find((text) => text !== before && text.includes(": prompt "));
        }, before);
        return changed.jsonValue();
      };
      for (let presses = 0, said = ""; presses < 5 && !/: prompt (≥ )?[1-9]/.test(said); presses += 1) {
        await page.keyboard.press("ArrowLeft");
        said = await spoken(said);
      }
      await page.keyboard.press("Enter");
      await page.waitForURL(/\/requests\?/);
      await settled(page);
      await page.keyboard.press("j");
      await page.keyboard.press("Enter");
      const drawer = page.getByRole("dialog", { name: "Request" });
      await drawer.getByText("Tokens", { exact: true }).waitFor();
      await page.keyboard.press("Escape");
      await drawer.waitFor({ state: "detached" });
      await page.keyboard.press("g");
      await page.keyboard.press("m");
      await page.getByRole("heading", { level: 1, name: "Models" }).waitFor({ state: "attached" });
      await page.close();
    },
  );
}
