import { expect, test } from "vitest";
import { fileName, isoWithOffset, toCsv, toJson } from "./download.ts";
import { readView } from "./view.ts";

test("cells are quoted where needed, unknown is empty and never 0", () => {
  const rows = [
    ["x,y", null],
    ['say "hi"', 0],
  ];
  expect(toCsv({ names: ["a", "b"], rows })).toBe('a,b\r\n"x,y",\r\n"say ""hi""",0\r\n');
});

test("no cell and no heading becomes a formula", () => {
  expect(toCsv({ names: ["a"], rows: [["=1+1"], [-3]] })).toBe("a\r\n'=1+1\r\n-3\r\n");
  const names = ["=a", "+b", "-c", "@d", "\te", "＝f"];
  expect(toCsv({ names, rows: [] })).toBe("'=a,'+b,'-c,'@d,'\te,'＝f\r\n");
});

test("JSON has an object for each row, with nulls and moments in the zone", () => {
  const rows = [[new Date(Date.UTC(2026, 10, 23, 12)), null, 1.5]];
  expect(JSON.parse(toJson({ names: ["at", "a", "b"], rows }, "Europe/Berlin"))).toEqual([
    { at: "2026-11-23T13:00:00.000+01:00", a: null, b: 1.5 },
  ]);
});

test("times keep the offset of their zone", () => {
  const at = Date.UTC(2026, 10, 23, 12, 5, 12, 123);
  expect(isoWithOffset(at, 2 * 3_600_000)).toBe("2026-11-23T14:05:12.123+02:00");
  expect(isoWithOffset(at, -9_000_000)).toBe("2026-11-23T09:35:12.123-02:30");
});

test("a file is named by what it holds, the range on the zone's clocks and the filters", () => {
  const view = readView(new URLSearchParams("model=org/qwen3:8b,b&status=error"));
  const range = { start: Date.UTC(2026, 10, 23, 12), end: Date.UTC(2026, 10, 24, 12) };
  expect(fileName("Tokens over time", view.filters, range, "Europe/Berlin")).toBe(
    "modash-tokens-over-time_2026-11-23T13-00_2026-11-24T13-00_model-org-qwen3-8b-b_status-error",
  );
  const many = readView(new URLSearchParams(`model=${"m".repeat(500)}`));
  expect(fileName("../x", many.filters, null).length).toBeLessThan(120);
  expect(fileName("../x", many.filters, null)).not.toContain("/");
});
