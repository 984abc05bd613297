import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { modelRow, throughput, timeseries } from "../../testing/fixtures.ts";
import { type FakeGateway, fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import Models from "./models.tsx";

let gateway: FakeGateway;

beforeEach(() => {
  const usage = timeseries();
  const [small] = usage.series;
  const speeds = throughput();
  const [slow] = speeds.series;
  if (!small || !slow) throw new Error("a series of each");
  const names = ["small", "large", "third", "fourth", "fifth"];
  gateway = fakeGateway({
    ModelBreakdown: () => ({ rows: names.map((model) => modelRow({ model })), total: 5, other: null }),
    UsageTimeseries: () => ({
      ...usage,
      series: [
        { ...small, key: "small" },
        { ...small, key: "large", completionTokens: [9_000, 22, 33, 44] },
      ],
    }),
    ThroughputTimeseries: () => ({
      ...speeds,
      series: [
        { ...slow, key: "small" },
        { ...slow, key: "large", decodeP95: [900, null, 92, 93] },
      ],
    }),
  });
});

const tick = (model: string) => screen.findByRole("checkbox", { name: `Compare ${model}` });

test("two models that are ticked stand side by side, and the URL keeps them", async () => {
  show(<Models />, "/models?tz=UTC");
  await userEvent.click(await tick("small"));
  expect(screen.queryByRole("region", { name: /^Side by side/ })).toBeNull();
  expect(screen.getByText(/tick another one to compare/)).toBeVisible();
  await userEvent.click(await tick("large"));
  expect(new URLSearchParams(location.search).get("pick")).toBe("small,large");
  const panel = await screen.findByRole("region", { name: /^Side by side/ });
  for (const name of [/^Decode.*of small/, /^Decode.*of large/, /^Tokens of small/, /^Requests of large/])
    expect(await within(panel).findByRole("group", { name })).toBeInTheDocument();
  expect(gateway.asked.at(-1)?.payload).toMatchObject({
    filter: { models: ["small", "large"] },
    groupBy: { dimension: "DIMENSION_MODEL" },
  });
  await userEvent.click(within(panel).getByRole("button", { name: "Close" }));
  expect(location.search).toBe("?tz=UTC");
});

test("a fifth model cannot be ticked", async () => {
  show(<Models />, "/models?pick=small,large,third,fourth,fifth");
  expect(await tick("fourth")).toBeChecked();
  expect(await tick("fifth")).toBeDisabled();
});

test("a model without requests in the range says so beside the other", async () => {
  show(<Models />, "/models?pick=small,third");
  expect(await screen.findAllByText("third: nothing in this range")).toHaveLength(4);
});

test("the requests behind a value are those of its model", async () => {
  show(<Models />, "/models?tz=UTC&pick=small,large");
  (await screen.findByRole("group", { name: /^Tokens of large/ })).focus();
  await userEvent.keyboard("{ArrowRight}{Enter}");
  expect(location.pathname).toBe("/requests");
  expect(new URLSearchParams(location.search).get("model")).toBe("large");
});
