import { expect, test } from "vitest";
import { logMarks, midnights, timeMarks, valueMarks } from "./axis.ts";

const at = (text: string) => Date.parse(text);

test("time marks are round on the zone's clocks", () => {
  const day = { start: at("2026-11-22T14:00Z"), end: at("2026-11-23T14:00Z") };
  expect(timeMarks(day, 8, "Asia/Kolkata").map(({ label }) => label)).toEqual([
    "21:00",
    "Nov 23",
    "03:00",
    "06:00",
    "09:00",
    "12:00",
    "15:00",
    "18:00",
  ]);
});

test("midnights keep to the clocks when these change", () => {
  const week = { start: at("2026-10-24T00:00Z"), end: at("2026-10-27T00:00Z") };
  expect(midnights(week, "Europe/Vienna").map((moment) => new Date(moment).toISOString())).toEqual([
    "2026-10-24T22:00:00.000Z",
    "2026-10-25T23:00:00.000Z",
    "2026-10-26T23:00:00.000Z",
  ]);
});

test("a quarter of a year is not cut into days", () => {
  expect(midnights({ start: 0, end: 90 * 86_400_000 }, "UTC")).toEqual([]);
});

test("there are never more marks than asked for", () => {
  for (const span of [60_000, 3_600_000, 86_400_000, 90 * 86_400_000, 400 * 86_400_000]) {
    expect(timeMarks({ start: 1_000, end: 1_000 + span }, 8, "UTC").length).toBeLessThanOrEqual(9);
  }
});

test("value marks are round and start at zero", () => {
  expect(valueMarks(860_000, 4)).toEqual([0, 200_000, 400_000, 600_000, 800_000]);
  expect(valueMarks(45, 2)).toEqual([0, 20, 40]);
  expect(valueMarks(7, 4)).toEqual([0, 2, 4, 6]);
  expect(valueMarks(0, 4)).toEqual([0]);
  expect(valueMarks(1.06, 6, true)).toEqual([0, 1]);
  expect(valueMarks(2.12, 6, true)).toEqual([0, 1, 2]);
});

test("log marks are powers of ten", () => {
  expect(logMarks(90, 20_000).map(Math.round)).toEqual([100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000]);
  expect(logMarks(1, 100_000).map(Math.round)).toEqual([1, 10, 100, 1_000, 10_000, 100_000]);
});

test("marks of many months are their beginnings, and name the year where it begins", () => {
  const range = { start: at("2025-11-20T00:00Z"), end: at("2026-11-20T00:00Z") };
  expect(timeMarks(range, 6, "UTC").map(({ label }) => label)).toEqual(["2026", "Apr", "Jul", "Oct"]);
  const quarter = { start: at("2026-08-20T00:00Z"), end: at("2026-11-20T00:00Z") };
  expect(timeMarks(quarter, 5, "UTC").map(({ label }) => label)).toEqual(["Sep", "Oct", "Nov"]);
});

test("marks of weeks are Mondays", () => {
  const range = { start: at("2026-10-07T00:00Z"), end: at("2026-11-07T00:00Z") };
  expect(timeMarks(range, 6, "UTC").map(({ label }) => label)).toEqual([
    "Oct 12",
    "Oct 19",
    "Oct 26",
    "Nov 2",
  ]);
});
