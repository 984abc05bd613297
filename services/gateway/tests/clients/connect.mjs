// Connect clients: JSON over the Connect protocol, and grpc-web as a browser
// and as node speak it; at analytics itself grpc-web and gRPC. The service is read
// from the .proto files.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { check, showing } from "./calls.mjs";
import { TOKEN } from "./token.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const image = execFileSync(
  process.execPath,
  [here("node_modules/@bufbuild/buf/bin/buf"), "build", here("../../../../proto"), "-o", "-#format=binpb"],
  { maxBuffer: 16 * 1024 * 1024 },
);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
const service = registry.getService("modash.v1.AnalyticsService");

export function clients(url) {
  const binary = { baseUrl: url, interceptors: [showing(TOKEN)] };
  const json = { ...binary, useBinaryFormat: false };
  const client = (transport) => createClient(service, transport);
  return {
    "Connect, JSON, node": (mode) =>
      check(client(node.createConnectTransport({ ...json, httpVersion: "1.1" })), mode, false),
    "Connect, JSON, HTTP/2": (mode) =>
      check(client(node.createConnectTransport({ ...json, httpVersion: "2" })), mode, false),
    "Connect, JSON, fetch": (mode) =>
      check(client(web.createConnectTransport(json)), mode, false),
    ...grpcWeb(client, binary),
  };
}

/** Those that analytics answers without a gateway. */
export function clientsOfAnalytics(url) {
  const binary = { baseUrl: url, interceptors: [showing(TOKEN)] };
  const client = (transport) => createClient(service, transport);
  return {
    "gRPC, HTTP/2": (mode) => check(client(node.createGrpcTransport(binary)), mode, true),
    ...grpcWeb(client, binary),
  };
}

const grpcWeb = (client, binary) => ({
  "grpc-web, node": (mode) =>
    check(client(node.createGrpcWebTransport({ ...binary, httpVersion: "1.1" })), mode, true),
  "grpc-web, HTTP/2": (mode) =>
    check(client(node.createGrpcWebTransport({ ...binary, httpVersion: "2" })), mode, true),
  "grpc-web, fetch": (mode) => check(client(web.createGrpcWebTransport(binary)), mode, true),
});
