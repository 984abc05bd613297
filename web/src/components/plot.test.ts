import { expect, test } from "vitest";
import { NOON } from "../testing/fixtures.ts";
import { scales } from "./plot.tsx";

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
