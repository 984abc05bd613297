// What the dashboard costs a browser, as a table:
//   node scripts/measure.mjs <program> [gateway URL]
// The program is a built modash, which gets 50 requests a second from here, for an LLM server that
// answers at once: with it, the way from the last byte of an answer to its number on the page is
// measured as well. The other gateway is one with data, for the times of loading; without it, those of
// the program's demo are taken. A fake gateway (scripts/fake-gateway.mjs) shows what the browser's
// part of 50 requests a second is.
// Run it where nothing else runs; it fails on what is over its budget, except with `--no-gate`.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { freePort, startModash } from "./start-modash.mjs";

const [program, given] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
if (!program) {
  console.error("usage: node scripts/measure.mjs <program> [gateway URL] [--no-gate]");
  process.exit(64);
}

/** An LLM server that answers at once, with three chunks and usage. */
async function startUpstream() {
  const chunk = (more) =>
    `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", model: "measured", ...more })}\n\n`;
  const text = (content) => chunk({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  const usage = { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 };
  const end = chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage });
  const answer = `${text("One")}${text(" two")}${text(" three")}${end}data: [DONE]\n\n`;
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(answer);
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

const upstream = await startUpstream();
const real = await startModash(program, `http://127.0.0.1:${upstream.address().port}`);
const demo = given ? undefined : await startModash(program, undefined, "--demo");
const fakePort = await freePort();
const fakeProgram = fileURLToPath(new URL("fake-gateway.mjs", import.meta.url));
const fakeProcess = spawn("node", [fakeProgram, "--port", String(fakePort)], { stdio: "ignore" });
const fake = `http://127.0.0.1:${fakePort}`;
const filled = given ?? demo.url;
const PAGES = { Overview: "/", Throughput: "/throughput", Models: "/models", Requests: "/requests" };
const now = Date.now();
const ENDED = { from: new Date(now - 86_400_000).toISOString(), to: new Date(now - 60_000).toISOString() };
/** How long updates at 50 requests a second are watched. */
const WATCHED_MS = 60_000;
const POINTS = 10_000;
/** Requests whose way to the page is timed. */
const TIMED = 60;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
});
const figures = [];
const figure = (name, value, unit, budget) => {
  figures.push({ name, value, unit, budget });
  console.log(
    `${name.padEnd(64)} ${value.toFixed(value < 10 ? 3 : 0).padStart(8)} ${unit.padEnd(3)} ${budget === undefined ? "" : `of ${budget}`}`,
  );
};

async function open(url, prepare) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(30_000);
  await page.addInitScript(() => {
    window.seen = { paint: 0, shift: 0, tasks: [] };
    const watch = (type, take) =>
      new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
    watch("largest-contentful-paint", ({ startTime }) => {
      window.seen.paint = startTime;
    });
    watch("layout-shift", ({ value, hadRecentInput }) => {
      if (!hadRecentInput) window.seen.shift += value;
    });
    watch("longtask", ({ duration }) => window.seen.tasks.push(duration));
  });
  await prepare?.(page);
  const session = await page.context().newCDPSession(page);
  // Processor time, which other work on the machine does not lengthen.
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  await page.goto(url);
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.waitForFunction(() => document.querySelector("main h1") !== null);
  await page.waitForFunction(() => !document.querySelector('[role="status"][aria-label^="Loading"]'));
  const cost = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    const of = (name) => (metrics.find((metric) => metric.name === name)?.value ?? 0) * 1e3;
    return {
      script: of("ScriptDuration"),
      layout: of("LayoutDuration") + of("RecalcStyleDuration"),
      task: of("TaskDuration"),
    };
  };
  return { page, cost };
}

const fakeMode = (mode) => fetch(new URL(`/fake/${mode}`, fake), { method: "POST" });

for (const [name, path] of Object.entries(PAGES)) {
  // Once to warm the server's caches, then the median of five.
  const paints = [];
  let shift = 0;
  for (let run = 0; run < 6; run += 1) {
    // A range that has ended: new rows that move others down are no fault of the layout.
    const url = new URL(path, filled);
    if (run > 2) for (const [key, value] of Object.entries(ENDED)) url.searchParams.set(key, value);
    const { page } = await open(url.href);
    await page.waitForTimeout(1_000);
    const seen = await page.evaluate(() => window.seen);
    if (run > 0) paints.push(seen.paint);
    if (run > 2) shift = Math.max(shift, seen.shift);
    await page.close();
  }
  figure(`${name}: largest contentful paint`, paints.sort((a, b) => a - b)[2], "ms", 800);
  figure(`${name}: layout shift of a range that has ended, the worst of three`, shift, "", 0.001);
}

/** One request by the proxy, which ends with its last byte. */
async function send() {
  const body = JSON.stringify({
    model: "measured",
    stream: true,
    messages: [{ role: "user", content: "Hello" }],
  });
  const headers = { "content-type": "application/json" };
  const answer = await fetch(new URL("/v1/chat/completions", real.proxy), { method: "POST", headers, body });
  await answer.text();
  return Date.now();
}

/** Sends so many a second until it is stopped, and says how many it were. */
function sendMany(pace) {
  let stopped = false;
  let sent = 0;
  const begun = Date.now();
  const all = (async () => {
    const running = [];
    for (; !stopped; sent += 1) {
      await new Promise((go) => setTimeout(go, begun + (sent * 1e3) / pace - Date.now()));
      running.push(send());
    }
    await Promise.all(running);
    return sent;
  })();
  return () => {
    stopped = true;
    return all;
  };
}

/** What updates cost while 50 requests a second come. */
async function watch(of, path, base) {
  const name = `${of} at 50 requests/s`;
  const { page, cost } = await open(new URL(path, base).href, (page) =>
    page.addInitScript(() => {
      window.updates = 0;
      const Native = window.EventSource;
      window.EventSource = class extends Native {
        constructor(url) {
          super(url);
          for (const name of ["request-state-updated", "usage-updated"])
            this.addEventListener(name, () => (window.updates += 1));
        }
      };
    }),
  );
  await page.waitForTimeout(5_000);
  const [before, updates] = [
    await cost(),
    await page.evaluate(() => {
      window.seen.tasks = [];
      return window.updates;
    }),
  ];
  const frames = page.evaluate(
    (ms) =>
      new Promise((done) => {
        let count = 0;
        const end = performance.now() + ms;
        const step = () => {
          count += 1;
          if (performance.now() < end) requestAnimationFrame(step);
          else done(count / (ms / 1e3));
        };
        requestAnimationFrame(step);
      }),
    WATCHED_MS,
  );
  const rate = await frames;
  const after = await cost();
  const seen = await page.evaluate(() => ({ updates: window.updates, tasks: window.seen.tasks }));
  const count = seen.updates - updates;
  figure(`${name}: script for a live update`, (after.script - before.script) / count, "ms", 5);
  figure(`${name}: style and layout for a live update`, (after.layout - before.layout) / count, "ms");
  figure(
    `${name}: all of the main thread for a second`,
    (after.task - before.task) / (WATCHED_MS / 1e3),
    "ms",
  );
  figure(`${name}: longest task over 50 ms`, Math.max(0, ...seen.tasks), "ms", 50);
  figure(`${name}: frames a second`, rate, "");
  await page.close();
}

for (const [name, path] of Object.entries({ Overview: "/", Requests: "/requests" })) {
  await fakeMode("busy");
  await watch(name, path, fake);
  await fakeMode("ok");
  const stop = sendMany(50);
  await watch(`${name}, the real one`, path, real.url);
  console.log(`${await stop()} requests sent`);
}

// From the last byte of an answer to its number on the page, by the one clock of this machine.
{
  const { page } = await open(new URL("/", real.url).href);
  await send();
  await page.waitForTimeout(3_000);
  const before = await page.evaluate(() => {
    const tile = [...document.querySelectorAll("section h2, section h3")]
      .find((heading) => heading.textContent === "Requests")
      .closest("div");
    const count = () => Number(tile.querySelector("p span[title]").title.replace(/\D/g, ""));
    window.shown = [];
    const note = () => window.shown.push({ at: Date.now(), count: count() });
    new MutationObserver(note).observe(tile, {
      ...{ attributes: true, childList: true, characterData: true, subtree: true },
    });
    return count();
  });
  const ended = [];
  for (let run = 0; run < TIMED; run += 1) {
    ended.push(await send());
    // Not in step with anything.
    await page.waitForTimeout(900 + ((run * 7_919) % 600));
  }
  await page.waitForFunction((count) => window.shown.at(-1)?.count >= count, before + TIMED);
  const shown = await page.evaluate(() => window.shown);
  const waits = ended.map((at, run) => shown.find(({ count }) => count > before + run).at - at);
  waits.sort((a, b) => a - b);
  figure("Last byte of an answer to its number on the page, median", waits[TIMED / 2], "ms");
  figure("The same, 95th percentile", waits[Math.ceil(TIMED * 0.95) - 1], "ms", 300);
  await page.close();
}

// A chart of very many points: answers are made up, since the server gives at most 1,500 buckets.
/** Milliseconds of script in 1.5 s with one update, and of drawing all with two frames. */
async function chartOf(most) {
  let points = most;
  const start = Date.now() - (points + 100) * 1e3;
  const answer = () => {
    const column = (base) =>
      Array.from({ length: points }, (_, at) =>
        Math.round(base * (1.2 + Math.sin(at / 300) + ((at * 7919) % 97) / 97)),
      );
    return {
      otherGroups: 0,
      bucketSeconds: 1,
      bucketStarts: Array.from({ length: points }, (_, at) => start + at * 1e3),
      series: [
        {
          key: "",
          other: false,
          requests: column(10),
          failedRequests: column(0.2),
          promptTokens: column(900),
          cachedPromptTokens: column(300),
          completionTokens: column(120),
          reasoningTokens: column(0),
          totalTokens: column(1020),
          costNanoUsd: column(0),
          cacheSavingNanoUsd: column(0),
          unknownCostRequests: column(0),
        },
      ],
    };
  };
  const { page, cost } = await open(new URL("/?compare=off", fake).href, (page) =>
    page.route(/\/rpc$/, async (route) => {
      const frame = route.request().postDataJSON();
      if (frame.tag !== "UsageTimeseries") return route.continue();
      const exit = { _tag: "Success", value: answer() };
      await route.fulfill({ json: [{ _tag: "Exit", requestId: frame.id, exit }] });
    }),
  );
  await page.waitForTimeout(1_000);
  const drawn = [];
  for (let run = 0; run < 5; run += 1) {
    await page.getByRole("button", { name: "Requests", exact: true }).click();
    await page.waitForTimeout(300);
    drawn.push(
      await page.evaluate(() => {
        const button = [...document.querySelectorAll("fieldset[aria-label=Value] button")].find(
          (one) => one.textContent === "Tokens",
        );
        const begun = performance.now();
        button.click();
        return new Promise((done) =>
          requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begun))),
        );
      }),
    );
  }
  const costs = [];
  for (let run = 0; run < 15; run += 1) {
    const begun = await cost();
    points += 1;
    await fetch(new URL("/v1/chat/completions", fake), { method: "POST", body: "{}" });
    await page.waitForTimeout(1_500);
    const ended = await cost();
    costs.push(ended.script - begun.script);
  }
  await page.close();
  const middle = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  return { drawn: middle(drawn), updated: middle(costs) };
}
const few = await chartOf(10);
const many = await chartOf(POINTS);
const name = `A chart of ${POINTS.toLocaleString("en")} points of three series`;
figure(`${name} drawn, with two frames`, many.drawn, "ms", 100);
figure(`${name} updated: script beyond that of 10 points`, many.updated - few.updated, "ms", 5);

await browser.close();
fakeProcess.kill();
upstream.close();
await Promise.all([real.stop(), demo?.stop()]);
const over = figures.filter(({ value, budget }) => budget !== undefined && value > budget);
if (!process.argv.includes("--no-gate") && over.length > 0) {
  console.error(`over budget: ${over.map(({ name }) => name).join("; ")}`);
  process.exit(1);
}
