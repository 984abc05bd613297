import { expect, test } from "vitest";
import { comparedRange, readCompare } from "./compare.ts";

test("the range before is as long and ends where this one begins", () => {
  expect(comparedRange({ start: 1_000, end: 3_000 }, "prev", "UTC")).toEqual({ start: -1_000, end: 1_000 });
});

test("last week is by the clocks of the zone, also across a change of them", () => {
  const [start, end] = ["2026-10-27T08:00Z", "2026-10-27T09:00Z"].map((text) => Date.parse(text));
  const before = comparedRange({ start: start ?? 0, end: end ?? 0 }, "week", "Europe/Berlin");
  expect(new Date(before.start).toISOString()).toBe("2026-10-20T07:00:00.000Z");
  expect(new Date(before.end).toISOString()).toBe("2026-10-20T08:00:00.000Z");
});

test("the URL says with what, and the range before if it says nothing", () => {
  expect([null, "off", "week", "odd"].map(readCompare)).toEqual(["prev", "off", "week", "prev"]);
});
