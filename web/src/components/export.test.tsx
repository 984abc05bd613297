import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { LiveRequests } from "../features/live-requests/live-requests.tsx";
import { ModelBars } from "../features/model-breakdown/model-bars.tsx";
import { UsageChart } from "../features/usage-timeseries/usage-chart.tsx";
import { catchDownloads, openPopover } from "../testing/browser.ts";
import { modelRow, timeseries } from "../testing/fixtures.ts";
import { fakeGateway } from "../testing/gateway.ts";
import { show } from "../testing/render.tsx";

const RANGE = "from=2026-11-23T14:05:00Z&to=2026-11-23T15:00:00Z&tz=UTC";
const NAME = "2026-11-23T14-05_2026-11-23T15-00";

async function exported(what: string, kind: string): Promise<string> {
  const files = catchDownloads();
  openPopover(await screen.findByRole("button", { name: `Export ${what}` }));
  await userEvent.click(await screen.findByRole("button", { name: kind, hidden: true }));
  const [name, text] = [...files][0] ?? [];
  return `${name}\n${await text}`;
}

test("a chart's numbers are a row for each bucket, with what they are compared with and the errors", async () => {
  fakeGateway({ UsageTimeseries: () => timeseries() });
  show(<UsageChart />, `/?${RANGE}&compare=off&status=error`);
  expect((await exported("tokens over time", "CSV")).replaceAll("\r", "")).toBe(
    [
      `modash-tokens-over-time_${NAME}_status-error.csv`,
      "start,end,wholeBucket,prompt,cached prompt,completion,errors",
      "2026-11-23T14:00:00.000+00:00,2026-11-23T14:15:00.000+00:00,false,90,10,11,0",
      "2026-11-23T14:15:00.000+00:00,2026-11-23T14:30:00.000+00:00,true,180,20,22,0",
      "2026-11-23T14:30:00.000+00:00,2026-11-23T14:45:00.000+00:00,true,270,30,33,1",
      "2026-11-23T14:45:00.000+00:00,2026-11-23T15:00:00.000+00:00,true,360,40,44,0",
      "",
    ].join("\n"),
  );
});

test("a model that is called as a column is has a name of its own, and no formula", async () => {
  const base = timeseries().series[0];
  if (!base) throw new Error("a series");
  const series = ["errors", "=cmd()"].map((key) => ({ ...base, key }));
  fakeGateway({ UsageTimeseries: () => ({ ...timeseries(), series }) });
  show(<UsageChart />, `/?${RANGE}&compare=off&group=model`);
  expect(await exported("tokens over time", "CSV")).toContain("wholeBucket,errors,'=cmd(),errors 2\r\n");
});

test("a chart's picture stands alone: title, range, filters, legend, and no style sheet", async () => {
  fakeGateway({ UsageTimeseries: () => timeseries() });
  show(<UsageChart />, `/?${RANGE}&model=qwen3-8b`);
  const [name, ...lines] = (await exported("tokens over time", "SVG")).split("\n");
  expect(name).toBe(`modash-tokens-over-time_${NAME}_model-qwen3-8b.svg`);
  const picture = new DOMParser().parseFromString(lines.join("\n"), "image/svg+xml");
  expect(picture.querySelector("parsererror")).toBeNull();
  const texts = [...picture.querySelectorAll("text")].map(({ textContent }) => textContent);
  expect(texts).toEqual(expect.arrayContaining(["Tokens over time", "prompt", "completion", "errors"]));
  expect(texts.some((text) => text?.includes("14:05") && text.includes("model qwen3-8b"))).toBe(true);
  expect(picture.querySelectorAll("[class]")).toHaveLength(0);
  expect(picture.querySelectorAll("path").length).toBeGreaterThan(5);
});

test("tables offer their numbers and no picture", async () => {
  fakeGateway({ ModelBreakdown: () => ({ rows: [modelRow()], total: 1, other: null }) });
  show(<ModelBars />, `/?${RANGE}`);
  const [name, ...json] = (await exported("largest models", "JSON")).split("\n");
  expect(name).toBe(`modash-largest-models_${NAME}.json`);
  expect(JSON.parse(json.join("\n"))).toEqual([
    expect.objectContaining({ model: "qwen3-8b", promptTokens: 5_000, requests: 100 }),
  ]);
  expect(screen.queryByRole("button", { name: "PNG", hidden: true })).toBeNull();
});

test("while what runs is not known, there is nothing to export", () => {
  fakeGateway({});
  show(<LiveRequests />);
  expect(screen.getByRole("button", { name: "Export requests in flight" })).toBeDisabled();
});
