// What an open page says while parts of modash are away, and that it finds its way back:
//   node e2e/outages.mjs <gateway URL> <proxy URL>
// The caller reads what is printed and does it: "now: analytics hangs" and the like.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [gateway, proxy] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
});
const say = (text) => console.log(`now: ${text}`);

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const uncaught = [];
  page.on("pageerror", (error) => uncaught.push(error.message));
  const status = (text) => page.getByText(text, { exact: typeof text === "string" }).waitFor();
  const banner = page.getByText("Usage data is unavailable.");
  const title = page
    .getByRole("region", { name: "Summary" })
    .locator("div", { has: page.getByRole("heading", { name: "Requests", exact: true }) })
    .locator("p span[title]")
    .first();
  let sent = 0;
  /** A request, and its number on the page. */
  const counts = async () => {
    const answer = await fetch(new URL("/v1/chat/completions", proxy), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "m", max_tokens: 4, messages: [{ role: "user", content: "Hello" }] }),
    });
    await answer.text();
    assert.ok(answer.ok, `the proxy answered ${answer.status}`);
    sent += 1;
    await page.waitForFunction(
      ([element, count]) => element.title === String(count),
      [await title.elementHandle(), sent],
    );
  };
  const unknown = () => page.getByTitle("Requests running now").filter({ hasText: "–" }).waitFor();

  await page.goto(gateway);
  await status("Connected");
  await counts();

  say("analytics hangs");
  await status("Live data unavailable, trying again…");
  await unknown();
  say("analytics goes on");
  await status("Connected");
  await banner.waitFor({ state: "detached" });
  await counts();

  say("analytics is killed");
  await status("Live data unavailable, trying again…");
  await unknown();
  await banner.waitFor();
  say("analytics starts");
  await status("Connected");
  await banner.waitFor({ state: "detached" });
  await counts();

  say("the database is away");
  await banner.waitFor();
  // What was there stays.
  assert.equal(await title.getAttribute("title"), String(sent));
  say("the database is back");
  await banner.waitFor({ state: "detached" });
  await counts();

  say("the gateway stops");
  // What is known of the past depends on how the stream ended.
  await status(/^(Reconnecting|Not connected)/);
  say("the gateway starts");
  await status("Connected");
  await counts();
  assert.deepEqual(uncaught, []);
  say("the end");
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await browser.close();
}
