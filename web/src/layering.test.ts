/// <reference types="node" />
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";

interface Source {
  name: string;
  text: string;
  /** Files of src/ that it imports. */
  imports: string[];
}

const sources: Source[] = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name) && !name.startsWith("gen/"))
  .map((name) => {
    const text = readFileSync(join("src", name), "utf8");
    const imports = [...text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map((match) =>
      normalize(join(dirname(name), match[1] ?? "")),
    );
    return { name, text, imports };
  });
const product = sources.filter(({ name }) => !/\.test\.tsx?$/.test(name) && !name.startsWith("testing/"));

const offences = (files: Source[], forbidden: (file: Source, imported: string) => boolean) =>
  files.flatMap((file) =>
    file.imports
      .filter((imported) => forbidden(file, imported))
      .map((imported) => `${file.name} -> ${imported}`),
  );
const folder = (name: string, depth: number) => name.split("/").slice(0, depth).join("/");

test("features know neither each other nor the app", () => {
  const features = product.filter(({ name }) => name.startsWith("features/"));
  expect(features.length).toBeGreaterThan(0);
  const foreign = ({ name }: Source, imported: string) =>
    imported.startsWith("app/") ||
    (imported.startsWith("features/") && folder(imported, 2) !== folder(name, 2));
  expect(offences(features, foreign)).toEqual([]);
});

test("what features build on does not know them", () => {
  const below = product.filter(({ name }) => /^(api|lib|components)\//.test(name));
  expect(offences(below, (_, imported) => /^(features|app)\//.test(imported))).toEqual([]);
});

test("nothing of the product knows the tests' helpers", () => {
  expect(offences(product, (_, imported) => imported.startsWith("testing/"))).toEqual([]);
});

test("one file calls fetch, one opens the event stream, and generated code is for gRPC-Web alone", () => {
  const holding = (pattern: RegExp) =>
    product.filter(({ text }) => pattern.test(text)).map(({ name }) => name);
  expect(holding(/\bfetch\(/)).toEqual(["api/rpc.ts"]);
  expect(holding(/new EventSource\b/)).toEqual(["api/events.ts"]);
  // Loaded only where it is chosen, by the one file that does so.
  expect(holding(/^(import|\} from) (?!type).*gen\/modash/m)).toEqual(["api/grpc-web.ts"]);
  expect(holding(/(import|from) "\.\/(grpc-web|message)\.ts"/)).toEqual(["api/grpc-web.ts"]);
  expect(holding(/import\("\.\/grpc-web\.ts"\)/)).toEqual(["api/transport.ts"]);
});
