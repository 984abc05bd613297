import { expect, test, vi } from "vitest";
import {
  bucketSeconds,
  buckets,
  rangeLabel,
  resolve,
  spanLabel,
  spanOf,
  wallTime,
  wholeOnly,
  zoneOffset,
} from "./time-range.ts";

const NOW = Date.UTC(2026, 10, 23, 14, 5);
const iso = (at: number) => new Date(at).toISOString();

test("a range resolves against now, and a broken one to the last day", () => {
  expect(resolve({ from: "-1h", to: "now" }, NOW)).toEqual({ start: NOW - 3_600_000, end: NOW });
  expect(resolve({ from: "-1mo", to: "now" }, NOW)).toEqual({ start: NOW - 86_400_000, end: NOW });
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
  expect(spanLabel({ from: "-90m", to: "now" }, "UTC")).toBe("Last 90 minutes");
  expect(spanLabel({ from: iso(NOW - 3_600_000), to: iso(NOW) }, "UTC")).toMatch(/Nov 23, 13:05.+14:05/);
});

test("a wall clock is one moment in each zone", () => {
  const wall = Date.UTC(2026, 10, 23, 8);
  expect(iso(wallTime(wall, "Asia/Kolkata"))).toBe("2026-11-23T02:30:00.000Z");
  expect(iso(wallTime(wall, "America/New_York"))).toBe("2026-11-23T13:00:00.000Z");
});

test.each(["ar-EG", "fa-IR", "bn-BD", "mr-IN"])("moments are the same to readers of %s", async (locale) => {
  const { DateTimeFormat } = Intl;
  vi.stubGlobal("Intl", {
    ...Intl,
    NumberFormat: Intl.NumberFormat,
    DateTimeFormat: function format(given: string | undefined, options: Intl.DateTimeFormatOptions) {
      return new DateTimeFormat(given ?? locale, options);
    },
  });
  vi.resetModules();
  const fresh = await import("./time-range.ts");
  const { timeMarks } = await import("./axis.ts");
  const { zoneLabel } = await import("./format.ts");
  expect(fresh.zoneOffset(NOW, "Asia/Kathmandu")).toBe(5.75 * 3_600_000);
  expect(timeMarks({ start: NOW - 86_400_000, end: NOW }, 8, "Asia/Kolkata")).toHaveLength(8);
  expect(zoneLabel("Asia/Kolkata", NOW)).toBe("UTC+5:30");
});

test("buckets are as wide as their days and hours", () => {
  const day = (text: string) => Date.parse(text);
  const zone = "Europe/Berlin";
  // Clocks are put back on Oct 25.
  const starts = ["2026-10-23T22:00Z", "2026-10-24T22:00Z"].map(day);
  const asked = { start: starts[0] ?? 0, end: day("2026-10-25T23:00Z") };
  const { ends, range } = buckets({ bucketStarts: starts, bucketSeconds: 86_400 }, asked, zone);
  expect(ends.map(iso)).toEqual(["2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z"]);
  expect(iso(range.end)).toBe("2026-10-25T23:00:00.000Z");
  // Half an hour in Lord Howe, put forward on Oct 4.
  const howe = { bucketStarts: [day("2026-10-03T13:30Z")], bucketSeconds: 86_400 };
  expect(buckets(howe, asked, "Australia/Lord_Howe").ends.map(iso)).toEqual(["2026-10-04T13:00:00.000Z"]);
});

test("the first and the last bucket are partial where the range cuts them", () => {
  const data = { bucketStarts: [0, 900_000, 1_800_000], bucketSeconds: 900 };
  expect(buckets(data, { start: 300_000, end: 2_000_000 }, "UTC").partial).toEqual([true, false, true]);
  expect(buckets(data, { start: 0, end: 2_700_000 }, "UTC").partial).toEqual([false, false, false]);
});

test("labels of long ranges have days and, of other years, the year", () => {
  const label = (from: string, to: string) => rangeLabel(Date.parse(from), Date.parse(to), "UTC", NOW);
  expect(label("2026-11-01T00:00Z", "2026-11-08T00:00Z")).toMatch(/^Nov 1\s–\s7$/);
  expect(label("2026-11-23T00:00Z", "2026-11-24T00:00Z")).toBe("Nov 23");
  expect(label("2025-11-23T00:00Z", "2025-11-24T00:00Z")).toBe("Nov 23, 2025");
});

test("an offset has no part of a second", () =>
  expect(zoneOffset(NOW + 123, "Asia/Kolkata")).toBe(19_800_000));

test("values of partial buckets are left out unless they are all there is", () => {
  expect(wholeOnly([1, 2, 3], [true, false, true])).toEqual([null, 2, null]);
  expect(wholeOnly([0, 0, 3], [false, false, true])).toEqual([0, 0, 3]);
});
