// Effect 3 with @effect/rpc.

import { FetchHttpClient, HttpClient, HttpClientRequest } from "@effect/platform";
import { Rpc, RpcClient, RpcGroup, RpcSerialization } from "@effect/rpc";
import { Cause, Effect, Exit, Layer, Schema } from "effect";
import { expect, PAYLOADS, procedures } from "./procedures.mjs";
import { HEADERS } from "./token.mjs";

const group = procedures(Rpc, RpcGroup, Schema);

export function clients(url) {
  const transformClient = HttpClient.mapRequest(HttpClientRequest.setHeaders(HEADERS));
  const layer = (serialization) =>
    RpcClient.layerProtocolHttp({ url: `${url}/rpc`, transformClient }).pipe(
      Layer.provide([FetchHttpClient.layer, serialization]),
    );
  return {
    "Effect 3, JSON": (mode) => check(layer(RpcSerialization.layerJson), mode),
    "Effect 3, lines": (mode) => check(layer(RpcSerialization.layerNdjson), mode),
  };
}

function check(layer, mode) {
  const program = Effect.gen(function* () {
    const client = yield* RpcClient.make(group);
    for (const [name, payload] of Object.entries(PAYLOADS)) {
      const exit = yield* Effect.exit(client[name](payload));
      if (mode === "working") {
        expect(Exit.isSuccess(exit), `${name} succeeds`, exit);
      } else if (mode === "refused") {
        const defect = Exit.isFailure(exit) ? Cause.dieOption(exit.cause) : exit;
        expect(/token/.test(defect.value), `${name} is a defect that names the token`, exit);
      } else {
        const failure = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : exit;
        expect(failure.value?._tag === "DatabaseError", `${name} fails with DatabaseError`, exit);
      }
    }
    if (mode === "refused") return;
    const refused = yield* Effect.exit(client.RecentRequests({ page: 0, pageSize: 25 }));
    const defect = Exit.isFailure(refused) ? Cause.dieOption(refused.cause) : refused;
    expect(/\bpage\b/.test(defect.value ?? ""), "page 0 is a defect that names the field", refused);
    if (mode === "working") {
      const many = Array.from({ length: 40 }, () => client.UsageSummary(PAYLOADS.UsageSummary));
      const answers = yield* Effect.all(many, { concurrency: "unbounded" });
      expect(answers.length === 40, "40 calls at the same time are all answered", answers.length);
    }
    // Last, because it ends all calls of this generation's client.
    const unknown = yield* Effect.exit(client.Nope());
    expect(Exit.isFailure(unknown) && Cause.isDie(unknown.cause), "Nope is a defect", unknown);
  });
  return Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(layer)));
}
