// The dashboard in a real browser against a running modash:
//   node e2e/dashboard.mjs <gateway URL> <proxy URL> [folder for screenshots]
// CHROMIUM names the browser (default /usr/bin/chromium). Waits for conditions,
// never for time; exits with 1 and the reason when something does not hold.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { accessibilityFaults } from "./accessibility.mjs";
import { axeFaults } from "./axe.mjs";
import { checkEveryone } from "./everyone.mjs";
import { checkNames } from "./names.mjs";
import { openRelay } from "./relay.mjs";
import { checkSessions } from "./sessions.mjs";
import { checkWork } from "./work.mjs";

const [gateway, proxy, folder] = process.argv.slice(2);
if (!gateway || !proxy) {
  console.error("usage: node e2e/dashboard.mjs <gateway URL> <proxy URL> [folder for screenshots]");
  process.exit(64);
}
/** E2E_TRANSPORT is the one that the gateway lets the page use. */
const TRANSPORT = process.env.E2E_TRANSPORT ?? "rpc";
const QUERY = TRANSPORT === "rpc" ? "/rpc" : "/modash.v1.AnalyticsService/UsageSummary";
const STREAM = TRANSPORT === "rpc" ? "/events" : "/modash.v1.AnalyticsService/Subscribe";
const PAGES = ["Overview", "Throughput", "Models", "Breakdown", "Sessions", "Requests"];
const PATIENCE_MS = 20_000;

// The browser goes through a relay that can be cut, so that an outage is a real one.
const relay = await openRelay(new URL(gateway));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const faults = [];
/** During an outage of our own making, the browser may complain. */
let outage = false;

async function open(path, options, prepare) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, ...options });
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => faults.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    // A page that is prepared lacks answers.
    if (message.type() === "error" && !outage && !prepare) faults.push(`console: ${message.text()}`);
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  await prepare?.(page);
  await page.goto(`${relay.url}${path}`);
  await page.getByText("Connected", { exact: true }).waitFor();
  return page;
}

const requestsTile = (page) =>
  page
    .getByRole("region", { name: "Summary" })
    .locator("div", { has: page.getByRole("heading", { name: "Requests", exact: true }) })
    .locator("p span[title]")
    .first();
/** What the page counts, once it knows: until then a tile shows "–", which is not none. */
const requestsCount = async (page) => {
  const known = requestsTile(page).filter({ hasText: /\d/ });
  return Number((await known.getAttribute("title")).replace(/\D/g, ""));
};

async function sendRequest(stream, headers = {}) {
  const response = await fetch(new URL("/v1/chat/completions", proxy), {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({
      model: process.env.E2E_MODEL ?? "e2e-model",
      messages: [{ role: "user", content: "Hello" }],
      ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
    }),
  });
  await response.text();
  assert.ok(response.ok, `the proxy answered ${response.status}`);
}

/** E2E_ONLY names the steps that run, by a part of their names; all of them without it. */
async function step(name, check) {
  if (process.env.E2E_ONLY && !name.includes(process.env.E2E_ONLY)) return;
  try {
    await check();
    assert.deepEqual(faults, [], `after: ${name}`);
    console.log(`ok  ${name}`);
  } catch (error) {
    // E2E_GO_ON shows everything that does not hold, and not only the first.
    if (!process.env.E2E_GO_ON) throw error;
    console.error(`--  ${name}\n${error.message}`);
    faults.length = 0;
    process.exitCode = 1;
  }
}

/** What only the fake gateway can be told to do; false for a real one. */
const fake = async (mode) => (await fetch(new URL(`/fake/${mode}`, gateway), { method: "POST" })).ok;

try {
  const page = await open("/");
  if ((await requestsCount(page)) === 0) {
    await step("a fresh installation says where the proxy is, and shows a line for each client", async () => {
      const panel = page.getByRole("region", { name: "Waiting for the first request" });
      await panel.waitFor();
      await panel.getByText(/^curl http/).waitFor();
      const { port } = new URL(proxy);
      await panel.getByRole("button", { name: "Claude Code" }).click();
      const line = panel.getByText(/^ANTHROPIC_BASE_URL=/);
      assert.match(await line.textContent(), gateway === proxy ? / claude$/ : new RegExp(`:${port} claude$`));
      assert.deepEqual(await page.evaluate(accessibilityFaults), []);
      assert.deepEqual(await axeFaults(page), []);
      if (folder) await page.screenshot({ path: join(folder, "first-run.png") });
    });
  }

  await step("a request through the proxy moves the number without a reload", async () => {
    await requestsTile(page).filter({ hasText: /\d/ }).waitFor();
    const before = await requestsCount(page);
    await page.evaluate(() => {
      window.stillTheSamePage = true;
    });
    await sendRequest(false);
    await sendRequest(true);
    const deadline = Date.now() + PATIENCE_MS;
    while ((await requestsCount(page)) < before + 2) {
      assert.ok(
        Date.now() < deadline,
        `still ${await requestsCount(page)} requests after ${before} and two more`,
      );
      await requestsTile(page).evaluate(
        (tile) =>
          new Promise((done) => {
            const observer = new MutationObserver(() => done());
            observer.observe(tile, { attributes: true, childList: true, characterData: true, subtree: true });
            setTimeout(done, 1_000);
          }),
      );
    }
    assert.equal(await page.evaluate(() => window.stillTheSamePage), true);
    await page.getByRole("region", { name: "Recent requests" }).locator("tbody tr").first().waitFor();
  });

  await step("a drag over the chart zooms, the link is deep, and Back undoes it", async () => {
    const chart = page.getByRole("group", { name: /^Tokens over time/ });
    const box = await chart.boundingBox();
    await page.mouse.move(box.x + box.width * 0.4, box.y + 80);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.95, box.y + 80, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL(/from=.*to=/);
    const zoomed = page.url();
    const label = await page.getByRole("button", { name: "Time range" }).textContent();
    await page.reload();
    await page.getByText("Connected", { exact: true }).waitFor();
    assert.equal(page.url(), zoomed);
    assert.equal(await page.getByRole("button", { name: "Time range" }).textContent(), label);
    await page.goBack();
    await page.getByRole("button", { name: "Time range" }).filter({ hasText: "Last 24 hours" }).waitFor();
  });

  for (const name of PAGES) {
    await step(`${name}: landmarks, headings and names are in order`, async () => {
      await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
      await page.getByRole("heading", { level: 1, name }).waitFor({ state: "attached" });
      await page.waitForFunction(() => !document.querySelector('[role="status"][aria-label^="Loading"]'));
      assert.deepEqual(await page.evaluate(accessibilityFaults), []);
    });
  }

  await step("a request opens in a drawer with an address of its own", async () => {
    await page.getByRole("region", { name: "Recent requests" }).locator("tbody button").first().click();
    await page.getByRole("dialog", { name: "Request" }).getByText("Tokens", { exact: true }).waitFor();
    await page.waitForURL(/\/requests\/[0-9a-f-]{36}/);
    await page.keyboard.press("Escape");
    await page.waitForURL(/\/requests$/);
  });

  // E2E_TRACE_URL is the template that the gateway has.
  if (process.env.E2E_TRACE_URL) {
    await step("a request is found by its trace, and leads to it", async () => {
      const trace = randomBytes(16).toString("hex");
      const span = randomBytes(8).toString("hex");
      await sendRequest(true, { traceparent: `00-${trace}-${span}-00` });
      const shown = await open(`/requests?trace=${trace}`);
      const rows = shown.getByRole("region", { name: "Recent requests" }).locator("tbody tr");
      await rows.locator("button").first().click();
      assert.equal(await rows.count(), 1);
      const drawer = shown.getByRole("dialog", { name: "Request" });
      const link = drawer.getByRole("link", { name: "Open trace" });
      const expected = process.env.E2E_TRACE_URL.replace("{trace_id}", trace).replace("{span_id}", span);
      assert.equal(await link.getAttribute("href"), expected);
      await drawer.getByRole("button", { name: `Copy ${trace}` }).waitFor();
      if (folder) await shown.screenshot({ path: join(folder, "trace.png") });
      await shown.close();
    });
  }

  await step("the account of the proxy adds up, and the page says so", async () => {
    const delivery = page.getByRole("region", { name: "Delivery of each proxy" });
    await delivery.getByText("Complete", { exact: true }).waitFor();
  });

  // The fake gateway knows one transport.
  if (!(await fake("ok"))) {
    await step("the page asks by its transport, and its menu changes to another", async () => {
      const shown = await browser.newPage();
      shown.setDefaultTimeout(PATIENCE_MS);
      const asked = new Set();
      shown.on("request", (request) => asked.add(new URL(request.url()).pathname));
      await shown.goto(relay.url);
      await shown.getByText("Connected", { exact: true }).waitFor();
      await requestsTile(shown).filter({ hasText: /\d/ }).waitFor();
      const before = await requestsCount(shown);
      assert.ok(asked.has(QUERY), [...asked].join(" "));
      // What the page before this one asks until it is left does not count.
      shown.on("framenavigated", () => asked.clear());
      await shown.getByRole("button", { name: "How this page asks" }).click();
      const other = TRANSPORT === "rpc" ? "gRPC-Web Through" : "JSON";
      await shown.getByRole("link", { name: new RegExp(`^${other}`) }).click();
      await shown.waitForURL(TRANSPORT === "rpc" ? /via=grpc-web/ : /via=rpc/);
      await shown.getByText("Connected", { exact: true }).waitFor();
      await requestsTile(shown).filter({ hasText: /\d/ }).waitFor();
      assert.equal(await requestsCount(shown), before);
      assert.ok(!asked.has(QUERY), [...asked].join(" "));
      await shown.close();
    });
  }

  await step("two tabs share one event stream, and one takes it over from the other", async () => {
    const context = await browser.newContext();
    let streams = 0;
    context.on("request", (request) => {
      if (new URL(request.url()).pathname === STREAM) streams += 1;
    });
    const tabs = [await context.newPage(), await context.newPage()];
    for (const tab of tabs) {
      await tab.goto(relay.url);
      await tab.getByText("Connected", { exact: true }).waitFor({ timeout: PATIENCE_MS });
    }
    assert.equal(streams, 1);
    const taken = context.waitForEvent("request", (request) => new URL(request.url()).pathname === STREAM);
    await tabs[0].close();
    await taken;
    await context.close();
  });

  await step("an outage is told, and the way back is found alone", async () => {
    outage = true;
    relay.cut();
    await page.getByText(/^Reconnecting…/).waitFor();
    await relay.restore();
    await page.getByText("Connected", { exact: true }).waitFor({ timeout: 60_000 });
    outage = false;
  });
  await page.close();

  for (const colorScheme of ["light", "dark"]) {
    for (const [size, viewport] of [
      ["wide", { width: 1440, height: 900 }],
      ["medium", { width: 1150, height: 800 }],
      ["narrow", { width: 390, height: 844 }],
      ["smallest", { width: 320, height: 640 }],
    ]) {
      await step(`${colorScheme} and ${size}: nothing sticks out`, async () => {
        const shown = await open("/", { colorScheme, viewport });
        await shown.waitForFunction(() => !document.querySelector('[role="status"][aria-label^="Loading"]'));
        const { scroll, client, wide } = await shown.evaluate(() => {
          const { scrollWidth: scroll, clientWidth: client } = document.documentElement;
          const all = [...document.querySelectorAll("body *")];
          const wide = all.filter((element) => element.getBoundingClientRect().right > client);
          return { scroll, client, wide: wide.slice(0, 8).map((element) => element.outerHTML.slice(0, 160)) };
        });
        assert.ok(scroll <= client, `${scroll} px of content in ${client} px: ${wide.join("\n")}`);
        if (folder) {
          mkdirSync(folder, { recursive: true });
          await shown.screenshot({ path: join(folder, `overview-${colorScheme}-${size}.png`) });
        }
        await shown.close();
      });
    }
  }
  for (const width of [721, 768, 1000, 1180, 1280, 1440]) {
    await step(`${width} px: the table of requests has a column for the model`, async () => {
      const shown = await open("/requests", { viewport: { width, height: 800 } });
      const list = shown.getByRole("region", { name: "List of requests" });
      const model = list.getByRole("columnheader", { name: "Model", exact: true });
      await model.waitFor();
      const box = await model.boundingBox();
      assert.ok(box.width >= 120, `it is ${box.width} px wide`);
      assert.ok(box.x + box.width <= width, `it ends at ${box.x + box.width} px`);
      await shown.close();
    });
  }

  for (const width of [390, 320]) {
    await step(`${width} px: the pages are one row, and the present one is in view`, async () => {
      for (const path of ["/", "/breakdown", "/requests"]) {
        const shown = await open(path, { viewport: { width, height: 700 }, hasTouch: true });
        const pages = shown.getByRole("navigation", { name: "Pages", exact: true });
        const boxes = await pages
          .getByRole("link")
          .evaluateAll((links) => links.map((link) => link.getBoundingClientRect().toJSON()));
        assert.equal(new Set(boxes.map(({ y }) => y)).size, 1, "there are several rows");
        for (const { width, height } of boxes)
          assert.ok(Math.min(width, height) >= 44, `${width} × ${height}`);
        const { x, width: wide } = await pages.locator("[aria-current]").boundingBox();
        assert.ok(x >= 0 && x + wide <= width, `the link to ${path} is from ${x} to ${x + wide} px`);
        if (folder) await shown.screenshot({ path: join(folder, `pages-${width}-${path.slice(1)}.png`) });
        await shown.close();
      }
    });

    await step(`${width} px: a tap closes the drawer of a request`, async () => {
      const shown = await open("/requests", { viewport: { width, height: 700 }, hasTouch: true });
      await shown.getByRole("region", { name: "Recent requests" }).locator("tbody button").first().tap();
      const drawer = shown.getByRole("dialog", { name: "Request" });
      await drawer.getByText("Tokens", { exact: true }).waitFor();
      const close = drawer.getByRole("button", { name: "Close" });
      const box = await close.boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= width, `Close spans ${box.x} to ${box.x + box.width} px`);
      await close.tap();
      await drawer.waitFor({ state: "detached" });
      await shown.close();
    });
  }

  for (const locale of ["ar-EG", "fa-IR", "bn-BD", "mr-IN", "de-DE"]) {
    await step(`${locale}: every page has its numbers`, async () => {
      const shown = await open("/?tz=Asia/Kolkata", { locale });
      await requestsTile(shown)
        .filter({ hasText: /\p{Nd}/u })
        .waitFor();
      for (const name of ["Throughput", "Models", "Requests"]) {
        await shown.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
        await shown.getByRole("heading", { level: 1, name }).waitFor({ state: "attached" });
        await shown.waitForFunction(() => !document.querySelector('[role="status"][aria-label^="Loading"]'));
      }
      await shown.close();
    });
  }
  await step("t opens the time range with its field in focus, and Escape closes it", async () => {
    const shown = await open("/");
    await shown.keyboard.press("t");
    const field = shown.getByLabel("Time range in words");
    await field.waitFor();
    await shown.waitForFunction(() => document.activeElement?.getAttribute("data-autofocus") !== null);
    await shown.keyboard.type("last week");
    assert.equal(await field.inputValue(), "last week");
    await shown.keyboard.press("Escape");
    await field.waitFor({ state: "hidden" });
    await shown.keyboard.press("z");
    assert.equal(new URL(shown.url()).pathname, "/");
    await shown.close();
  });

  await step("a click on a bar opens the requests behind it, and Back returns", async () => {
    const shown = await open("/");
    const chart = shown.getByRole("group", { name: /^Tokens over time/ });
    const box = await chart.boundingBox();
    await shown.mouse.click(box.x + box.width * 0.9, box.y + 150);
    await shown.waitForURL(/\/requests\?from=.*&to=/);
    await shown.getByRole("heading", { level: 1, name: "Requests" }).waitFor({ state: "attached" });
    await shown.goBack();
    await shown.getByRole("heading", { level: 1, name: "Overview" }).waitFor({ state: "attached" });
    await shown.close();
  });

  await step("an hour of the week and a point of the prompts lead to their requests", async () => {
    const shown = await open("/throughput");
    const map = shown.getByRole("region", { name: /^Hours of the week/ });
    await map.getByRole("button", { name: "Requests", exact: true }).click();
    await map
      .getByRole("button", { name: /: [1-9].* an hour/ })
      .last()
      .click();
    await shown.waitForURL(/\/requests\?.*from=.*to=/);
    await shown.getByRole("region", { name: "Recent requests" }).locator("tbody tr").first().waitFor();
    await shown.goBack();
    const prompts = shown.getByRole("region", { name: /^Prompt length and first token/ });
    await prompts.getByRole("button", { name: "Table" }).click();
    await prompts.locator("tbody button").first().click();
    await shown.waitForURL(/\/requests\/[0-9a-f-]{36}/);
    await shown.close();
  });

  await step("requests in flight stand above the list of those that ended", async () => {
    const shown = await open("/requests");
    const running = await shown.getByRole("region", { name: "In flight now" }).boundingBox();
    const ended = await shown.getByRole("region", { name: "Recent requests" }).boundingBox();
    assert.ok(running.y + running.height <= ended.y, `${running.y} + ${running.height}, ${ended.y}`);
    await sendRequest(true);
    const after = await shown.getByRole("region", { name: "Recent requests" }).boundingBox();
    assert.equal(after.y, ended.y, "the list does not move");
    await shown.close();
  });

  await step("columns are chosen, and the address keeps them", async () => {
    const shown = await open("/requests");
    await shown.getByRole("button", { name: "Columns" }).click();
    await shown.getByRole("checkbox", { name: "Endpoint" }).uncheck();
    await shown.getByRole("button", { name: "Model to the left" }).click();
    await shown.waitForURL(/cols=startedAt(,|%2C)model(,|%2C)outcome/);
    await shown.keyboard.press("Escape");
    assert.equal(await shown.getByRole("columnheader", { name: "Endpoint" }).count(), 0);
    await shown.close();
  });

  await step("a model has a page of its own, and two stand side by side", async () => {
    const shown = await open("/models");
    const rows = shown.getByRole("region", { name: "Models" }).locator("tbody tr");
    const boxes = rows.getByRole("checkbox");
    await boxes.first().waitFor();
    const several = (await boxes.count()) > 1;
    if (several) {
      await boxes.nth(0).check();
      await boxes.nth(1).check();
      await shown.waitForURL(/pick=/);
      const panel = shown.getByRole("region", { name: /^Side by side/ });
      await panel
        .getByRole("group", { name: /^Tokens of/ })
        .nth(1)
        .waitFor();
      const axes = await panel
        .getByRole("region", { name: "Requests side by side" })
        .locator("figure svg")
        .evaluateAll((plots) =>
          plots.map((plot) =>
            [...plot.querySelectorAll("text[text-anchor=end]")].map((mark) => mark.textContent).join(),
          ),
        );
      assert.equal(new Set(axes.filter(Boolean)).size, 1, `axes differ: ${axes.join(" | ")}`);
      if (folder) await shown.screenshot({ path: join(folder, "compare.png"), fullPage: true });
    }
    const link = rows.locator("th a").first();
    const name = await link.textContent();
    await link.click();
    await shown.getByRole("heading", { level: 1, name, exact: true }).waitFor();
    await shown.reload();
    await shown.getByRole("heading", { level: 1, name, exact: true }).waitFor();
    await shown
      .getByRole("region", { name: "How requests ended" })
      .getByRole("link", { name: "ok", exact: true })
      .click();
    await shown.waitForURL(/\/requests\?.*status=ok/);
    assert.equal(new URL(shown.url()).searchParams.get("model"), name);
    await shown.close();
  });

  for (const kind of ["CSV", "JSON", "SVG", "PNG"]) {
    await step(`the chart of tokens is saved as ${kind}`, async () => {
      const shown = await open("/");
      await shown.getByRole("group", { name: /^Tokens over time/ }).waitFor();
      await shown.getByRole("button", { name: "Export tokens over time" }).click();
      const saved = shown.waitForEvent("download");
      await shown.getByRole("button", { name: kind, exact: true }).click();
      const file = await saved;
      assert.match(
        file.suggestedFilename(),
        new RegExp(`^modash-tokens-over-time_20\\d\\d-.*\\.${kind.toLowerCase()}$`),
      );
      const content = readFileSync(await file.path());
      if (folder) writeFileSync(join(folder, `export.${kind.toLowerCase()}`), content);
      const text = content.toString();
      if (kind === "CSV") assert.match(text, /^start,end,wholeBucket,prompt,cached prompt,completion/);
      if (kind === "JSON") assert.ok(JSON.parse(text).length > 20);
      if (kind === "SVG") assert.match(text, /^<svg .*Tokens over time.*Last 24 hours/s);
      if (kind === "PNG") {
        assert.equal(content.readUInt32BE(0), 0x89504e47);
        assert.equal(content.readUInt32BE(16), 1920, "it is 1920 pixels wide");
      }
      await shown.close();
    });
  }

  await step("Escape closes a request to the page it was opened from", async () => {
    const shown = await open("/?from=-7d");
    await shown.getByRole("region", { name: "Recent requests" }).locator("tbody button").first().click();
    await shown.getByRole("dialog", { name: "Request" }).getByText("Tokens", { exact: true }).waitFor();
    await shown.keyboard.press("Escape");
    await shown.getByRole("heading", { level: 1, name: "Overview" }).waitFor({ state: "attached" });
    assert.equal(new URL(shown.url()).search, "?from=-7d");
    await shown.close();
  });

  /** A page whose questions are not answered. */
  const broken = async (options) => {
    const shown = await open("/", options, async (page) => {
      await page.route(/\/rpc$|AnalyticsService\/(?!Subscribe)/, (route) =>
        route.fulfill({ status: 500, body: "" }),
      );
    });
    await shown.getByRole("alert").first().waitFor();
    return shown;
  };
  const isFake = await fake("ok");
  await checkWork({
    ...{ open, step, gateway, isFake, sendRequest, requestsCount, folder },
    transport: TRANSPORT,
  });

  await checkSessions({ open, step, folder, send: sendRequest });
  await checkNames({ open, step, folder, send: sendRequest });
  // What the page looks like does not depend on how it asks.
  if (TRANSPORT === "rpc") await checkEveryone({ open, step, folder, broken });

  if (await fake("ok")) {
    await step("analytics lost is told within two seconds, with dashes for live values", async () => {
      const shown = await open("/");
      await shown.getByTitle("Requests running now").filter({ hasText: /\d/ }).waitFor();
      const lost = Date.now();
      await fake("lost");
      await shown.getByText("Live data unavailable, trying again…").waitFor();
      for (const title of ["Requests running now", /^Decoded by all streams/]) {
        await shown.getByTitle(title).filter({ hasText: "–" }).waitFor();
      }
      assert.ok(Date.now() - lost < 2_000, `after ${Date.now() - lost} ms`);
      await fake("ok");
      await shown.getByTitle("Requests running now").filter({ hasText: /\d/ }).waitFor();
      await shown.close();
    });

    await step("at 50 requests a second rows stay under the reader, and new ones wait", async () => {
      const shown = await open("/requests");
      const list = shown.getByRole("region", { name: "List of requests" });
      await list.locator("tbody tr").first().waitFor();
      await fake("busy");
      const newer = shown.getByRole("button", { name: /^\d+\+? new$/ });
      await newer.waitFor();
      const models = () =>
        list.locator("tbody tr").evaluateAll((rows) => rows.map((row) => row.children[7].textContent));
      const before = await models();
      await shown.evaluate(() => {
        window.longTasks = 0;
        new PerformanceObserver((entries) => {
          window.longTasks += entries.getEntries().length;
        }).observe({ type: "longtask" });
      });
      await shown.getByRole("button", { name: "25+ new" }).waitFor();
      assert.deepEqual(await models(), before);
      console.log(`    long tasks: ${await shown.evaluate(() => window.longTasks)}`);
      await newer.click();
      await shown.waitForFunction((first) => {
        const row = document.querySelector('[aria-label="List of requests"] tbody tr');
        return row?.children[7].textContent !== first;
      }, before[0]);
      await fake("ok");
      await shown.close();
    });
  }
  if (!process.exitCode) console.log("the dashboard holds");
} catch (error) {
  console.error([error.message, ...faults].join("\n"));
  process.exitCode = 1;
} finally {
  await browser.close();
  relay.close();
}
