/// <reference types="node" />
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

/** File names and contents below a folder. */
function contents(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

test("the generated types are those of ../proto: else run `npm run generate`", () => {
  const folder = mkdtempSync(join(tmpdir(), "modash-gen-"));
  try {
    execFileSync(process.execPath, ["scripts/generate.mjs", folder], { stdio: "pipe" });
    expect(contents(join(folder, "src/gen"))).toEqual(contents("src/gen"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
