// Writes .br and .gz beside every built file above 1 kB, for servers that hand
// out what is already compressed.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
for (const name of readdirSync(dist, { recursive: true })) {
  const file = join(dist, name);
  if (/\.(br|gz)$/.test(name) || !statSync(file).isFile() || statSync(file).size <= 1024) continue;
  const bytes = readFileSync(file);
  writeFileSync(`${file}.br`, brotliCompressSync(bytes)); // quality 11 is the default
  writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }));
}
