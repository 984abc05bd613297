// Generates src/gen from ../proto with the local buf and protoc-gen-es; needs no
// network. With an argument, writes to that folder instead: the freshness test
// compares it with what is checked in.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("..", import.meta.url));
const out = process.argv[2];
if (!out) rmSync(`${web}src/gen`, { recursive: true, force: true });
const arguments_ = ["node_modules/@bufbuild/buf/bin/buf", "generate"];
if (out) arguments_.push("--output", out);
execFileSync(process.execPath, arguments_, { cwd: web, stdio: "inherit" });
