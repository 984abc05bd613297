import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// Tests read numbers and times as people in one place see them; worker
// processes inherit this before their ICU starts.
if (process.env.VITEST) Object.assign(process.env, { LC_ALL: "en_US.UTF-8", TZ: "UTC" });

const backend = { target: process.env.MODASH_BACKEND ?? "http://127.0.0.1:4005", changeOrigin: false };

/** gRPC-Web speaks binary only; the JSON form of messages, which its library can do as well, stays out. */
const withoutJson: Plugin = {
  name: "without-json",
  apply: "build",
  load: (id) => {
    const [, way] = /@bufbuild\/protobuf\/dist\/esm\/(from|to)-json\.js$/.exec(id) ?? [];
    if (!way) return null;
    const names = way === "from" ? FROM_JSON : TO_JSON;
    return names
      .map((name) => `export function ${name}() { throw new Error("JSON is left out of this build"); }`)
      .join("\n");
  },
};
const FROM_JSON = [
  "fromJson",
  "mergeFromJson",
  "fromJsonString",
  "mergeFromJsonString",
  "enumFromJson",
  "isEnumJson",
];
const TO_JSON = ["toJson", "toJsonString", "enumToJson"];

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

export default defineConfig({
  plugins: [react(), withoutJson, bareDescriptors],
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
    // All else that the first page needs is one file, which compresses best.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "react", test: /node_modules\/(react|react-dom|scheduler)\// },
            { name: "first", tags: ["$initial"] },
            // What small parts share compresses better together.
            { name: "menus", test: /src\/app\/(help-dialog|[a-z]+-choices)\./ },
            {
              name: "tables",
              test: /src\/(components\/(ranked|data)-table|lib\/cost-words|features\/usage-summary\/cost-tile)/,
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
});
