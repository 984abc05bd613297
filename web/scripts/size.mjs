// Fails when the built dashboard outgrows its budget in kB gzip: 115 for the first
// page (index.html and what it loads at once), 15 for each part that is loaded
// later, 40 for the library of gRPC-Web, 200 in all.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const TOTAL = 200_000;
const FIRST = 115_000;
const LATER = 15_000;
const GRPC_WEB = 40_000;
const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const gzip = (name) => gzipSync(readFileSync(join(dist, name)), { level: 9 }).length;
const names = readdirSync(dist, { recursive: true }).filter(
  (name) => !/\.(br|gz)$/.test(name) && statSync(join(dist, name)).isFile(),
);
const page = readFileSync(join(dist, "index.html"), "utf8");

let total = 0;
let first = 0;
let largest = 0;
let grpcWeb = 0;
for (const name of names) {
  const size = gzip(name);
  const atOnce = name === "index.html" || page.includes(`/${name}"`);
  total += size;
  if (atOnce) first += size;
  else if (name.includes("grpc-web")) grpcWeb += size;
  else largest = Math.max(largest, size);
  console.log(`${String(size).padStart(8)}  ${atOnce ? "first" : "later"}  ${name}`);
}
console.log(
  `${String(first).padStart(8)}  of ${FIRST} first page\n${String(largest).padStart(8)}  of ${LATER} largest later part\n${String(grpcWeb).padStart(8)}  of ${GRPC_WEB} gRPC-Web\n${String(total).padStart(8)}  of ${TOTAL} everything`,
);
if (first > FIRST || largest > LATER || grpcWeb > GRPC_WEB || total > TOTAL) {
  console.error("the dashboard is over its size budget");
  process.exit(1);
}
