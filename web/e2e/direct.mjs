// A page that asks analytics itself, in a real browser:
//   node e2e/direct.mjs <gateway URL> <proxy URL> <analytics URL>
// Exits with 1 and the reason when something does not hold.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [gateway, proxy, analytics] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run"],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  const asked = new Set();
  page.on("request", (request) => asked.add(new URL(request.url()).origin + new URL(request.url()).pathname));
  await page.goto(gateway);
  await page.getByText("Connected", { exact: true }).waitFor();
  const response = await fetch(new URL("/v1/chat/completions", proxy), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "direct", messages: [{ role: "user", content: "Hello" }] }),
  });
  assert.ok(response.ok, `the proxy answered ${response.status}`);
  await page.getByRole("region", { name: "Recent requests" }).getByText("direct").first().waitFor();
  for (const method of ["Subscribe", "UsageSummary", "RecentRequests"])
    assert.ok(
      asked.has(`${analytics}/modash.v1.AnalyticsService/${method}`),
      `${method}: ${[...asked].join(" ")}`,
    );
  assert.ok(!asked.has(`${gateway}/rpc`) && !asked.has(`${gateway}/events`), [...asked].join(" "));
  assert.deepEqual(faults, []);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await browser.close();
}
