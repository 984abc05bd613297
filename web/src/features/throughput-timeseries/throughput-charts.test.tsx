import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { throughput } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { ThroughputCharts } from "./throughput-charts.tsx";

test("two honest speeds, two waits and the load have a chart each", async () => {
  fakeGateway({ ThroughputTimeseries: throughput });
  show(<ThroughputCharts />);
  for (const name of [
    /^Decode/,
    /^Prefill/,
    /^Time to first token/,
    /^Time between tokens/,
    /^Concurrency/,
  ]) {
    expect(await screen.findByRole("group", { name })).toBeInTheDocument();
  }
});

test("the share of requests that could be measured is told", async () => {
  fakeGateway({ ThroughputTimeseries: throughput });
  show(<ThroughputCharts />);
  expect(await screen.findByText("From 17 of 40 requests (42.5 %)")).toBeInTheDocument();
});

test("one cursor moves in all charts", async () => {
  fakeGateway({ ThroughputTimeseries: throughput });
  show(<ThroughputCharts />, "/throughput?tz=UTC");
  (await screen.findByRole("group", { name: /^Decode/ })).focus();
  await userEvent.keyboard("{ArrowRight}");
  await waitFor(() => expect(screen.getAllByText(/Nov 23, 14:00/).length).toBeGreaterThanOrEqual(4));
});

test("what could not be measured is not drawn as 0", async () => {
  const nothing = throughput();
  const series = nothing.series[0];
  if (!series) throw new Error("a series");
  nothing.series = [{ ...series, prefillP50: [null, null, null, null] }];
  fakeGateway({ ThroughputTimeseries: () => nothing });
  show(<ThroughputCharts />);
  expect(await screen.findByText("Nothing could be measured in this range")).toBeVisible();
});

test("where no usage was reported, the sum over all requests is unknown and no line at 0", async () => {
  const nothing = throughput();
  const series = nothing.series[0];
  if (!series) throw new Error("a series");
  const none = [null, null, null, null];
  nothing.series = [
    { ...series, tokensPerSecond: [0, 0, 0, 0], decodeP5: none, decodeP50: none, decodeP95: none },
  ];
  fakeGateway({ ThroughputTimeseries: () => nothing });
  show(<ThroughputCharts />);
  expect(await screen.findByText("Nothing could be measured in this range")).toBeVisible();
  expect(screen.queryByRole("group", { name: /^Decode/ })).toBeNull();
});

test("without requests there are no lines at 0", async () => {
  const idle = throughput();
  const series = idle.series[0];
  if (!series) throw new Error("a series");
  const zeros = [0, 0, 0, 0];
  idle.series = [
    { ...series, requests: zeros, tokensPerSecond: zeros, concurrencyMean: zeros, concurrencyMax: zeros },
  ];
  fakeGateway({ ThroughputTimeseries: () => idle });
  show(<ThroughputCharts />);
  expect(await screen.findAllByText("No requests in this range")).toHaveLength(5);
});

test("percentiles of few requests say so, whole buckets only", async () => {
  fakeGateway({ ThroughputTimeseries: throughput });
  show(<ThroughputCharts />, "/throughput?from=2026-11-23T14:05:00Z&to=2026-11-23T15:00:00Z&tz=UTC");
  const chart = await screen.findByRole("group", { name: /^Time to first token/ });
  // The first bucket is not whole: 300 ms would be the least of all.
  expect(chart).toHaveAccessibleName(/median: between 310 ms and 320 ms/);
  chart.focus();
  await userEvent.keyboard("{ArrowLeft}");
  await waitFor(() =>
    expect(screen.getAllByTitle("Of 6 values only: too few to rely on").length).toBeGreaterThan(1),
  );
});
