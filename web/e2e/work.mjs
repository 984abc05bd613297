// What one works with: filters that exclude, views, marks, errors, prompt lengths; and
// what must not matter: a wrong clock, days on which clocks change, many requests at once.
import assert from "node:assert/strict";
import { join } from "node:path";

/** A day of a zone with the quarter hours that it has. */
const DAYS = [
  ["Europe/Berlin", "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z", 100],
  ["Australia/Lord_Howe", "2025-10-04T13:30:00Z", "2025-10-05T13:00:00Z", 94],
  ["Asia/Kathmandu", "2025-10-24T18:15:00Z", "2025-10-25T18:15:00Z", 96],
];

/** Requests a second. */
const PACE = 50;

export async function checkWork({
  open,
  step,
  gateway,
  isFake,
  transport,
  sendRequest,
  requestsCount,
  folder,
}) {
  await step("a model is excluded from everything, and its chip turns that over", async () => {
    const page = await open("/requests");
    await page.keyboard.press("f");
    const filter = page.getByRole("dialog", { name: "Filter" });
    const exclude = filter.getByRole("button", { name: /^not (?!ok|error|cancelled)/ }).first();
    const name = (await exclude.getAttribute("aria-label")).slice("not ".length);
    await exclude.click();
    await page.waitForURL(/not\.model=/);
    if (folder) await page.screenshot({ path: join(folder, "filter.png") });
    await page.keyboard.press("Escape");
    const list = page.getByRole("region", { name: "Recent requests" });
    const shown = list.locator("tbody").getByText(name, { exact: true });
    await shown.first().waitFor({ state: "detached" });
    await page.getByRole("button", { name: "model is not" }).click();
    await page.waitForURL(/[?&]model=/);
    await shown.first().waitFor();
    await page.close();
  });

  await step("a view is saved, leads back to what was shown, and is deleted", async () => {
    const page = await open("/models?from=-7d&stream=yes");
    const menu = page.getByRole("dialog", { name: "Views and marks" });
    await page.keyboard.press("v");
    await menu.getByRole("textbox", { name: "Name of this view" }).fill("Streams of the week");
    await menu.getByRole("button", { name: "Save" }).click();
    await menu.getByRole("link", { name: "Streams of the week" }).waitFor();
    if (folder) await page.screenshot({ path: join(folder, "views.png") });
    await page.close();
    const other = await open("/");
    await other.keyboard.press("v");
    const again = other.getByRole("dialog", { name: "Views and marks" });
    await again.getByRole("link", { name: "Streams of the week" }).click();
    await other.waitForURL(/\/models\?from=-7d&stream=yes$/);
    await other.keyboard.press("v");
    await again.getByRole("button", { name: "Delete the view Streams of the week" }).click();
    await again.getByRole("link", { name: "Streams of the week" }).waitFor({ state: "detached" });
    await other.close();
  });

  if (!isFake) {
    await step("a mark that one line sets stands in the charts until it is deleted", async () => {
      const answer = await fetch(new URL("/rpc/AddMark", gateway), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ text: "deploy 1182", link: "https://ci.example/1182" }),
      });
      assert.equal((await answer.json()).mark.text, "deploy 1182");
      const page = await open("/");
      const chart = page.getByRole("group", { name: /^Tokens over time/ });
      const link = chart.getByText("deploy 1182");
      await link.waitFor({ state: "attached" });
      await link.locator("xpath=ancestor::div[1]/i").hover();
      await link.waitFor();
      assert.equal(await link.getAttribute("href"), "https://ci.example/1182");
      if (folder) await page.screenshot({ path: join(folder, "mark.png") });
      await page.keyboard.press("v");
      await page.getByRole("button", { name: "Delete the mark deploy 1182" }).click();
      await link.waitFor({ state: "detached" });
      await page.close();
    });
  }

  await step("errors are listed with an example, or there are none", async () => {
    const page = await open("/requests?status=error");
    const errors = page.getByRole("region", { name: "Errors", exact: true });
    const example = errors.getByRole("button", { name: /^Open the newest/ }).first();
    await example.or(errors.getByText("No request failed")).first().waitFor();
    if (await example.isVisible()) {
      await example.click();
      await page.getByRole("dialog", { name: "Request" }).getByText("Tokens", { exact: true }).waitFor();
      await page.waitForURL(/\/requests\/[0-9a-f-]{36}/);
    }
    await page.close();
  });

  await step("a drag over prompt lengths leads to the streams that have them", async () => {
    const page = await open("/throughput");
    const chart = page.getByRole("group", { name: /^Prompt length against time to first token/ });
    await chart.scrollIntoViewIfNeeded();
    await chart.locator("circle").first().waitFor();
    const box = await chart.boundingBox();
    await page.mouse.move(box.x + 60, box.y + 60);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width - 16, box.y + 60, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL(/\/requests\?.*prompt=\d+-\d+/);
    await page.getByRole("region", { name: "Recent requests" }).locator("tbody tr").first().waitFor();
    await page.close();
  });

  for (const minutes of [10, -10]) {
    await step(`a clock that is ${minutes} minutes off changes neither numbers nor ages`, async () => {
      const page = await open("/?from=-5m", {}, (page) =>
        page.addInitScript((shift) => {
          const Right = window.Date;
          window.Date = class extends Right {
            constructor(...given) {
              if (given.length > 0) super(...given);
              else super(Right.now() + shift);
            }
            static now() {
              return Right.now() + shift;
            }
          };
        }, minutes * 60_000),
      );
      await sendRequest(false);
      const newest = page.getByRole("region", { name: "Recent requests" }).locator("tbody tr").first();
      await newest.getByText(/^\d+ s ago$/).waitFor();
      await page.close();
    });
  }

  // The answers of the other transport cannot be filled in here.
  if (transport === "rpc") {
    for (const [zone, from, to, quarters] of DAYS) {
      await step(`${zone}: a day on which clocks may change has ${quarters} quarter hours`, async () => {
        const query = new URLSearchParams({ from, to, tz: zone, compare: "off", metric: "requests" });
        // The server's own buckets, with a request in each.
        const page = await open(`/?${query}`, {}, (page) =>
          page.route(/\/rpc$/, async (route) => {
            const { tag } = route.request().postDataJSON();
            const answer = await route.fetch();
            const frames = await answer.json();
            const value = frames[0].exit.value;
            if (tag === "UsageTimeseries") {
              const ones = value.bucketStarts.map(() => 1);
              const [all] = value.series;
              for (const [key, column] of Object.entries(all))
                if (Array.isArray(column)) all[key] = key === "failedRequests" ? column : ones;
            }
            // A range without requests is one of a fresh installation otherwise.
            if (tag === "UsageSummary") value.requests = quarters;
            await route.fulfill({ response: answer, json: frames });
          }),
        );
        const panel = page.getByRole("region", { name: /^Requests over time/ });
        await panel.getByRole("button", { name: "Table" }).click();
        const rows = panel.getByRole("region", { name: /as a table$/ }).locator("tbody tr");
        await rows.first().waitFor();
        assert.equal(await rows.count(), quarters);
        assert.match(await rows.last().textContent(), /12:00 AM|00:00/);
        if (folder)
          await page.screenshot({ path: join(folder, `day-${zone.replace("/", "-").toLowerCase()}.png`) });
        await page.unrouteAll({ behavior: "ignoreErrors" });
        await page.close();
      });
    }
  }

  if (!isFake) {
    const seconds = transport === "rpc" ? 60 : 10;
    await step(
      `50 requests a second for ${seconds} seconds are all counted, and no script fails`,
      async () => {
        const page = await open("/");
        const before = await requestsCount(page);
        const sent = seconds * PACE;
        const begun = Date.now();
        const running = new Set();
        for (let at = 0; at < sent; at += 1) {
          // A machine that is too slow for the pace has so many open at most.
          while (running.size >= 20) await Promise.race(running);
          await new Promise((go) => setTimeout(go, begun + (at * 1_000) / PACE - Date.now()));
          const request = sendRequest(at % 2 === 0).finally(() => running.delete(request));
          running.add(request);
        }
        await Promise.all(running);
        await page.waitForFunction(
          (count) => {
            const tile = document.querySelector("[aria-label=Summary] p span[title]");
            return Number(tile?.title.replace(/\D/g, "")) >= count;
          },
          before + sent,
          { timeout: 60_000 },
        );
        assert.equal(await requestsCount(page), before + sent);
        await page.close();
      },
    );
  }
}
