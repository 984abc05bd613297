import { expect, test } from "vitest";
import { bucketSeconds, parseSpan, resolve, spanLabel, spanOf, wallTime } from "./time-range.ts";

const NOW = Date.UTC(2026, 10, 23, 14, 5);
const iso = (at: number) => new Date(at).toISOString();

test.each([
  ["90m", "-90m"],
  ["3d", "-3d"],
  ["2 hours", "-2h"],
  ["-1w", "-1w"],
])("%s is a span that ends now", (typed, from) => {
  expect(parseSpan(typed, "UTC", NOW)).toEqual({ from, to: "now" });
});

test("days are those of the zone", () => {
  expect(parseSpan("yesterday", "Asia/Tokyo", NOW)).toEqual({
    from: "2026-11-21T15:00:00.000Z",
    to: "2026-11-22T15:00:00.000Z",
  });
  expect(parseSpan("2026-11-01 to 2026-11-07", "Europe/Vienna", NOW)).toEqual({
    from: "2026-10-31T23:00:00.000Z",
    to: "2026-11-07T23:00:00.000Z",
  });
});

test("a day on which clocks change has its own length", () => {
  const span = parseSpan("2026-10-25 to 2026-10-25", "Europe/Vienna", NOW);
  expect(Date.parse(span?.to ?? "") - Date.parse(span?.from ?? "")).toBe(25 * 3_600_000);
});

test.each(["", "soon", "0m", "2026-13-01", "2026-11-07 to 2026-11-01", "900d"])(
  "%s is not understood",
  (typed) => {
    expect(parseSpan(typed, "UTC", NOW)).toBeNull();
  },
);

test("a range resolves against now, and a broken one to the last day", () => {
  expect(resolve({ from: "-1h", to: "now" }, NOW)).toEqual({ start: NOW - 3_600_000, end: NOW });
  expect(resolve({ from: "nonsense", to: "now" }, NOW)).toEqual({ start: NOW - 86_400_000, end: NOW });
  expect(resolve({ from: iso(NOW), to: iso(NOW - 1) }, NOW)).toEqual({ start: NOW - 86_400_000, end: NOW });
});

test("buckets are narrow enough to see and few enough to draw", () => {
  for (const span of ["-5m", "-1h", "-24h", "-7d", "-90d", "-400d"]) {
    const width = bucketSeconds(resolve({ from: span, to: "now" }, NOW));
    const buckets = (spanOf(span) ?? 0) / 1e3 / width;
    expect(buckets).toBeGreaterThan(25);
    expect(buckets).toBeLessThanOrEqual(120);
  }
});

test("ranges have names", () => {
  expect(spanLabel({ from: "-24h", to: "now" }, "UTC")).toBe("Last 24 hours");
  expect(spanLabel({ from: "-90m", to: "now" }, "UTC")).toBe("Last 90m");
  expect(spanLabel({ from: iso(NOW - 3_600_000), to: iso(NOW) }, "UTC")).toMatch(/Nov 23, 13:05.+14:05/);
});

test("a wall clock is one moment in each zone", () => {
  const wall = Date.UTC(2026, 10, 23, 8);
  expect(iso(wallTime(wall, "Asia/Kolkata"))).toBe("2026-11-23T02:30:00.000Z");
  expect(iso(wallTime(wall, "America/New_York"))).toBe("2026-11-23T13:00:00.000Z");
});
