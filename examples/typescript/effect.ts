// Yesterday's tokens by model over Effect RPC, then requests as they happen as server-sent
// events. MODASH_URL is the gateway. With Effect 4 the imports are effect/rpc and effect/http.

import {
  FetchHttpClient,
  HttpClient,
  HttpClientRequest,
  HttpClientResponse,
} from "@effect/platform";
import { Rpc, RpcClient, RpcGroup, RpcSerialization } from "@effect/rpc";
import { Console, Effect, Layer, Schema, Stream } from "effect";
import { authorization } from "./token.ts";

const url = process.env.MODASH_URL ?? "http://127.0.0.1:4006";

// Declares what is used of the contract; answers may have more fields. Times are
// milliseconds since 1970.
class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  message: Schema.String,
}) {}

const Queries = RpcGroup.make(
  Rpc.make("ModelBreakdown", {
    payload: {
      range: Schema.Struct({ start: Schema.Number, end: Schema.Number }),
      order: Schema.String,
    },
    success: Schema.Struct({
      rows: Schema.Array(Schema.Struct({ model: Schema.String, totalTokens: Schema.Number })),
    }),
    error: DatabaseError,
  }),
);

const LiveRequest = Schema.Struct({
  phase: Schema.String,
  model: Schema.NullOr(Schema.String),
  eventId: Schema.String,
});

// In `usage-updated`, requests is a number.
const Change = Schema.parseJson(
  Schema.Struct({
    requests: Schema.optional(Schema.Union(Schema.Array(LiveRequest), Schema.Number)),
  }),
);

const Http = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(
    HttpClient.HttpClient,
    HttpClient.mapRequest(HttpClientRequest.setHeaders(authorization())),
  ),
).pipe(Layer.provide(FetchHttpClient.layer));

const Protocol = RpcClient.layerProtocolHttp({ url: `${url}/rpc` }).pipe(
  Layer.provide([Http, RpcSerialization.layerNdjson]),
);

const program = Effect.gen(function* () {
  const modash = yield* RpcClient.make(Queries);
  const today = new Date().setUTCHours(0, 0, 0, 0);
  const range = { start: today - 86_400_000, end: today };
  const { rows } = yield* modash.ModelBreakdown({ range, order: "MODEL_ORDER_TOTAL_TOKENS" });
  yield* Console.log("tokens of yesterday (UTC) by model");
  for (const { model, totalTokens } of rows) {
    yield* Console.log(`${String(totalTokens).padStart(12)}  ${model}`);
  }

  yield* Console.log("requests as they happen");
  const http = HttpClient.filterStatusOk(yield* HttpClient.HttpClient);
  yield* HttpClientResponse.stream(http.get(`${url}/events`)).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.filter((line) => line.startsWith("data: ")),
    Stream.mapEffect((line) => Schema.decode(Change)(line.slice("data: ".length))),
    Stream.flatMap(({ requests }) =>
      Stream.fromIterable(typeof requests === "object" ? requests : []),
    ),
    Stream.runForEach(({ phase, model, eventId }) =>
      Console.log(`${phase.slice(14).toLowerCase().padStart(12)}  ${model ?? "-"}  ${eventId}`),
    ),
  );
});

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([Protocol, Http])));
