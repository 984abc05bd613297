// Fails when the built dashboard outgrows its budget: 120 kB gzip in all, 115 kB
// for the first page (index.html and what it loads at once).
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const TOTAL = 120_000;
const FIRST = 115_000;
const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const gzip = (name) => gzipSync(readFileSync(join(dist, name)), { level: 9 }).length;
const names = readdirSync(dist, { recursive: true }).filter(
  (name) => !/\.(br|gz)$/.test(name) && statSync(join(dist, name)).isFile(),
);
const page = readFileSync(join(dist, "index.html"), "utf8");

let total = 0;
let first = 0;
for (const name of names) {
  const size = gzip(name);
  const atOnce = name === "index.html" || page.includes(`/${name}"`);
  total += size;
  if (atOnce) first += size;
  console.log(`${String(size).padStart(8)}  ${atOnce ? "first" : "later"}  ${name}`);
}
console.log(
  `${String(first).padStart(8)}  of ${FIRST} first page\n${String(total).padStart(8)}  of ${TOTAL} everything`,
);
if (first > FIRST || total > TOTAL) {
  console.error("the dashboard is over its size budget");
  process.exit(1);
}
