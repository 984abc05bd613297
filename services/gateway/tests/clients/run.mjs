// Calls a running gateway with unmodified clients of other people, each with
// all five questions. Exits with 1 and a list of what went wrong.
//
//   node run.mjs <gateway-url> [working|failing|away|refused] [<analytics-url>]
//
// "failing" expects analytics to fail every call with INTERNAL, "away" that it
// cannot be reached, "refused" that the gateway asks for a token. MODASH_TOKEN is the
// token to show, NODE_EXTRA_CA_CERTS the authority behind https. With the URL of analytics
// the clients that need no gateway call it too.

import * as connect from "./connect.mjs";
import * as effect3 from "./effect3.mjs";
import * as effect4 from "./effect4.mjs";

const [url, mode = "working", analytics] = process.argv.slice(2);
if (!url || !["working", "failing", "away", "refused"].includes(mode)) {
  console.error("usage: node run.mjs <gateway-url> [working|failing|away|refused] [<analytics-url>]");
  process.exit(64);
}

const deadline = 30_000;
let failed = 0;
const at = (base, makers) => makers.map((make) => make(base.replace(/\/$/, "")));
const all = at(url, [effect3.clients, effect4.clients, connect.clients]);
if (analytics) all.push(...at(analytics, [connect.clientsOfAnalytics]));
for (const clients of all) {
  for (const [name, check] of Object.entries(clients)) {
    let timer;
    const hung = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no end after ${deadline} ms`)), deadline);
    });
    try {
      await Promise.race([check(mode), hung]);
      console.log(`ok      ${name}, analytics ${mode}`);
    } catch (error) {
      failed += 1;
      console.error(`FAILED  ${name}, analytics ${mode}: ${error.stack ?? error}`);
    } finally {
      clearTimeout(timer);
    }
  }
}
console.log(failed === 0 ? "all clients work" : `${failed} clients do not work`);
process.exit(failed === 0 ? 0 : 1);
