import { expect, test } from "vitest";
import { isoWithOffset, toCsv } from "./download.ts";

test("cells are quoted where needed, unknown is empty and never 0", () => {
  expect(
    toCsv(
      ["a", "b"],
      [
        ["x,y", null],
        ['say "hi"', 0],
      ],
    ),
  ).toBe('a,b\r\n"x,y",\r\n"say ""hi""",0\r\n');
});

test("no cell becomes a formula", () => {
  expect(toCsv(["a"], [["=1+1"], [-3]])).toBe("a\r\n'=1+1\r\n-3\r\n");
});

test("times keep the offset of their zone", () => {
  const at = Date.UTC(2026, 10, 23, 12, 5, 12, 123);
  expect(isoWithOffset(at, 2 * 3_600_000)).toBe("2026-11-23T14:05:12.123+02:00");
  expect(isoWithOffset(at, -9_000_000)).toBe("2026-11-23T09:35:12.123-02:30");
});
