import { expect, test } from "vitest";
import { extremes, groupSize, peaks } from "./thin.ts";

test("ten thousand values in a thousand places keep their only spike", () => {
  const values = Array.from({ length: 10_000 }, (_, at) => (at === 7_777 ? 900 : at % 7));
  const size = groupSize(values.length, 1_000);
  expect(size).toBe(10);
  const found = peaks(values, size);
  expect(found).toHaveLength(1_000);
  expect(found).toContain(7_777);
  expect(found.every((at) => at >= 0)).toBe(true);
});

test("a line keeps its lows and highs in their order, and its gaps", () => {
  expect(extremes([5, 1, 9, 2, 3, null, null, null, null, 4], 4)).toEqual([1, 9, 3, 3, 4, 4]);
  expect(extremes([9, 1, null, null], 2)).toEqual([9, 1, null, null]);
  expect(peaks([null, null, 0, null], 2)).toEqual([-1, 2]);
});

test("where there is room, every value has its place", () => {
  expect([groupSize(100, 1_000), groupSize(0, 10), groupSize(11, 10)]).toEqual([1, 1, 2]);
});
