// Yesterday's tokens by model, then requests as they happen, over gRPC with Connect.
// MODASH_URL is analytics. The types are generated from the contract: npm run generate.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AnalyticsService, ModelOrder, Topic } from "./gen/modash/v1/analytics_service_pb.ts";
import { type LiveRequest, RequestPhase } from "./gen/modash/v1/usage_event_pb.ts";
import { authorization } from "./token.ts";

const withToken: Interceptor = (next) => (request) => {
  for (const [name, value] of Object.entries(authorization())) request.header.set(name, value);
  return next(request);
};
const baseUrl = process.env.MODASH_URL ?? "http://127.0.0.1:4007";
const modash = createClient(
  AnalyticsService,
  createGrpcTransport({ baseUrl, interceptors: [withToken] }),
);

const today = new Date().setUTCHours(0, 0, 0, 0);
const yesterday = await modash.modelBreakdown({
  range: { start: timestampFromMs(today - 86_400_000), end: timestampFromMs(today) },
  order: ModelOrder.TOTAL_TOKENS,
});
console.log("tokens of yesterday (UTC) by model");
for (const { model, totalTokens } of yesterday.rows) {
  console.log(`${String(totalTokens).padStart(12)}  ${model}`);
}

console.log("requests as they happen");
for await (const { message } of modash.subscribe({ topics: [Topic.REQUEST_STATE] })) {
  if (message.case === "connected" || message.case === "requestStateUpdated") {
    message.value.requests.forEach(show);
  }
}

function show({ phase, model, eventId }: LiveRequest) {
  const name = RequestPhase[phase].toLowerCase().padStart(12);
  console.log(`${name}  ${model ?? "-"}  ${eventId}`);
}
