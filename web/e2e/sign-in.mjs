// Signing in and out in a real browser against a modash with tokens:
//   node e2e/sign-in.mjs <gateway URL> <file with a token> <name of the token>
// Prints "revoke now" and waits for the session to end. The token is not an argument:
// those are seen in the list of processes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [gateway, file, name] = process.argv.slice(2);
const token = readFileSync(file, "utf8").trim();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});

try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const signIn = async (text) => {
    await page.getByLabel("Token").fill(text);
    await page.getByRole("button", { name: "Sign in" }).click();
  };

  await page.goto(`${gateway}/requests?range=1h`);
  await page.waitForURL(/\/sign-in\?to=/);
  await signIn("modash_wrong");
  await page.getByRole("alert").filter({ hasText: "is no token of modash" }).waitFor();
  await signIn(token);
  await page.waitForURL(/\/requests\?range=1h$/);
  await page.getByText("Connected", { exact: true }).waitFor();
  console.log("ok  a token opens the page that was asked for, with its queries and its events");

  const [cookie] = await context.cookies();
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);
  assert.equal(await page.evaluate(() => document.cookie), "");
  assert.ok(!page.url().includes(token) && !(await page.content()).includes(token));
  console.log("ok  no script and no URL has the token");

  await page.getByRole("button", { name: `Signed in as ${name}` }).click();
  await page.getByText("sees everything").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(/\/sign-in$/);
  assert.deepEqual(await context.cookies(), []);
  await page.goto(`${gateway}/`);
  await page.waitForURL(/\/sign-in\?to=/);
  console.log("ok  signing out ends the session");

  await page.goto(`${gateway}/sign-in?to=//evil.example/`);
  await signIn(token);
  await page.waitForURL(`${gateway}/`);
  await page.getByText("Connected", { exact: true }).waitFor();
  console.log("ok  signing in leads to no other site");

  console.log("revoke now");
  await page.waitForURL(/\/sign-in\?to=/);
  await page.getByLabel("Token").waitFor();
  console.log("ok  a session whose token is revoked leads to signing in");
} finally {
  await browser.close();
}
