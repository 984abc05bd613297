import { expectTypeOf, test } from "vitest";
import type { Filter, Payload, ThroughputTimeseries, UsageEvent, UsageSummary } from "./types.ts";

test("answers are the contract's messages with plain numbers, names and nulls", () => {
  expectTypeOf<UsageSummary["requests"]>().toEqualTypeOf<number>();
  expectTypeOf<UsageSummary["upstreamCostUsd"]>().toEqualTypeOf<number | null>();
  expectTypeOf<NonNullable<UsageSummary["previous"]>["requests"]>().toEqualTypeOf<number>();
  expectTypeOf<UsageEvent["promptTokens"]>().toEqualTypeOf<number | null>();
  expectTypeOf<UsageEvent["startedAt"]>().toEqualTypeOf<number | null>();
  expectTypeOf<UsageEvent["spanId"]>().toEqualTypeOf<string | null>();
  expectTypeOf<UsageEvent["tags"]>().toEqualTypeOf<{ [key: string]: string }>();
  expectTypeOf<"OUTCOME_OK">().toExtend<UsageEvent["outcome"]>();
  expectTypeOf<UsageEvent["outcome"]>().toExtend<string>();
  expectTypeOf<ThroughputTimeseries["series"][number]["decodeP50"]>().toEqualTypeOf<(number | null)[]>();
  expectTypeOf<ThroughputTimeseries["bucketStarts"]>().toEqualTypeOf<number[]>();
});

test("requests may leave fields out and name enums", () => {
  expectTypeOf<Filter["outcomes"]>().toExtend<string[] | undefined>();
  expectTypeOf<{ groupBy: { dimension: "DIMENSION_MODEL" } }>().toExtend<Payload<"UsageTimeseries">>();
  expectTypeOf<{ range: { start: number } }>().toExtend<Payload<"UsageSummary">>();
});
