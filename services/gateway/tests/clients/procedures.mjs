// Questions as an application would declare them, for either
// generation of Effect: the two differ in little but the names of modules.

export const PAYLOADS = {
  UsageSummary: { timeZone: "Europe/Vienna", comparePrevious: true },
  UsageTimeseries: { groupBy: { dimension: "DIMENSION_MODEL" }, top: 5 },
  ThroughputTimeseries: {},
  ModelBreakdown: { order: "MODEL_ORDER_TOTAL_TOKENS", limit: 10 },
  RecentRequests: { page: 1, pageSize: 25 },
  ErrorBreakdown: { limit: 10 },
  ListMarks: {},
};

export function procedures(Rpc, RpcGroup, Schema) {
  const { Array: List, NullOr, Number: Num, String: Text, Struct } = Schema;
  const error = Struct({ _tag: Schema.Literal("DatabaseError"), message: Text });
  const percentiles = NullOr(Struct({ p50: NullOr(Num), p95: NullOr(Num) }));
  const any = Schema.Unknown;
  return RpcGroup.make(
    Rpc.make("UsageSummary", {
      payload: { timeZone: Text, comparePrevious: Schema.Boolean },
      success: Struct({
        requests: Num,
        totalTokens: Num,
        inFlightRequests: Num,
        durationMs: percentiles,
        previous: NullOr(any),
        upstreamCostUsd: NullOr(Num),
      }),
      error,
    }),
    Rpc.make("UsageTimeseries", {
      payload: { groupBy: any, top: Num },
      success: Struct({
        bucketSeconds: Num,
        bucketStarts: List(Num),
        series: List(Struct({ key: Text, requests: List(Num), totalTokens: List(Num) })),
      }),
      error,
    }),
    Rpc.make("ThroughputTimeseries", {
      success: Struct({
        bucketStarts: List(Num),
        series: List(Struct({ tokensPerSecond: List(NullOr(Num)), decodeP50: List(NullOr(Num)) })),
      }),
      error,
    }),
    Rpc.make("ModelBreakdown", {
      payload: { order: Text, limit: Num },
      success: Struct({
        rows: List(Struct({ model: Text, requests: Num, share: Num, lastSeenAt: NullOr(Num) })),
      }),
      error,
    }),
    Rpc.make("RecentRequests", {
      payload: { page: Num, pageSize: Num },
      success: Struct({
        rows: List(Struct({ eventId: Text, outcome: Text, promptTokens: NullOr(Num) })),
        total: Num,
        page: Num,
      }),
      error,
    }),
    Rpc.make("ErrorBreakdown", {
      payload: { limit: Num },
      success: Struct({
        rows: List(Struct({ outcome: Text, errorType: NullOr(Text), requests: Num })),
        failedRequests: Num,
      }),
      error,
    }),
    Rpc.make("ListMarks", {
      success: Struct({ marks: List(Struct({ text: Text, markedAt: NullOr(Num) })) }),
      error,
    }),
    Rpc.make("Nope", { success: any, error }),
  );
}

export function expect(holds, what, seen) {
  if (!holds) {
    throw new Error(`${what}; got ${typeof seen === "string" ? seen : JSON.stringify(seen)}`);
  }
}
