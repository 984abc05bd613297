import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { throughput } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { ThroughputCharts } from "./throughput-charts.tsx";

test("four charts, two honest speeds among them", async () => {
  fakeGateway({ ThroughputTimeseries: throughput });
  show(<ThroughputCharts />);
  for (const name of [/^Decode/, /^Prefill/, /^Time to first token/, /^Concurrency/]) {
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
