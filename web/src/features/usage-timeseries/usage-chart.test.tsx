import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import type { UsageTimeseries } from "../../api/types.ts";
import { catchDownloads, openPopover } from "../../testing/browser.ts";
import { NOON, timeseries } from "../../testing/fixtures.ts";
import { DatabaseDown, fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { CachedShare } from "./cached-share.tsx";
import { usageLines } from "./lines.ts";
import { UsageChart } from "./usage-chart.tsx";

test("the chart is summed up in words", async () => {
  fakeGateway({ UsageTimeseries: () => timeseries() });
  show(<UsageChart />, "/?tz=UTC");
  const chart = await screen.findByRole("group", { name: /^Tokens over time/ });
  expect(chart).toHaveAccessibleName(/completion: between 11 and 44, last 44/);
});

test("arrow keys walk through the values and read them out", async () => {
  fakeGateway({ UsageTimeseries: () => timeseries() });
  show(<UsageChart />, "/?tz=UTC");
  const chart = await screen.findByRole("group", { name: /^Tokens over time/ });
  chart.focus();
  await userEvent.keyboard("{ArrowLeft}{ArrowLeft}");
  expect(screen.getByText(/Nov 23, 14:30.*prompt 270, cached prompt 30, completion 33/)).toBeInTheDocument();
});

test("the same numbers are there as a table", async () => {
  fakeGateway({ UsageTimeseries: () => timeseries() });
  show(<UsageChart />, "/?tz=UTC&compare=off");
  await userEvent.click(await screen.findByRole("button", { name: "Table" }));
  const rows = within(await screen.findByRole("table")).getAllByRole("row");
  expect(rows).toHaveLength(5);
  expect(rows[1]).toHaveTextContent("360 40 44 0".replaceAll(" ", ""));
});

test("a group has its own line, and the rest is other", async () => {
  const base = timeseries().series[0];
  if (!base) throw new Error("a series");
  const gateway = fakeGateway({
    UsageTimeseries: () => ({
      ...timeseries(),
      series: [
        { ...base, key: "qwen3-8b" },
        { ...base, other: true },
      ],
      otherGroups: 99_995,
    }),
  });
  show(<UsageChart />, "/?group=model");
  expect(await screen.findByText(/qwen3-8b/)).toBeInTheDocument();
  expect(screen.getByText(/^other \(99,995\)/)).toBeInTheDocument();
  expect(gateway.asked[0]?.payload).toMatchObject({ groupBy: { dimension: "DIMENSION_MODEL" }, top: 5 });
});

test("requests that call no model are no unnamed group", async () => {
  const base = timeseries().series[0];
  if (!base) throw new Error("a series");
  const series = [
    { ...base, key: "qwen3-8b" },
    { ...base, other: true },
  ];
  fakeGateway({ UsageTimeseries: () => ({ ...timeseries(), series, otherGroups: 0 }) });
  show(<UsageChart />, "/?group=model");
  expect(await screen.findByText(/^no model/)).toBeInTheDocument();
  expect(screen.queryByText(/unnamed/)).toBeNull();
});

test("an empty range says so", async () => {
  fakeGateway({ UsageTimeseries: () => timeseries({ requests: [0, 0, 0, 0] }) });
  show(<UsageChart />);
  expect(await screen.findByText("No requests in this range")).toBeVisible();
});

test("an error stays in the panel", async () => {
  fakeGateway({
    UsageTimeseries: () => {
      throw new DatabaseDown("away");
    },
  });
  show(<UsageChart />);
  expect(await screen.findByText("Could not load usage over time")).toBeVisible();
});

test("an error that is asked about again stays until there is an answer", async () => {
  let asked = 0;
  const gateway = fakeGateway({
    UsageTimeseries: () => {
      asked += 1;
      throw new DatabaseDown("away");
    },
  });
  show(<UsageChart />, "/?compare=off");
  expect(await screen.findByText("Could not load usage over time")).toBeVisible();
  let answer: (data: UsageTimeseries) => void = () => {};
  gateway.handlers.UsageTimeseries = () => {
    asked += 1;
    return new Promise((done) => {
      answer = done;
    });
  };
  const before = asked;
  await userEvent.click(screen.getByRole("button", { name: "Retry" }));
  await waitFor(() => expect(asked).toBe(before + 1));
  expect(screen.getByText("Could not load usage over time")).toBeVisible();
  expect(screen.queryByRole("status", { name: /^Loading/ })).toBeNull();
  answer(timeseries());
  expect(await screen.findByRole("group", { name: /^Tokens over time/ })).toBeInTheDocument();
});

test("a first load shows its place", () => {
  fakeGateway({ UsageTimeseries: () => new Promise(() => {}) });
  show(<UsageChart />);
  expect(screen.getByRole("status", { name: "Loading usage over time" })).toBeInTheDocument();
});

const NOON_RANGE = "from=2026-11-23T14:05:00Z&to=2026-11-23T14:50:00Z&tz=UTC";

test("buckets that the range cuts are said to be there in part", async () => {
  fakeGateway({ UsageTimeseries: () => timeseries() });
  show(<UsageChart />, `/?${NOON_RANGE}`);
  await userEvent.click(await screen.findByRole("button", { name: "Table" }));
  const heads = within(await screen.findByRole("table")).getAllByRole("rowheader");
  expect(heads.map((head) => head.textContent?.includes("in part"))).toEqual([true, false, false, true]);
});

test("statuses have the words of the table and a colour each", () => {
  const base = timeseries().series[0];
  if (!base) throw new Error("a series");
  const series = ["OUTCOME_OK", "OUTCOME_HTTP_ERROR", "OUTCOME_TRUNCATED", "OUTCOME_CLIENT_CLOSED"].map(
    (key) => ({ ...base, key }),
  );
  const lines = usageLines({ ...timeseries(), series }, "requests", "status");
  expect(lines.map(({ label }) => label)).toEqual(["ok", "HTTP error", "broken off", "cancelled"]);
  expect(new Set(lines.map(({ color }) => color)).size).toBe(4);
});

test("groups add up to the same total as the kinds of token", () => {
  const data = timeseries({ totalTokens: [9_999, 9_999, 9_999, 9_999] });
  const sum = (group: string) =>
    usageLines(data, "tokens", group)
      .flatMap(({ values }) => values)
      .reduce<number>((total, value) => total + (value ?? 0), 0);
  expect(sum("model")).toBe(sum(""));
  expect(sum("")).toBe(1_110);
});

test("Enter on a value opens the requests of its bucket, with the filters", async () => {
  fakeGateway({ UsageTimeseries: () => timeseries() });
  show(<UsageChart />, "/?tz=UTC&model=a");
  const chart = await screen.findByRole("group", { name: /^Tokens over time/ });
  chart.focus();
  await userEvent.keyboard("{ArrowRight}{ArrowRight}{Enter}");
  expect(location.pathname).toBe("/requests");
  expect(Object.fromEntries(new URLSearchParams(location.search))).toEqual({
    tz: "UTC",
    model: "a",
    from: "2026-11-23T14:15:00.000Z",
    to: "2026-11-23T14:30:00.000Z",
  });
});

test("the name of a group narrows the view to it, and once more to all", async () => {
  const base = timeseries().series[0];
  if (!base) throw new Error("a series");
  fakeGateway({ UsageTimeseries: () => ({ ...timeseries(), series: [{ ...base, key: "qwen3-8b" }] }) });
  show(<UsageChart />, "/?group=model");
  await userEvent.click(await screen.findByRole("button", { name: "qwen3-8b" }));
  expect(location.search).toBe("?group=model&model=qwen3-8b");
  await userEvent.click(screen.getByRole("button", { name: "qwen3-8b" }));
  expect(location.search).toBe("?group=model");
  expect(screen.getByRole("link", { name: "errors" })).toHaveAttribute("href", "/requests?status=error");
});

test("what the range is compared with is a line of its own, bucket by bucket", async () => {
  const week = 7 * 86_400_000;
  const gateway = fakeGateway({
    UsageTimeseries: (payload) => {
      const data = timeseries();
      if (Number(payload.range?.start) > NOON - week) return data;
      return { ...data, bucketStarts: data.bucketStarts.map((start) => start - week) };
    },
  });
  show(<UsageChart />, "/?from=2026-11-23T14:00:00Z&to=2026-11-23T15:00:00Z&tz=UTC&compare=week");
  await userEvent.click(await screen.findByRole("button", { name: "Table" }));
  expect(await screen.findByRole("columnheader", { name: "last week" })).toBeVisible();
  expect(gateway.asked.map(({ payload }) => payload.range)).toContainEqual({
    start: NOON - week,
    end: NOON - week + 3_600_000,
  });
  const rows = within(screen.getByRole("table")).getAllByRole("row");
  expect(rows[1]).toHaveTextContent("36040444440");
});

test("tokens that were not reported are no bars of 0", async () => {
  const none = [0, 0, 0, 0];
  fakeGateway({
    UsageTimeseries: () =>
      timeseries({ promptTokens: none, cachedPromptTokens: none, completionTokens: none }),
  });
  show(<UsageChart />);
  expect(await screen.findByText("No tokens were reported in this range")).toBeVisible();
  await userEvent.click(screen.getByRole("button", { name: "Show requests" }));
  expect(await screen.findByRole("group", { name: /^Requests over time/ })).toBeInTheDocument();
});

test("the share of cached prompt tokens has gaps where there were no prompts", async () => {
  fakeGateway({
    UsageTimeseries: () =>
      timeseries({ promptTokens: [100, 0, 300, 400], cachedPromptTokens: [10, 0, 60, 40] }),
  });
  show(<CachedShare />, "/throughput?tz=UTC");
  const chart = await screen.findByRole("group", { name: /^Cached prompt/ });
  expect(chart).toHaveAccessibleName(/cached: between 10 % and 20 %, last 10 %/);
});

test("the cost over time marks buckets that lack requests, and is exported exactly", async () => {
  const files = catchDownloads();
  fakeGateway({
    UsageTimeseries: () =>
      timeseries({ costNanoUsd: [0, 4_200_000, 0, 1_000_000_001], unknownCostRequests: [1, 0, 0, 2] }),
  });
  show(<UsageChart />, "/?metric=cost&compare=off&tz=UTC&from=2026-11-23T14:00:00Z&to=2026-11-23T15:00:00Z");
  const chart = await screen.findByRole("group", { name: /^Cost over time/ });
  expect(chart).toHaveAccessibleName(/cost: between \$0 and \$1\.00, last \$1\.00/);
  expect(screen.getByText(/^unknown cost/)).toHaveTextContent("unknown cost 3");
  expect(screen.getByText("≥ $1.00")).toBeVisible();
  openPopover(screen.getByRole("button", { name: "Export cost over time" }));
  await userEvent.click(await screen.findByRole("button", { name: "CSV", hidden: true }));
  const [text] = await Promise.all(files.values());
  expect(text).toMatch(/^start,end,wholeBucket,cost nanoUsd,cost usd,unknown cost\r\n/);
  expect(text).toMatch(/,1000000001,1\.000000001,2\r\n$/);
});

test("where no cost is known, the chart says how to set a price", async () => {
  fakeGateway({ UsageTimeseries: () => timeseries() });
  show(<UsageChart />, "/?metric=cost");
  expect(await screen.findByText("No cost is known in this range")).toBeVisible();
  expect(screen.getByText(/MODASH_PRICES_FILE/)).toBeVisible();
});
