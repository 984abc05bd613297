// Calls a running gateway from a page in Chromium, which the gateway itself serves:
//
//   node chromium.mjs bundle <folder>     writes the page
//   node chromium.mjs <gateway-url> [working|failing|away|refused] [<analytics-url>]
//
// CHROMIUM names the browser. MODASH_TOKEN is the token to show, AUTHORITY a file with the
// one authority that the browser trusts beside its own. The bundler and what drives the
// browser are those of the dashboard.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TOKEN } from "./token.mjs";

const web = new URL("../../../../web/", import.meta.url);
const [url, mode = "working", analytics] = process.argv.slice(2);

if (url === "bundle") {
  const bundler = fileURLToPath(new URL("node_modules/.bin/rolldown", web));
  const source = fileURLToPath(new URL("page.mjs", import.meta.url));
  execFileSync(bundler, [source, "--file", join(mode, "page.js"), "--platform", "browser"]);
  const script = '<script type="module" src="/page.js"></script>';
  writeFileSync(join(mode, "page.html"), `<!doctype html><title>modash</title>${script}`);
  process.exit(0);
}

const { chromium } = createRequire(new URL("package.json", web))("playwright-core");
const home = mkdtempSync(join(tmpdir(), "modash-chromium-"));
trust(process.env.AUTHORITY);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  env: { ...process.env, HOME: home },
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  await page.goto(`${url}/page.html`);
  await page.waitForFunction(() => globalThis.run);
  await page.evaluate(
    ([mode, token, analytics]) => globalThis.run(mode, token, analytics),
    [mode, TOKEN, analytics],
  );
  console.log(`ok      Connect and grpc-web in Chromium, analytics ${mode}`);
} finally {
  await browser.close();
  rmSync(home, { recursive: true, force: true });
}

/** Adds an authority to those of the browser's user, as an administrator would. */
function trust(authority) {
  if (!authority) return;
  const certificates = join(home, ".pki/nssdb");
  mkdirSync(certificates, { recursive: true });
  const certutil = (...more) => execFileSync("certutil", ["-d", `sql:${certificates}`, ...more]);
  certutil("-N", "--empty-password");
  certutil("-A", "-t", "C,,", "-n", "authority of the test", "-i", authority);
}
