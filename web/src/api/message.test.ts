import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  UsageSummaryRequestSchema,
  UsageSummaryResponseSchema,
  UsageTimeseriesRequestSchema,
} from "../gen/modash/v1/analytics_service_pb.ts";
import { LiveRequestSchema, Outcome, UsageEventSchema } from "../gen/modash/v1/usage_event_pb.ts";
import { fromMessage, toMessage } from "./message.ts";

test("an answer has plain numbers, names and nulls, as /rpc gives them", () => {
  const event = create(UsageEventSchema, {
    eventId: "e",
    startedAt: { seconds: 1_795_441_353n, nanos: 900_001_999 },
    duration: { seconds: 0n, nanos: 23_795_000 },
    outcome: Outcome.OK,
    promptTokens: 9_007_199_254_740_991n,
    spanId: 0xf0n,
    tags: { team: "search" },
  });
  const shown = fromMessage(UsageEventSchema, event);
  expect(shown).toMatchObject({
    eventId: "e",
    startedAt: 1_795_441_353_900.001,
    duration: 23.795,
    outcome: "OUTCOME_OK",
    promptTokens: 9_007_199_254_740_991,
    completionTokens: null,
    spanId: "00000000000000f0",
    parentSpanId: null,
    tags: { team: "search" },
    stream: false,
    tokenGaps: null,
  });
  const empty = fromMessage(UsageSummaryResponseSchema, create(UsageSummaryResponseSchema));
  expect(empty).toMatchObject({ requests: 0, previous: null });
});

test("a value of a newer contract stays a number", () => {
  const shown = fromMessage(LiveRequestSchema, create(LiveRequestSchema, { phase: 99 as never }));
  expect(shown).toMatchObject({ phase: 99, model: null });
});

test("a request takes names, milliseconds and the one field of a oneof", () => {
  const message = toMessage(UsageTimeseriesRequestSchema, {
    range: { start: 1_500.5, end: undefined },
    bucketSeconds: 60,
    groupBy: { dimension: "DIMENSION_MODEL" },
    filter: { outcomes: ["OUTCOME_OK"], models: ["m"], tags: { team: "a" } },
  });
  expect(message).toMatchObject({
    range: { start: { seconds: 1n, nanos: 500_500_000 } },
    groupBy: { by: { case: "dimension" } },
    filter: { outcomes: [Outcome.OK], models: ["m"] },
  });
});

test("a field that the contract does not have is told", () => {
  expect(() => toMessage(UsageSummaryRequestSchema, { rang: {} })).toThrow(
    "UsageSummaryRequest has no field rang",
  );
});
