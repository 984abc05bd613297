import { expect, test } from "vitest";
import { parseSpan } from "./parse-span.ts";

/** A Monday. */
const NOW = Date.UTC(2026, 10, 23, 14, 5);
const parse = (typed: string, zone = "UTC") => parseSpan(typed, zone, NOW);

test.each([
  ["90m", "-90m"],
  ["3d", "-3d"],
  ["2 hours", "-2h"],
  ["-1w", "-1w"],
  ["1.5h", "-1.5h"],
  ["last hour", "-1h"],
  ["last 7 days", "-7d"],
  ["past 30 min", "-30m"],
])("%s is a span that ends now", (typed, from) => {
  expect(parse(typed)).toEqual({ from, to: "now" });
});

test.each([
  ["1mo", "2026-10-23T14:05"],
  ["last 3 months", "2026-08-23T14:05"],
  ["today", "2026-11-23T00:00"],
  ["Nov 23", "2026-11-23T00:00"],
  ["this week", "2026-11-23T00:00"],
  ["this month", "2026-11-01T00:00"],
  ["since Nov 20", "2026-11-20T00:00"],
  ["since 13:00", "2026-11-23T13:00"],
  ["2026-11-07 to now", "2026-11-07T00:00"],
])("%s begins at a moment and ends now", (typed, from) => {
  expect(parse(typed)).toEqual({ from: `${from}:00.000Z`, to: "now" });
});

test.each([
  ["yesterday", "2026-11-22T00:00", "2026-11-23T00:00"],
  ["last week", "2026-11-16T00:00", "2026-11-23T00:00"],
  ["last month", "2026-10-01T00:00", "2026-11-01T00:00"],
  ["Nov 7", "2026-11-07T00:00", "2026-11-08T00:00"],
  ["7 November 2025", "2025-11-07T00:00", "2025-11-08T00:00"],
  ["Nov 27", "2025-11-27T00:00", "2025-11-28T00:00"],
  ["sunday", "2026-11-22T00:00", "2026-11-23T00:00"],
  ["2026-11-07", "2026-11-07T00:00", "2026-11-08T00:00"],
  ["13:00 to 14:00", "2026-11-23T13:00", "2026-11-23T14:00"],
  ["14:00 to 15:00", "2026-11-23T14:00", "2026-11-23T15:00"],
  ["15:00 to 16:00", "2026-11-22T15:00", "2026-11-22T16:00"],
  ["22:00-02:00", "2026-11-22T22:00", "2026-11-23T02:00"],
  ["yesterday 22:00 to 23:30", "2026-11-22T22:00", "2026-11-22T23:30"],
  ["Nov 1 - Nov 7", "2026-11-01T00:00", "2026-11-08T00:00"],
  ["2026-11-01 – 2026-11-07", "2026-11-01T00:00", "2026-11-08T00:00"],
  ["2026-11-01 14:00 to 2026-11-02", "2026-11-01T14:00", "2026-11-03T00:00"],
])("%s has two ends", (typed, from, to) => {
  expect(parse(typed)).toEqual({ from: `${from}:00.000Z`, to: `${to}:00.000Z` });
});

test("days are those of the zone", () => {
  expect(parse("yesterday", "Asia/Tokyo")).toEqual({
    from: "2026-11-21T15:00:00.000Z",
    to: "2026-11-22T15:00:00.000Z",
  });
  expect(parse("2026-11-01 to 2026-11-07", "Europe/Vienna")).toEqual({
    from: "2026-10-31T23:00:00.000Z",
    to: "2026-11-07T23:00:00.000Z",
  });
});

test("a day on which clocks change has its own length", () => {
  const span = parse("2026-10-25", "Europe/Vienna");
  expect(Date.parse(span?.to ?? "") - Date.parse(span?.from ?? "")).toBe(25 * 3_600_000);
});

test.each([
  "",
  "soon",
  "0m",
  "3 fortnights",
  "1y",
  "h",
  "14:00",
  "25:00 to 26:00",
  "2026-13-01",
  "2026-02-30",
  "11/27",
  "Nov 31",
  "marble 3",
  "2026-11-07 to 2026-11-01",
  "2026-12-01 to 2026-12-02",
  "a - b",
  "Nov 1 - Nov 2 - Nov 3",
  "900d",
])("%s is refused", (typed) => {
  expect(parse(typed)).toBeNull();
});
