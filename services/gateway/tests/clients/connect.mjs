// Connect clients: JSON over the Connect protocol, and grpc-web as a browser
// and as node speak it. The service is read from the .proto files.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { expect } from "./procedures.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const image = execFileSync(
  process.execPath,
  [here("node_modules/@bufbuild/buf/bin/buf"), "build", here("../../../../proto"), "-o", "-#format=binpb"],
  { maxBuffer: 16 * 1024 * 1024 },
);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
const service = registry.getService("modash.v1.AnalyticsService");

const REQUESTS = {
  usageSummary: { timeZone: "Europe/Vienna" },
  usageTimeseries: { top: 5 },
  throughputTimeseries: {},
  modelBreakdown: { limit: 10 },
  recentRequests: { page: 1, pageSize: 25 },
};

export function clients(url) {
  const baseUrl = url;
  const json = { baseUrl, useBinaryFormat: false };
  const client = (transport) => createClient(service, transport);
  return {
    "Connect, JSON, node": (mode) =>
      check(client(node.createConnectTransport({ ...json, httpVersion: "1.1" })), mode, false),
    "Connect, JSON, HTTP/2": (mode) =>
      check(client(node.createConnectTransport({ ...json, httpVersion: "2" })), mode, false),
    "Connect, JSON, fetch": (mode) =>
      check(client(web.createConnectTransport(json)), mode, false),
    "grpc-web, node": (mode) =>
      check(client(node.createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })), mode, true),
    "grpc-web, HTTP/2": (mode) =>
      check(client(node.createGrpcWebTransport({ baseUrl, httpVersion: "2" })), mode, true),
    "grpc-web, fetch": (mode) => check(client(web.createGrpcWebTransport({ baseUrl })), mode, true),
  };
}

async function check(client, mode, streams) {
  for (const [name, request] of Object.entries(REQUESTS)) {
    const answer = await outcome(client[name](request));
    if (mode === "working") {
      expect(!(answer instanceof ConnectError), `${name} succeeds`, String(answer));
      if (name === "usageSummary") {
        expect(typeof answer.requests === "bigint", "counts are 64-bit", typeof answer.requests);
      }
    } else {
      const code = mode === "away" ? Code.Unavailable : Code.Internal;
      expect(answer.code === code, `${name} fails with ${Code[code]}`, String(answer));
      expect(answer.rawMessage.length > 0, "the failure has a message", answer.rawMessage);
    }
  }
  if (mode === "working") {
    const refused = await outcome(client.recentRequests({ page: 0, pageSize: 25 }));
    expect(refused.code === Code.InvalidArgument, "page 0 is refused", String(refused));
    expect(/\bpage\b/.test(refused.rawMessage), "the refusal names the field", refused.rawMessage);
    expect(refused.details.length === 1, "the refusal has details", refused.details);
  }
  if (streams && mode !== "away") {
    await subscribe(client);
  }
}

/** The first event comes within 5 s, and leaving ends the stream. */
async function subscribe(client) {
  const leave = new AbortController();
  const late = setTimeout(() => leave.abort(new Error("no event within 5 s")), 5_000);
  let first;
  try {
    for await (const event of client.subscribe({}, { signal: leave.signal })) {
      first = event.message.case;
      break;
    }
  } finally {
    clearTimeout(late);
    leave.abort();
  }
  expect(first === "connected", "the first event is connected", first);
}

const outcome = (call) => call.catch((error) => ConnectError.from(error));
