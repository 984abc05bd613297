// What requests cost, who they belong to, and sessions: a waterfall by pointer, by keys and
// as a table, growing while the session runs. Works on any data and on both transports.
import assert from "node:assert/strict";
import { join } from "node:path";
import { axeFaults } from "./axe.mjs";

const settled = async (page) => {
  await page.locator("h1").first().waitFor({ state: "attached" });
  await page.waitForFunction(() => !document.querySelector('[role="status"][aria-label^="Loading"]'));
};
const overhang = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
const waterfall = (page) => page.getByRole("group", { name: /^Requests of the session\. / });
/** Waits until it says so many requests. */
const holds = (page, count) =>
  page.getByRole("group", { name: new RegExp(`^Requests of the session\\. ${count} in `) }).waitFor();

/** `send`: one request through the proxy, with headers; the page `open`s at an address. */
export async function checkSessions({ open, step, folder, send }) {
  const session = `e2e ${Date.now().toString(36)} a.b/c, d`;
  const address = `/sessions?open=${encodeURIComponent(session)}`;
  let sent = 0;
  const next = async () => {
    await send(true, { "x-modash-session": session, "x-modash-tag-team": "e2e" });
    sent += 1;
  };
  /** The same session in all steps, whichever of them run. */
  const begin = async () => {
    if (sent > 0) return;
    await next();
    await Promise.all([next(), next()]);
  };
  const shot = async (page, name) => {
    if (folder) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  };

  await step(
    "costs are shown in the currency that the gateway sets, with the dollars beside them",
    async () => {
      const page = await open("/?metric=cost", {}, (page) =>
        page.route(
          ({ pathname }) => pathname === "/",
          async (route) => {
            const response = await route.fetch();
            const html = await response.text();
            const [element, content = "{}"] =
              /<meta name="modash-settings" content="([^"]*)" \/>/.exec(html) ?? [];
            const settings = JSON.parse(content.replaceAll("&quot;", '"').replaceAll("&amp;", "&"));
            const json = JSON.stringify({ ...settings, currency: { code: "EUR", rate: 0.5 } });
            const set = `<meta name="modash-settings" content="${json.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}" />`;
            const body = element ? html.replace(element, set) : html.replace("</head>", `${set}</head>`);
            await route.fulfill({ response, body });
          },
        ),
      );
      await page.getByRole("heading", { name: "Cost over time $1 = €0.50" }).waitFor();
      await settled(page);
      const amount = page.getByRole("region", { name: "Summary" }).getByText(/€/).first();
      if (await amount.isVisible()) {
        const number = (text) => Number(text.replaceAll(/[^\d.]/g, ""));
        const shown = number(await amount.textContent());
        const dollars = number(/\$[\d.,]+/.exec(await amount.getAttribute("title"))[0]);
        assert.ok(Math.abs(shown - dollars / 2) <= Math.max(0.01, dollars / 100), `€${shown} of $${dollars}`);
      }
      await shot(page, "cost-in-euros");
      await page.close();
    },
  );

  await step("a session is in the list with its sums, and opens at an address of its own", async () => {
    await begin();
    const page = await open("/sessions");
    const row = page.getByRole("row", { name: session });
    await row.getByRole("cell", { name: String(sent), exact: true }).waitFor();
    await page.getByRole("button", { name: "Requests", exact: true }).click();
    await page.waitForURL(/order=requests/);
    assert.equal(
      await page.getByRole("columnheader", { name: "Requests" }).getAttribute("aria-sort"),
      "descending",
    );
    await page.goBack();
    await page.getByRole("link", { name: session }).click();
    await page.getByRole("heading", { level: 1, name: session }).waitFor();
    await page.reload();
    await holds(page, sent);
    await shot(page, "session");
    await page.close();
  });

  await step("a session that runs grows without a reload", async () => {
    await begin();
    const page = await open(address);
    await holds(page, sent);
    await page.evaluate(() => {
      window.stillTheSamePage = true;
    });
    await next();
    await holds(page, sent);
    assert.ok(await page.evaluate(() => window.stillTheSamePage));
    await page.close();
  });

  await step("a drag over the waterfall zooms, a click opens a request, and Escape closes it", async () => {
    await begin();
    const page = await open(address);
    await holds(page, sent);
    const box = await waterfall(page).boundingBox();
    const all = page.getByRole("button", { name: "All", exact: true });
    assert.ok(await all.isDisabled());
    const middle = box.y + 20;
    await page.mouse.move(box.x + 70, middle);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, middle, { steps: 4 });
    await page.mouse.up();
    await all.click();
    assert.ok(await all.isDisabled());
    // The first request begins where the axis does.
    await page.mouse.click(box.x + 58, middle);
    const drawer = page.getByRole("dialog", { name: "Request" });
    await drawer.getByText("Cost", { exact: true }).waitFor();
    assert.match(new URL(page.url()).searchParams.get("request"), /^[0-9a-f-]{36}$/);
    await page.keyboard.press("Escape");
    await drawer.waitFor({ state: "detached" });
    await holds(page, sent);
    await page.close();
  });

  await step("by keys: through the requests of a session, into one of them, closer and back", async () => {
    await begin();
    const page = await open(address);
    await holds(page, sent);
    await waterfall(page).focus();
    await page.keyboard.press("Home");
    const spoken = (text) =>
      page.locator('[aria-live="polite"]').getByText(text).waitFor({ state: "attached" });
    await spoken(new RegExp(`^1 of ${sent} · .* completion`));
    await page.keyboard.press("ArrowRight");
    await spoken(new RegExp(`^2 of ${sent} · `));
    await page.keyboard.press("+");
    const all = page.getByRole("button", { name: "All", exact: true });
    await page.waitForFunction(() =>
      [...document.querySelectorAll("button")].some(
        (button) => button.textContent === "All" && !button.disabled,
      ),
    );
    await page.keyboard.press("0");
    await page.waitForFunction(() =>
      [...document.querySelectorAll("button")].some(
        (button) => button.textContent === "All" && button.disabled,
      ),
    );
    assert.ok(await all.isDisabled());
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Request" }).getByText("Tokens", { exact: true }).waitFor();
    await page.close();
  });

  await step("the requests of a session are a table as well, and a file", async () => {
    await begin();
    const page = await open(address);
    await holds(page, sent);
    await page.getByRole("button", { name: "Table", exact: true }).first().click();
    const rows = page
      .getByRole("region", { name: "Requests of the session, as a table" })
      .locator("tbody tr");
    assert.equal(await rows.count(), sent);
    await page.getByRole("button", { name: `Export session ${session}` }).click();
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "CSV", exact: true }).click();
    assert.match((await saved).suggestedFilename(), /^modash-session-e2e-/);
    await page.close();
  });

  await step("breakdowns rank by what is asked, and a row leads to its requests", async () => {
    await begin();
    const page = await open("/breakdown");
    for (const by of ["user", "upstream", "operation", "agent", "dialect", "session", "status", "error"]) {
      await page.getByLabel("By", { exact: true }).selectOption(by);
      await page.waitForURL(new RegExp(`by=${by}`));
      await page.locator("main tbody tr").first().waitFor();
      await settled(page);
    }
    await page.getByLabel("By", { exact: true }).selectOption("tag:");
    await page.getByLabel("Name of the tag").fill("team");
    await page.keyboard.press("Enter");
    const row = page.getByRole("row", { name: /^e2e / });
    await row.waitFor();
    await page.getByRole("button", { name: "Last used" }).click();
    await page.waitForURL(/order=seen/);
    await row.getByRole("link").first().click();
    await page.waitForURL(/\/requests\?.*tag=team/);
    await page.getByRole("region", { name: "Recent requests" }).getByRole("row").nth(1).waitFor();
    await page.close();
  });

  await step("a budget is saved from the filter of the page, changed and deleted", async () => {
    await begin();
    const page = await open("/breakdown?tag=team%3De2e");
    await page.getByRole("button", { name: "Add a budget" }).click();
    const form = page.getByRole("form", { name: "Budget" });
    await form.getByLabel("Name").fill("e2e budget");
    await form.getByLabel("Amount").fill("1000");
    await form.getByLabel("Unit").selectOption("tokens");
    await form.getByLabel("Period").selectOption({ label: "per day" });
    assert.deepEqual(await axeFaults(page), []);
    await form.getByRole("button", { name: "Save" }).click();
    const budget = page.getByRole("region", { name: "e2e budget" });
    await budget.getByText(/ of 1,000 tokens · /).waitFor();
    await budget.getByText("tags: team=e2e").waitFor();
    assert.deepEqual(await axeFaults(page), []);
    await budget.getByRole("button", { name: "Edit e2e budget" }).click();
    await form.getByLabel("Amount").fill("2000");
    await form.getByRole("button", { name: "Save" }).click();
    await budget.getByText(/ of 2,000 tokens · /).waitFor();
    // A rolling window, shares and a webhook; what is refused stands at its field.
    await budget.getByRole("button", { name: "Edit e2e budget" }).click();
    await form.getByLabel("Period").selectOption({ label: "rolling window" });
    await form.getByLabel("Window in hours").fill("0.5");
    await form.getByLabel("Notices at, %").fill("90, 1001");
    await form.getByLabel("Webhook", { exact: true }).fill("http://user@127.0.0.1:9/hook");
    await form.getByLabel("Webhook secret").fill("whsec_short");
    await form.getByRole("button", { name: "Save" }).click();
    await form.getByText("must be from 1 h to 366 days, in whole seconds").waitFor();
    await form.getByText("must be at most 10 percentages from 1 to 1000").waitFor();
    await form.getByText(/^must be an address of http or https/).waitFor();
    await form.getByText('must be "whsec_" and 24 to 64 bytes in base64').waitFor();
    assert.deepEqual(await axeFaults(page), []);
    await form.getByLabel("Window in hours").fill("36");
    await form.getByLabel("Notices at, %").fill("90, 100");
    await form.getByLabel("Webhook", { exact: true }).fill("http://127.0.0.1:9/hook");
    await form.getByLabel("Webhook secret").fill(`whsec_${Buffer.alloc(24, 7).toString("base64")}`);
    await form.getByRole("button", { name: "Save" }).click();
    await budget.getByText("last 36 h").waitFor();
    await budget.getByText("Notices at 90, 100 % go to http://127.0.0.1:9").waitFor();
    await budget.getByRole("button", { name: "Edit e2e budget" }).click();
    assert.equal(await form.getByLabel("Webhook secret").inputValue(), "");
    await form.getByLabel("Remove the webhook").check();
    await form.getByRole("button", { name: "Save" }).click();
    await budget.getByText(/^Notices at/).waitFor({ state: "detached" });
    await budget.getByRole("button", { name: "Edit e2e budget" }).click();
    await form.getByRole("button", { name: "Delete" }).click();
    await budget.waitFor({ state: "detached" });
    await page.close();
  });

  await step("the cost over time is shown, or it is said how to set a price", async () => {
    const page = await open("/?metric=cost");
    const chart = page.getByRole("region", { name: "Cost over time" });
    const known = chart.getByRole("group", { name: /^Cost over time\. cost: between \$/ });
    const unknown = chart.getByText("No cost is known in this range");
    await known.or(unknown).waitFor();
    const tile = page.getByRole("region", { name: "Summary" }).getByRole("link", { name: "Cost" });
    // Money has a tile where there is something to say of it, and only there.
    if (await known.isVisible()) await tile.waitFor();
    else assert.equal(await tile.count(), 0);
    await page.close();
  });

  const STATES = {
    sessions: ["/sessions"],
    "a session": [address],
    "a session as a table": [
      address,
      (page) => page.getByRole("button", { name: "Table", exact: true }).first().click(),
    ],
    "no such session": ["/sessions?open=nothing"],
    breakdown: ["/breakdown"],
    "breakdown by a tag": ["/breakdown?by=tag:team"],
    cost: ["/?metric=cost"],
  };
  const WINDOWS = {
    light: { colorScheme: "light" },
    dark: { colorScheme: "dark" },
    "320 px": { viewport: { width: 320, height: 640 } },
    "390 px, dark": { viewport: { width: 390, height: 844 }, colorScheme: "dark" },
    "forced colours": { forcedColors: "active" },
  };
  for (const [window, options] of Object.entries(WINDOWS)) {
    for (const [name, [path, act]] of Object.entries(STATES)) {
      await step(`${window}, ${name}: nothing sticks out, and axe finds nothing`, async () => {
        await begin();
        const page = await open(path, { ...options, reducedMotion: "reduce" });
        await settled(page);
        await act?.(page);
        await settled(page);
        assert.ok((await overhang(page)) <= 0, `${await overhang(page)} px too wide`);
        assert.deepEqual(await axeFaults(page), []);
        assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
        await shot(page, `${window} ${name}`.replaceAll(/[ ,]+/g, "-"));
        await page.close();
      });
    }
  }
}
