// Starts a modash of its own: free ports, a data directory that goes with it.
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The first start makes a database. */
const PATIENCE_MS = 120_000;

export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** The addresses of its dashboard and its proxy, and how to stop it. `upstream`: of the LLM server; of the demo, none. */
export async function startModash(program, upstream, ...options) {
  const data = mkdtempSync(join(tmpdir(), "modash-pictures-"));
  // Started by root, the database runs as somebody else.
  chmodSync(data, 0o755);
  const [proxy, gateway, analytics, ...admin] = await Promise.all(Array.from({ length: 6 }, freePort));
  const child = spawn(program, options, {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      MODASH_LOG: "error",
      MODASH_DATA_DIRECTORY: data,
      MODASH_PROXY_SPOOL_DIRECTORY: join(data, "spool"),
      UPSTREAM_URL: upstream ?? `http://127.0.0.1:${proxy}`,
      PORT: String(proxy),
      MODASH_GATEWAY_PROXY_PORT: String(proxy),
      MODASH_GATEWAY_LISTEN: `127.0.0.1:${gateway}`,
      MODASH_ANALYTICS_LISTEN: `127.0.0.1:${analytics}`,
      MODASH_PROXY_ADMIN_LISTEN: `127.0.0.1:${admin[0]}`,
      MODASH_GATEWAY_ADMIN_LISTEN: `127.0.0.1:${admin[1]}`,
      MODASH_ANALYTICS_ADMIN_LISTEN: `127.0.0.1:${admin[2]}`,
    },
  });
  const ended = new Promise((done) => child.once("exit", done));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(data, { recursive: true, force: true });
  };
  const ready = new Promise((done, fail) => {
    let said = "";
    child.stdout.on("data", (text) => {
      said += text;
      if (said.includes("modash is ready")) done();
    });
    ended.then(() => fail(new Error(`${program} ended: ${said}`)));
    setTimeout(() => fail(new Error(`${program} is not ready: ${said}`)), PATIENCE_MS).unref();
  });
  try {
    await ready;
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `http://127.0.0.1:${gateway}`, proxy: `http://127.0.0.1:${proxy}`, stop };
}
