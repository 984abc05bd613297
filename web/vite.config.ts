import { readdirSync } from "node:fs";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { slimDescriptor, withoutUnused } from "./leave-out.ts";
import web from "./package.json" with { type: "json" };

// Tests read numbers and times as people in one place see them; worker
// processes inherit this before their ICU starts.
if (process.env.VITEST) Object.assign(process.env, { LC_ALL: "en_US.UTF-8", TZ: "UTC" });

const backend = { target: process.env.MODASH_BACKEND ?? "http://127.0.0.1:4005", changeOrigin: false };

/** Descriptors of messages as bytes and not as base64, of which gzip makes a third less. */
const bareDescriptors: Plugin = {
  name: "bare-descriptors",
  apply: "build",
  transform: (code, id) =>
    id.includes("/src/gen/")
      ? code.replace(/fileDesc\("([\w+/]+)=*"/, (_, text) => `fileDesc(btoa(${bare(text)})`)
      : null,
};

/** A string literal with a letter for each byte. */
const bare = (base64: string): string => JSON.stringify(Buffer.from(base64, "base64").toString("latin1"));

/** Files with class names, in an order that is the same in every build. */
const styles = readdirSync(new URL("src/", import.meta.url), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".module.css"))
  .sort();
const classes = new Map<string, string[]>();

/** `_a0`, `_a1`, `_b0`: names this short make the page 2 kB smaller than names with hashes. */
function shortName(name: string, file: string): string {
  const known = classes.get(file) ?? [];
  classes.set(file, known);
  if (!known.includes(name)) known.push(name);
  const letters = styles
    .findIndex((style) => file.endsWith(`/src/${style}`))
    .toString(26)
    .replaceAll(/\d/g, (digit) => "qrstuvwxyz"[Number(digit)] ?? "");
  return `_${letters}${known.indexOf(name)}`;
}

export default defineConfig(({ command }) => ({
  ...(command === "build" ? { css: { modules: { generateScopedName: shortName } } } : {}),
  define: { "import.meta.env.MODASH_VERSION": JSON.stringify(web.version) },
  plugins: [react(), withoutUnused, slimDescriptor, bareDescriptors],
  server: {
    host: "127.0.0.1",
    port: 3000,
    strictPort: true,
    proxy: {
      "/rpc": backend,
      "/events": backend,
      "/modash.v1.AnalyticsService": backend,
      "/healthz": backend,
    },
  },
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 250,
    // React changes less often than we do: browsers keep it over an update of modash.
    // All else that the first page needs is one file, and so is what each further page
    // needs: what small parts share compresses better together. The first group that
    // fits takes a file with all that it imports.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "react", test: /node_modules\/(react|react-dom|scheduler)\// },
            { name: "first", tags: ["$initial"] },
            // Loaded with most pages.
            {
              name: "tables",
              test: /src\/(components\/(ranked-table|data-table|value-table|marks|rename)|lib\/(cost-words|download)|features\/usage-summary\/cost-tile)/,
            },
            { name: "recent-requests", test: /src\/features\/recent-requests\/recent-requests\./ },
            { name: "throughput", test: /src\/app\/routes\/throughput\./ },
            { name: "requests", test: /src\/app\/routes\/(requests|model)\./ },
            { name: "lists", test: /src\/app\/routes\/(breakdown|models)\./ },
            {
              name: "menus",
              test: /src\/(app\/(help-dialog|[a-z]+-choices)|components\/export-choices|features\/recent-requests\/column-choices)\./,
            },
          ],
        },
      },
    },
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/testing/setup.ts"],
    restoreMocks: true,
    // Several times what the slowest takes beside other work.
    testTimeout: 60_000,
  },
}));
