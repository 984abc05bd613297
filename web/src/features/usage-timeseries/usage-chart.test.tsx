import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { timeseries } from "../../testing/fixtures.ts";
import { DatabaseDown, fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
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
  show(<UsageChart />, "/?tz=UTC");
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
  expect(await screen.findByRole("alert")).toHaveTextContent("Could not load usage over time");
});

test("a first load shows its place", () => {
  fakeGateway({ UsageTimeseries: () => new Promise(() => {}) });
  show(<UsageChart />);
  expect(screen.getByRole("status", { name: "Loading usage over time" })).toBeInTheDocument();
});
