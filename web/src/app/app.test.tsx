import { act, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { event, modelRow, page, summary, timeseries } from "../testing/fixtures.ts";
import {
  DatabaseDown,
  FakeEventSource,
  type FakeGateway,
  fakeEvents,
  fakeGateway,
} from "../testing/gateway.ts";
import { testClient } from "../testing/render.tsx";
import { App } from "./app.tsx";

let gateway: FakeGateway;
beforeEach(() => {
  fakeEvents();
  gateway = fakeGateway({
    UsageSummary: () => summary(),
    UsageTimeseries: () => timeseries(),
    ModelBreakdown: () => ({ rows: [modelRow()], total: 1, other: null }),
    RecentRequests: () => page([event()]),
  });
});
const open = () => render(<App client={testClient()} />);
const stream = () => FakeEventSource.all.at(-1) as FakeEventSource;

test("the overview has landmarks, one first heading and a way past the controls", async () => {
  open();
  expect(await screen.findByText("1,234")).toBeVisible();
  expect(screen.getByRole("banner")).toBeInTheDocument();
  expect(screen.getByRole("main")).toBeInTheDocument();
  expect(screen.getByRole("navigation", { name: "Pages" })).toBeInTheDocument();
  expect(screen.getAllByRole("heading", { level: 1 })).toHaveLength(1);
  expect(screen.getByRole("link", { name: "Skip to the content" })).toHaveAttribute("href", "#main");
  expect(screen.getByRole("link", { name: "Overview" })).toHaveAttribute("aria-current", "page");
});

test("an event moves the number without a reload", async () => {
  open();
  await screen.findByText("1,234");
  gateway.handlers.UsageSummary = () => summary({ requests: 1_235 });
  act(() => stream().send("usage-updated", { now: Date.now(), requests: 1 }));
  expect(await screen.findByText("1,235")).toBeVisible();
});

test("a lost connection is told, and its return as well", async () => {
  open();
  act(() => stream().send("connected", { now: Date.now(), requests: [] }));
  expect(await screen.findByText("Connected")).toBeVisible();
  act(() => stream().fail(false));
  expect(await screen.findByText(/^Reconnecting… data as of/)).toBeVisible();
  act(() => stream().send("connected", { now: Date.now(), requests: [] }));
  expect(await screen.findByText("Connected")).toBeVisible();
});

test("the gateway's loss of analytics is told, and its return as well", async () => {
  open();
  act(() => stream().send("connected", { now: Date.now(), live: true, requests: [] }));
  expect(await screen.findByText("Connected")).toBeVisible();
  act(() => stream().send("request-state-updated", { now: Date.now(), live: false, requests: [] }));
  expect(await screen.findByText("Live data unavailable, trying again…")).toBeVisible();
  act(() =>
    stream().send("request-state-updated", { now: Date.now(), live: true, snapshot: true, requests: [] }),
  );
  expect(await screen.findByText("Connected")).toBeVisible();
});

test("a broken database is a banner, and the values stay", async () => {
  open();
  await screen.findByText("1,234");
  gateway.handlers.UsageSummary = () => {
    throw new DatabaseDown("away");
  };
  act(() => stream().send("usage-updated", { now: Date.now(), requests: 1 }));
  expect(await screen.findByText("Usage data is unavailable.")).toBeVisible();
  expect(screen.getByText("1,234")).toBeVisible();
});

test("a fresh installation shows how to send a first request", async () => {
  gateway.handlers.UsageSummary = () => summary({ requests: 0, totalTokens: 0 });
  gateway.handlers.RecentRequests = () => page([]);
  open();
  expect(await screen.findByRole("heading", { name: "Waiting for the first request" })).toBeVisible();
  expect(screen.getByText(/^curl http:\/\/localhost:4005\/v1\/chat\/completions/)).toBeVisible();
});

test("an empty range of an installation with a past is not a fresh one", async () => {
  gateway.handlers.UsageSummary = () => summary({ requests: 0, totalTokens: 0 });
  gateway.handlers.UsageTimeseries = () => timeseries({ requests: [0, 0, 0, 0] });
  gateway.handlers.RecentRequests = (payload) => (payload.pageSize === 1 ? page([event()]) : page([]));
  open();
  expect(await screen.findByText(/^The last one was/)).toBeVisible();
  expect(screen.queryByText("Waiting for the first request")).not.toBeInTheDocument();
});

test("paused, the numbers stand still until live is on again", async () => {
  open();
  await screen.findByText("1,234");
  await userEvent.click(screen.getByRole("switch", { name: "Live" }));
  const paused = await screen.findByRole("switch", { name: /^Paused at/ });
  expect(paused).not.toBeChecked();
  gateway.handlers.UsageSummary = () => summary({ requests: 2_000 });
  act(() => stream().send("usage-updated", { now: Date.now(), requests: 1 }));
  expect(await screen.findByText(/newer data/)).toBeVisible();
  await userEvent.click(paused);
  expect(await screen.findByText("2,000")).toBeVisible();
});

test("the theme button turns the theme and keeps the choice", async () => {
  open();
  await userEvent.click(screen.getByRole("button", { name: "Use the dark theme" }));
  expect(document.documentElement.dataset.theme).toBe("dark");
  expect(localStorage.getItem("modash-theme")).toBe("dark");
  await userEvent.click(screen.getByRole("button", { name: "Use the light theme" }));
  expect(document.documentElement.dataset.theme).toBe("light");
});

test("every page of the navigation is there", async () => {
  open();
  for (const name of ["Throughput", "Models", "Requests", "Overview"]) {
    await userEvent.click(screen.getByRole("link", { name }));
    await waitFor(() => expect(screen.getByRole("heading", { level: 1, name })).toBeInTheDocument());
  }
});

test("an address of no page says so", async () => {
  history.replaceState(null, "", "/nowhere");
  open();
  expect(await screen.findByRole("heading", { name: "There is no such page" })).toBeVisible();
});

test("a filter in force is a chip that can be removed", async () => {
  history.replaceState(null, "", "/?status=error&model=a");
  open();
  expect(await screen.findByText("error")).toBeVisible();
  await userEvent.click(screen.getByRole("button", { name: "Remove the filter on status" }));
  expect(location.search).toBe("?model=a");
});

test("keys do what a click does, but not while something is typed", async () => {
  open();
  await screen.findByText("1,234");
  await userEvent.keyboard("gr");
  expect(await screen.findByRole("heading", { level: 1, name: "Requests" })).toBeInTheDocument();
  expect(document.title).toBe("Requests – modash");
  await userEvent.keyboard("?");
  expect(screen.getByRole("dialog", { name: "Keys" })).toHaveAttribute("open");
  await userEvent.click(screen.getByRole("checkbox", { name: "Single keys are on" }));
  await userEvent.click(screen.getAllByRole("button", { name: "Close" })[0] as HTMLElement);
  await userEvent.keyboard("go");
  expect(screen.getByRole("heading", { level: 1, name: "Requests" })).toBeInTheDocument();
  localStorage.clear();
});

test("a list of requests is walked by keys", async () => {
  history.replaceState(null, "", "/requests");
  open();
  const first = await screen.findByRole("button", { name: /ago|Nov/ });
  await userEvent.keyboard("j");
  expect(first).toHaveFocus();
  await userEvent.keyboard("{Enter}");
  expect(await screen.findByRole("dialog", { name: "Request" })).toBeInTheDocument();
});
