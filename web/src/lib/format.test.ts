import { describe, expect, test } from "vitest";
import {
  ago,
  bytes,
  change,
  clock,
  count,
  dateTime,
  duration,
  exact,
  percent,
  points,
  rate,
  UNKNOWN,
  zoneLabel,
} from "./format.ts";

describe("unknown is a dash, never 0", () => {
  test.each([count, exact, duration, rate, percent, bytes, dateTime])("%s", (format) => {
    expect(format(null)).toBe(UNKNOWN);
    expect(format(undefined)).toBe(UNKNOWN);
    expect(format(Number.NaN)).toBe(UNKNOWN);
    expect(format(0)).not.toBe(UNKNOWN);
  });
});

test.each([
  [0, "0"],
  [7, "7"],
  [1_234, "1,234"],
  [9_999, "9,999"],
  [12_345, "12.3k"],
  [999_499, "999k"],
  [999_999, "1M"],
  [1_234_567, "1.23M"],
  [45_600_000_000, "45.6B"],
])("count %d is %s", (value, text) => expect(count(value)).toBe(text));

test.each([
  [0.4, "0.4 ms"],
  [840, "840 ms"],
  [999.7, "1 s"],
  [1_240, "1.24 s"],
  [12_400, "12.4 s"],
  [59_960, "1 m 00 s"],
  [125_000, "2 m 05 s"],
  [3_720_000, "1 h 02 m"],
])("a duration of %d ms is %s", (value, text) => expect(duration(value)).toBe(text));

test("a running clock keeps its digits", () => {
  expect([0, 999, 12_345, 61_000].map(clock)).toEqual(["0.0 s", "0.9 s", "12.3 s", "1 m 01 s"]);
});

test.each([
  [0, "0 %"],
  [0.0004, "<0.1 %"],
  [0.003, "0.3 %"],
  [0.1234, "12.3 %"],
  [1, "100 %"],
])("a share of %d is %s", (value, text) => expect(percent(value)).toBe(text));

test("rates have three digits", () => {
  expect([41.53, 1_240.4].map(rate)).toEqual(["41.5", "1,240"]);
});

test("a change has a direction, and none where there is nothing to compare with", () => {
  expect(change(112, 100)).toEqual({ text: "12 %", arrow: "↑" });
  expect(change(50, 100)).toEqual({ text: "50 %", arrow: "↓" });
  expect(change(100, 100)).toEqual({ text: "no change", arrow: "" });
  expect(change(5, 0)).toBeNull();
  expect(change(5, undefined)).toBeNull();
});

test("times are relative within the hour and in the zone asked for beyond", () => {
  const at = Date.UTC(2026, 10, 23, 14, 5, 12);
  expect(ago(at, at + 12_000)).toBe("12 s ago");
  expect(ago(at, at + 125_000)).toBe("2 m 05 s ago");
  expect(ago(at, at + 7_200_000, "Asia/Kolkata")).toBe("Nov 23, 19:35:12");
});

test("zones are named by their offset", () => {
  const at = Date.UTC(2026, 10, 23);
  expect(["UTC", "Europe/Vienna", "Asia/Kolkata"].map((zone) => zoneLabel(zone, at))).toEqual([
    "UTC",
    "UTC+1",
    "UTC+5:30",
  ]);
});

test("a share moves by points, not by a share of itself", () => {
  expect(points(0.03, 0.02)).toEqual({ text: "1 point", arrow: "↑" });
  expect(points(0.001, 0.014)).toEqual({ text: "1.3 points", arrow: "↓" });
  expect(points(0.02, 0.02)).toEqual({ text: "no change", arrow: "" });
  expect(points(0.02, null)).toBeNull();
});
