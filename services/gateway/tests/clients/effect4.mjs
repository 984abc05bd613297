// Effect 4, where RPC is part of the library.

import * as Cause from "effect4/Cause";
import * as Effect from "effect4/Effect";
import * as Exit from "effect4/Exit";
import * as Layer from "effect4/Layer";
import * as Schema from "effect4/Schema";
import * as FetchHttpClient from "effect4/http/FetchHttpClient";
import * as HttpClient from "effect4/http/HttpClient";
import * as HttpClientRequest from "effect4/http/HttpClientRequest";
import { Rpc, RpcClient, RpcGroup, RpcSerialization } from "effect4/rpc";
import { expect, PAYLOADS, procedures } from "./procedures.mjs";
import { HEADERS } from "./token.mjs";

const group = procedures(Rpc, RpcGroup, Schema);

export function clients(url) {
  const transformClient = HttpClient.mapRequest(HttpClientRequest.setHeaders(HEADERS));
  const layer = (serialization, batch) =>
    RpcClient.layerProtocolHttp({ url: `${url}/rpc`, batch, transformClient }).pipe(
      Layer.provide([FetchHttpClient.layer, serialization]),
    );
  const batch = { window: "20 millis", maxSize: 50 };
  const { layerJson, layerNdjson } = RpcSerialization;
  return {
    "Effect 4, JSON": (mode) => check(layer(layerJson), mode),
    "Effect 4, JSON, batched": (mode) => check(layer(layerJson, batch), mode),
    "Effect 4, lines": (mode) => check(layer(layerNdjson), mode),
    "Effect 4, lines, batched": (mode) => check(layer(layerNdjson, batch), mode),
  };
}

const reasons = (exit, tag) =>
  Exit.isFailure(exit) ? exit.cause.reasons.filter((reason) => reason._tag === tag) : [];

function check(layer, mode) {
  const program = Effect.gen(function* () {
    const client = yield* RpcClient.make(group);
    for (const [name, payload] of Object.entries(PAYLOADS)) {
      const exit = yield* Effect.exit(client[name](payload));
      if (mode === "working") {
        expect(Exit.isSuccess(exit), `${name} succeeds`, show(exit));
      } else if (mode === "refused") {
        const [defect] = reasons(exit, "Die");
        const named = /token/.test(String(defect?.defect));
        expect(named, `${name} is a defect that names the token`, show(exit));
      } else {
        const [failure] = reasons(exit, "Fail");
        expect(failure?.error._tag === "DatabaseError", `${name} fails as declared`, show(exit));
      }
    }
    if (mode === "refused") return;
    const refused = yield* Effect.exit(client.RecentRequests({ page: 0, pageSize: 25 }));
    const [defect] = reasons(refused, "Die");
    const names = /\bpage\b/.test(String(defect?.defect));
    expect(names, "page 0 is a defect that names the field", show(refused));
    const unknown = yield* Effect.exit(client.Nope());
    expect(reasons(unknown, "Die").length === 1, "Nope is a defect", show(unknown));
    if (mode === "working") {
      const many = Array.from({ length: 40 }, () => client.UsageSummary(PAYLOADS.UsageSummary));
      const answers = yield* Effect.all(many, { concurrency: "unbounded" });
      expect(answers.length === 40, "40 calls at the same time are all answered", answers.length);
    }
  });
  return Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(layer)));
}

const show = (exit) => (Exit.isFailure(exit) ? Cause.pretty(exit.cause) : JSON.stringify(exit));
