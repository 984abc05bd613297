import { expect, test } from "vitest";
import { NOON } from "../testing/fixtures.ts";
import { scales, thinned } from "./plot.tsx";

const chart = (values: number[], reach?: number[]) => ({
  kind: "bars" as const,
  lines: [{ label: "a", color: "--c1", values }],
  buckets: {
    starts: values.map((_, at) => NOON + at * 1e3),
    ends: values.map((_, at) => NOON + (at + 1) * 1e3),
    partial: values.map(() => false),
    range: { start: NOON, end: NOON + values.length * 1e3 },
  },
  width: 600,
  height: 200,
  ...(reach ? { reach } : {}),
});

test("charts that reach as far have equal axes, whatever they draw", () => {
  const [small, large] = [chart([1, 2], [50]), chart([50, 3], [50])].map(scales);
  expect(small?.marks).toEqual(large?.marks);
  expect(small?.y(2)).toBe(large?.y(2));
  expect(scales(chart([1, 2])).y(2)).not.toBe(small?.y(2));
});

test("a chart of ten thousand points has as many bars as pixels, the highest ones, and the same axes", () => {
  const values = Array.from({ length: 10_000 }, (_, at) => (at === 4_321 ? 500 : at % 10));
  const format = String;
  const errors = values.map((value) => (value === 500 ? 3 : 0));
  const all = { ...chart(values), zone: undefined, format, errors };
  const thin = thinned(all);
  const { starts, ends, range } = thin.buckets;
  expect(starts.length).toBeLessThanOrEqual(600);
  expect([starts[0], ends.at(-1)]).toEqual([range.start, range.end]);
  expect(thin.lines[0]?.values).toContain(500);
  expect(thin.errors).toContain(3);
  expect(scales(thin).marks).toEqual(scales(all).marks);
  const lines = thinned({ ...all, kind: "lines" });
  expect(lines.lines[0]?.values.length).toBe(lines.buckets.starts.length);
  expect(lines.lines[0]?.values).toContain(500);
  expect(lines.lines[0]?.values).toContain(0);
  expect(thinned({ ...chart([1, 2]), zone: undefined, format }).lines[0]?.values).toEqual([1, 2]);
});
