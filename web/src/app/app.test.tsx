import { act, render, renderHook, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import { useZoom } from "../lib/zoom.ts";
import { openPopover } from "../testing/browser.ts";
import { event, modelRow, NOON, page, replica, summary, timeseries } from "../testing/fixtures.ts";
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
    Completeness: () => ({ now: Date.now(), replicas: [replica()] }),
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
  expect(await screen.findByRole("dialog", { name: "Keys" })).toHaveAttribute("open");
  expect(screen.getByText(/^modash \d+\.\d+\.\d+$/)).toBeVisible();
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

test("one outage is one alert, whatever the number of panels", async () => {
  for (const tag of ["UsageSummary", "UsageTimeseries", "ModelBreakdown", "RecentRequests"] as const) {
    gateway.handlers[tag] = () => {
      throw new DatabaseDown("away");
    };
  }
  open();
  await waitFor(() => expect(screen.getAllByText(/^Could not load/)).toHaveLength(4));
  expect(screen.getAllByRole("alert")).toHaveLength(1);
});

test("a part that cannot be drawn says so and leaves the others alone", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  gateway.handlers.ModelBreakdown = () => ({ rows: [null as never], total: 1, other: null });
  open();
  expect(await screen.findByText("Could not show models")).toBeVisible();
  expect(screen.getByText("1,234")).toBeVisible();
});

test("the time range opens with its field in focus", async () => {
  open();
  await screen.findByText("1,234");
  openPopover(screen.getByRole("button", { name: /^Time range:/ }));
  await waitFor(() => expect(screen.getByLabelText("Time range in words")).toHaveFocus());
});

test("z undoes zooms of this page and never leaves it", async () => {
  history.replaceState(null, "", "/?from=2026-11-23T14:00:00.000Z&to=2026-11-23T15:00:00.000Z");
  const back = vi.spyOn(history, "back");
  open();
  await screen.findByText("1,234");
  const given = location.search;
  await userEvent.keyboard("z");
  expect(location.search).toBe(given);
  expect(back).not.toHaveBeenCalled();
  const { result } = renderHook(() => useZoom());
  const start = Date.UTC(2026, 10, 23, 14, 10);
  act(() => result.current.zoom({ start, end: start + 60_000 }));
  expect(location.search).not.toBe(given);
  await userEvent.keyboard("z");
  expect(decodeURIComponent(location.search)).toBe(decodeURIComponent(given));
  await userEvent.keyboard("z");
  expect(decodeURIComponent(location.search)).toBe(decodeURIComponent(given));
});

test("a request that was opened from the overview closes to it, and Back does not open it again", async () => {
  open();
  await userEvent.click(await screen.findByRole("button", { name: /ago|Nov/ }));
  const drawer = await screen.findByRole("dialog", { name: "Request" });
  const length = history.length;
  act(() => (drawer as HTMLDialogElement).close());
  expect(await screen.findByRole("heading", { level: 1, name: "Overview" })).toBeInTheDocument();
  expect(location.pathname).toBe("/");
  expect(history.length).toBe(length);
});

test("the brand keeps the range and the filters", async () => {
  history.replaceState(null, "", "/?from=-7d&model=a");
  open();
  expect(screen.getByRole("link", { name: "modash" })).toHaveAttribute("href", "/?from=-7d&model=a");
});

test("a clock that is wrong by ten minutes shifts neither ranges nor ages", async () => {
  const server = Date.now() + 600_000;
  gateway.handlers.RecentRequests = () => page([event({ startedAt: server - 5_000, duration: 0 })]);
  history.replaceState(null, "", "/?from=-5m");
  open();
  act(() => stream().send("connected", { now: server, requests: [] }));
  expect(await screen.findByRole("button", { name: /^\d s ago$/ })).toBeVisible();
  await waitFor(() => {
    const asked = gateway.asked.filter(({ tag }) => tag === "UsageSummary").at(-1);
    const range = asked?.payload.range as { start: number };
    expect(Math.abs(range.start - (server - 300_000))).toBeLessThan(60_000);
  });
  act(() => stream().send("connected", { now: Date.now(), requests: [] }));
});

test("c copies a link that shows the same range later", async () => {
  const user = userEvent.setup();
  history.replaceState(null, "", "/?from=-1h&model=a");
  open();
  await screen.findByText("1,234");
  await user.keyboard("c");
  expect(await screen.findByText("Copied")).toBeVisible();
  const url = new URL(await navigator.clipboard.readText());
  const [from, to] = ["from", "to"].map((key) => Date.parse(url.searchParams.get(key) ?? ""));
  expect((to ?? 0) - (from ?? 0)).toBe(3_600_000);
  expect(url.searchParams.get("model")).toBe("a");
  expect(location.search).toBe("?from=-1h&model=a");
});

test("while requests are missing, every page says so", async () => {
  const { unmount } = open();
  await screen.findByText("1,234");
  expect(screen.queryByRole("link", { name: "Requests are missing" })).toBeNull();
  unmount();
  const replicas = [replica(), replica({ replicaId: "proxy-2", state: "COMPLETENESS_STATE_LOSSY" })];
  gateway.handlers.Completeness = () => ({ now: Date.now(), replicas });
  history.replaceState(null, "", "/?from=-7d");
  open();
  const link = await screen.findByRole("link", { name: "Requests are missing" });
  expect(link).toHaveAttribute("href", "/requests?from=-7d#delivery");
});

test.each([
  ["A proxy is silent", { state: "COMPLETENESS_STATE_SILENT", reportedAt: NOON - 20_000 }],
  [null, { state: "COMPLETENESS_STATE_SILENT", reportedAt: NOON - 7_200_000 }],
  [null, { state: "COMPLETENESS_STATE_STOPPED", reportedAt: NOON - 7_200_000 }],
  ["Requests wait to be stored", { state: "COMPLETENESS_STATE_WAITING" }],
  [null, { state: "COMPLETENESS_STATE_WAITING", waits: 3_000 }],
] as const)("what is not complete is said in the top bar: %s", async (text, change) => {
  const { waits = 40_000, ...rest } = { waits: undefined, ...change };
  const whole = replica();
  const reported = whole.reported && { ...whole.reported, oldestUnsentAt: NOON - waits };
  const replicas = [whole, replica({ replicaId: "proxy-2", reported, ...rest })];
  gateway.handlers.Completeness = () => ({ now: NOON, replicas });
  open();
  await screen.findByText("1,234");
  await waitFor(() => expect(gateway.asked.some(({ tag }) => tag === "Completeness")).toBe(true));
  if (text) expect(await screen.findByRole("link", { name: text })).toBeVisible();
  else expect(screen.queryByTitle("See Delivery")).toBeNull();
});

test("who is signed in and what they see is a click away, and so is the way out", async () => {
  gateway.session = { name: "search team", sees: "tag:team=search", writes: false };
  open();
  const button = await screen.findByRole("button", { name: "Signed in as search team" });
  openPopover(button);
  expect(await screen.findByText(/sees tag:team=search/)).toBeInTheDocument();
  expect(screen.getByRole("button", { name: "Sign out", hidden: true })).toBeInTheDocument();
});

test("where nobody has to sign in, nothing is said of it", async () => {
  open();
  await screen.findByText("1,234");
  expect(screen.queryByRole("button", { name: /^Signed in/ })).toBeNull();
});
