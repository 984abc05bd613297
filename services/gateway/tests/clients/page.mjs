// What chromium.mjs runs in its page: clients of Connect and grpc-web for browsers. The
// service is read from the descriptors that the test put beside the page. With the URL of
// analytics, grpc-web asks it without the gateway.

import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { check, showing } from "./calls.mjs";

globalThis.run = async (mode, token, analytics) => {
  const image = await (await fetch("/contract.binpb")).arrayBuffer();
  const set = fromBinary(FileDescriptorSetSchema, new Uint8Array(image));
  const service = createFileRegistry(set).getService("modash.v1.AnalyticsService");
  const options = { baseUrl: location.origin, interceptors: [showing(token)] };
  const json = createConnectTransport({ ...options, useBinaryFormat: false });
  await check(createClient(service, json), mode, false);
  for (const baseUrl of [location.origin, analytics].filter(Boolean)) {
    await check(createClient(service, createGrpcWebTransport({ ...options, baseUrl })), mode, true);
  }
};
