// A client gets a name on the page and loses it again; on any data and on both transports.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { axeFaults } from "./axe.mjs";

/** `send`: one request through the proxy, with headers; the page `open`s at an address. */
export async function checkNames({ open, step, folder, send }) {
  const name = `e2e ${Date.now().toString(36)}`;
  const key = /^[0-9a-f]{16}$/;

  await step("a client is named in place, found by its name, and loses it in the drawer", async () => {
    await send(false, { authorization: `Bearer sk-${randomBytes(12).toString("hex")}` });
    const page = await open("/breakdown");
    const table = page.getByRole("region", { name: "By client" });
    const client = table.getByRole("button", { name: key }).first();
    const id = await client.textContent();
    await table.getByRole("button", { name: `Name ${id}` }).click();
    const field = page.getByRole("textbox", { name: `Name of ${id}` });
    await field.fill("not this");
    assert.deepEqual(await axeFaults(page), []);
    if (folder) await page.screenshot({ path: join(folder, "naming.png") });
    await field.press("Escape");
    await field.waitFor({ state: "detached" });
    await table.getByRole("button", { name: `Name ${id}` }).press("Enter");
    await field.fill(name);
    await field.press("Enter");
    await table.getByRole("button", { name, exact: true }).waitFor();
    await page.reload();
    await table.getByRole("row", { name: new RegExp(`^${name} ${id}`) }).waitFor();
    if (folder) await page.screenshot({ path: join(folder, "named.png") });

    await page.keyboard.press("f");
    const filter = page.getByRole("dialog", { name: "Filter" });
    await filter.getByRole("combobox", { name: "Filter by" }).selectOption("client");
    await filter.getByRole("searchbox").fill(name.toUpperCase());
    await filter.getByRole("checkbox", { name: new RegExp(`^${name}`) }).check();
    await page.waitForURL(new RegExp(`client=${id}`));
    await page.keyboard.press("Escape");
    await page.getByRole("list", { name: "Filters in force" }).getByText(name, { exact: true }).waitFor();
    await page.getByRole("link", { name: "Requests", exact: true }).click();
    const list = page.getByRole("region", { name: "List of requests" });
    await list.getByText(name, { exact: true }).first().waitFor();
    await list.locator("tbody button").first().click();

    const drawer = page.getByRole("dialog", { name: "Request" });
    await drawer.getByText(id, { exact: true }).waitFor();
    await drawer.getByRole("button", { name: `Name ${id}` }).click();
    await field.press("Escape");
    await field.waitFor({ state: "detached" });
    assert.ok(await drawer.isVisible(), "Escape has closed the drawer as well");
    await drawer.getByRole("button", { name: `Name ${id}` }).click();
    await field.fill("é".repeat(41));
    await field.press("Enter");
    await drawer.getByRole("alert").filter({ hasText: "80 bytes" }).waitFor();
    if (folder) await page.screenshot({ path: join(folder, "named-drawer.png") });
    await field.fill("");
    await field.press("Enter");
    await drawer.getByText(name, { exact: true }).waitFor({ state: "detached" });
    await drawer.getByRole("button", { name: id, exact: true }).waitFor();
    await page.close();
  });
}
