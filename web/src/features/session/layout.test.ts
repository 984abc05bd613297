import { expect, test } from "vitest";
import type { UsageEvent } from "../../api/types.ts";
import { event, NOON } from "../../testing/fixtures.ts";
import { growthOf, layOut } from "./layout.ts";

/** A request that starts and ends so many seconds after noon. */
const ran = (from: number, to: number, change: Partial<UsageEvent> = {}) =>
  event({ startedAt: NOON + from * 1e3, duration: (to - from) * 1e3, firstToken: 500, ...change });
const lanes = (events: UsageEvent[]) => layOut(events).bars.map(({ lane }) => lane);

test("requests one after the other share a lane, and those side by side have their own", () => {
  expect(lanes([ran(0, 2), ran(2, 4), ran(5, 6)])).toEqual([0, 0, 0]);
  expect(layOut([ran(0, 10), ran(1, 4), ran(2, 5), ran(6, 8)]).lanes).toBe(3);
  const { bars } = layOut([ran(0, 10), ran(1, 4), ran(2, 5), ran(6, 8)]);
  for (const a of bars)
    for (const b of bars)
      if (a !== b && a.lane === b.lane) expect(a.end <= b.start || b.end <= a.start).toBe(true);
});

test("a sub-agent that goes on keeps its lane, also while the agent's lane is free", () => {
  const main = (from: number, to: number, promptTokens: number) => ran(from, to, { promptTokens });
  const sub = (from: number, to: number, promptTokens: number) =>
    ran(from, to, { promptTokens, model: "small" });
  // The agent waits for its two sub-agents.
  const events = [
    main(0, 4, 40_000),
    sub(5, 8, 2_000),
    sub(5, 9, 3_000),
    sub(9, 12, 2_400),
    sub(10, 13, 3_500),
    main(14, 16, 44_000),
    main(15, 17, 1_000),
    main(15, 18, 1_000),
  ];
  const placed = lanes(events);
  expect(placed[5]).toBe(placed[0]);
  expect(placed[3]).toBe(placed[1]);
  expect(placed[4]).toBe(placed[2]);
  expect(new Set(placed.slice(0, 3)).size).toBe(3);
});

test("an agent whose sub-agent runs alone has its lane back afterwards, and a compaction is no sub-agent", () => {
  const turn = (at: number, promptTokens: number) => ran(at, at + 1, { promptTokens });
  // Two sub-agents, one after the other, share a lane: the first one is over.
  const steps = [
    turn(0, 40_000),
    turn(2, 3_000),
    turn(4, 4_000),
    turn(6, 41_000),
    turn(8, 2_000),
    turn(10, 43_000),
  ];
  expect(lanes(steps)).toEqual([0, 1, 1, 0, 1, 0]);
  expect(lanes([turn(0, 140_000), turn(2, 150_000), turn(4, 20_000), turn(6, 24_000)])).toEqual([0, 0, 0, 0]);
  // Prompts of any length do not open lanes without end.
  const mixed = Array.from({ length: 60 }, (_, at) => turn(at * 2, 1_000 * 2 ** ((at * 7) % 11)));
  expect(layOut(mixed).lanes).toBe(3);
});

test("a failure that is repeated soon with the same model is a retry, and nothing else is", () => {
  const failed = { outcome: "OUTCOME_HTTP_ERROR", status: 429 } as const;
  const retries = (events: UsageEvent[]) => layOut(events).bars.map(({ retryOf }) => retryOf);
  expect(retries([ran(0, 1, failed), ran(3, 5)])).toEqual([null, 0]);
  expect(retries([ran(0, 1, failed), ran(12, 15)])).toEqual([null, null]);
  expect(retries([ran(0, 1, failed), ran(2, 3, { modelRequested: "other" }), ran(4, 6)])).toEqual([
    null,
    null,
    0,
  ]);
  // Each failure has one retry of its own.
  expect(retries([ran(0, 1, failed), ran(2, 3, failed), ran(5, 9)])).toEqual([null, 0, 1]);
  // What the client broke off did not fail; what began before the end repeats nothing.
  expect(retries([ran(0, 1, { outcome: "OUTCOME_CLIENT_CLOSED" }), ran(2, 3)])).toEqual([null, null]);
  expect(retries([ran(0, 4, failed), ran(2, 5)])).toEqual([null, null]);
});

test("gaps are where nothing ran", () => {
  const { gaps, start, end } = layOut([ran(0, 4), ran(1, 2), ran(10, 12), ran(12, 13)]);
  expect(gaps).toEqual([{ start: NOON + 4_000, end: NOON + 10_000 }]);
  expect([start, end]).toEqual([NOON, NOON + 13_000]);
  expect(layOut([]).bars).toEqual([]);
});

test("the context of a lane stays until its next request, and unknown costs add nothing", () => {
  const cost = (nanoUsd: number | null) => ({
    source: nanoUsd === null ? ("COST_SOURCE_UNKNOWN" as const) : ("COST_SOURCE_TABLE" as const),
    nanoUsd,
    cacheSavingNanoUsd: null,
    provider: null,
    priceVersion: null,
  });
  const layout = layOut([
    ran(0, 2, { promptTokens: 100, cachedPromptTokens: 0, cost: cost(null) }),
    ran(1, 3, { promptTokens: 9_000, cachedPromptTokens: null, cost: cost(5) }),
    ran(4, 5, { promptTokens: 130, cachedPromptTokens: 90, cost: cost(7) }),
    ran(6, 7, { promptTokens: null, cachedPromptTokens: null, cost: cost(null) }),
  ]);
  const { lanes, cost: paid } = growthOf(layout, 5);
  expect(paid).toEqual([null, 5, 12, 12]);
  expect(lanes[0]?.prompt).toEqual([100, 100, 130, 130]);
  expect(lanes[0]?.cached).toEqual([0, 0, 90, 90]);
  expect(lanes[1]?.prompt).toEqual([null, 9_000, null, null]);
  // Of many lanes those with the longest prompts are drawn.
  expect(growthOf(layout, 1).lanes.map(({ lane }) => lane)).toEqual([1]);
});

test("2,000 requests are laid out at once", () => {
  const events = Array.from({ length: 2_000 }, (_, at) =>
    ran(at, at + 1 + (at % 7), at % 9 ? {} : { outcome: "OUTCOME_HTTP_ERROR" }),
  );
  const { bars, lanes: count } = layOut(events);
  expect(bars).toHaveLength(2_000);
  expect(count).toBe(4);
});
