// Pictures of every page: light and dark, four widths, with data, without any and broken.
//   node scripts/screenshots.mjs <folder> --modash <program> [--docs <folder>] [--only <part of a name>]
//   node scripts/screenshots.mjs <folder> --full <gateway URL> [--empty <gateway URL>] …
// It starts a demo and an installation without requests, or takes the given ones. Broken is
// the demo whose queries the browser does not get answered. `--docs` makes those of the docs.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { startModash } from "./start-modash.mjs";

const argument = (name) =>
  process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined;
const folder = process.argv[2];
const program = argument("--modash");
if (!folder || folder.startsWith("--") || !(program || argument("--full"))) {
  console.error(
    "usage: node scripts/screenshots.mjs <folder> --modash <program> | --full <URL> [--empty <URL>]",
  );
  process.exit(64);
}
const only = argument("--only") ?? "";
const docs = argument("--docs");

const PAGES = {
  overview: "/",
  throughput: "/throughput",
  models: "/models",
  compare: "/models?pick=FIRST,SECOND",
  model: "/models/FIRST",
  breakdown: "/breakdown",
  sessions: "/sessions",
  session: "/sessions?open=SESSION",
  requests: "/requests",
  request: "/requests/REQUEST",
};
const WIDTHS = { 1440: 900, 768: 1024, 390: 844, 320: 640 };
/** The pictures of the docs: a page, and how much of it. */
const IN_DOCS = {
  dashboard: ["/?compare=off", 900],
  throughput: ["/throughput", 700],
  compare: ["/models?pick=FIRST,SECOND", 860],
  breakdown: ["/breakdown?by=user", 700],
  session: ["/sessions?open=SESSION", 900],
};
/** The longest that a page may take until nothing loads any more. */
const PATIENCE_MS = 20_000;

const started = program
  ? await Promise.all([startModash(program, undefined, "--demo"), startModash(program)])
  : [];
const [full, empty] = program ? started.map(({ url }) => url) : [argument("--full"), argument("--empty")];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
});

async function picture(path, url, { colorScheme, width, height, broken = false, fullPage = true }) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
  page.setDefaultTimeout(PATIENCE_MS);
  if (broken) await page.route(/\/rpc$/, (route) => route.fulfill({ status: 500, body: "" }));
  await page.goto(url);
  await page.getByText("Connected", { exact: true }).waitFor({ state: "attached" });
  await page.waitForFunction(() => document.querySelector("main h1") !== null);
  await page.waitForFunction(() => !document.querySelector('[role="status"][aria-label^="Loading"]'));
  // Charts are drawn once they know their width.
  await page.waitForFunction(() =>
    [...document.querySelectorAll("figure [role=group]")].every((chart) => chart.querySelector("svg")),
  );
  // The rate of now needs some seconds of the stream.
  if (!broken && !fullPage) await page.waitForTimeout(12_000);
  await page.screenshot({ path, fullPage });
  await page.close();
}

/** The two largest models, which pages with models are about. */
async function largest() {
  const page = await browser.newPage();
  page.setDefaultTimeout(6 * PATIENCE_MS);
  await page.goto(new URL("/models", full).href);
  const names = page.getByRole("region", { name: "Models" }).locator("tbody th a");
  await names.nth(1).waitFor();
  const texts = (await names.allTextContents()).slice(0, 2);
  await page.close();
  return texts.map(encodeURIComponent);
}

/** The session with the most requests; none where there are no sessions. */
async function busiest() {
  const page = await browser.newPage();
  page.setDefaultTimeout(6 * PATIENCE_MS);
  await page.goto(new URL("/sessions?order=requests", full).href);
  const link = page.getByRole("region", { name: "List of sessions" }).locator("tbody th a").first();
  const none = page.getByText("No sessions in this range");
  await link.or(none).waitFor();
  const name = (await none.isVisible()) ? "none" : await link.textContent();
  await page.close();
  return encodeURIComponent(name);
}

/** The newest request. */
async function newest() {
  const page = await browser.newPage();
  page.setDefaultTimeout(6 * PATIENCE_MS);
  await page.goto(new URL("/requests", full).href);
  await page.getByRole("region", { name: "List of requests" }).locator("tbody button").first().click();
  await page.waitForURL(/\/requests\/[^/]+$/);
  const id = new URL(page.url()).pathname.split("/").at(-1);
  await page.close();
  return id;
}

try {
  const [first, second] = await largest();
  const session = await busiest();
  const request = await newest();
  const address = (path, gateway) =>
    new URL(
      path
        .replace("FIRST", first)
        .replace("SECOND", second)
        .replace("SESSION", session)
        .replace("REQUEST", request),
      gateway,
    ).href;
  let made = 0;
  mkdirSync(folder, { recursive: true });
  for (const [state, gateway] of Object.entries({ full, ...(empty ? { empty } : {}), broken: full })) {
    for (const [title, path] of Object.entries(PAGES)) {
      for (const colorScheme of ["light", "dark"]) {
        for (const [width, height] of Object.entries(WIDTHS)) {
          const name = `${title}-${state}-${colorScheme}-${width}`;
          if (!name.includes(only)) continue;
          const options = { colorScheme, width: Number(width), height, broken: state === "broken" };
          await picture(join(folder, `${name}.png`), address(path, gateway), options);
          made += 1;
        }
      }
    }
  }
  for (const [name, [path, height]] of docs ? Object.entries(IN_DOCS) : []) {
    for (const colorScheme of ["light", "dark"]) {
      const options = { colorScheme, width: 1280, height, fullPage: false };
      await picture(join(docs, `${name}-${colorScheme}.png`), address(path, full), options);
      made += 1;
    }
  }
  console.log(`${made} pictures`);
} finally {
  await browser.close();
  await Promise.all(started.map(({ stop }) => stop()));
}
