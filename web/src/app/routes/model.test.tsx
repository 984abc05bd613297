import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import {
  event,
  modelRow,
  page,
  replica,
  running,
  summary,
  throughput,
  timeseries,
} from "../../testing/fixtures.ts";
import { FakeEventSource, type FakeGateway, fakeEvents, fakeGateway } from "../../testing/gateway.ts";
import { testClient } from "../../testing/render.tsx";
import { App } from "../app.tsx";

let gateway: FakeGateway;
const NAME = "org/qwen3 8b,%";

beforeEach(() => {
  fakeEvents();
  const base = timeseries().series[0];
  if (!base) throw new Error("a series");
  const grouped = (...keys: string[]) => ({ ...timeseries(), series: keys.map((key) => ({ ...base, key })) });
  gateway = fakeGateway({
    UsageSummary: () => summary(),
    UsageTimeseries: ({ groupBy }) => {
      const by = groupBy && "dimension" in groupBy ? groupBy.dimension : null;
      if (by === "DIMENSION_UPSTREAM") return grouped("openai", "local");
      return by === "DIMENSION_OUTCOME" ? grouped("OUTCOME_OK", "OUTCOME_HTTP_ERROR") : timeseries();
    },
    ThroughputTimeseries: throughput,
    Completeness: () => ({ now: Date.now(), replicas: [replica()] }),
    ModelBreakdown: () => ({ rows: [modelRow({ model: NAME })], total: 1, other: null }),
    RecentRequests: () => page([event()]),
  });
});

const open = (url: string) => {
  history.replaceState(null, "", url);
  return render(<App client={testClient()} />);
};

test("a model's page asks for that model alone, and is reached from the table", async () => {
  open("/models?from=-7d&model=a,b");
  await userEvent.click(await screen.findByRole("link", { name: NAME }));
  expect(await screen.findByRole("heading", { level: 1, name: NAME })).toBeVisible();
  expect(location.pathname).toBe(`/models/${encodeURIComponent(NAME)}`);
  await screen.findByRole("group", { name: /^Time to first token/ });
  await waitFor(() => {
    const asked = gateway.asked.filter(({ tag }) => tag !== "ModelBreakdown" && tag !== "Completeness");
    const of = asked.slice(-4).map(({ payload }) => (payload.filter as { models?: string[] }).models);
    expect(of).toEqual([[NAME], [NAME], [NAME], [NAME]]);
  });
  expect(document.title).toBe(`${NAME} – modash`);
  // The way back keeps what was chosen before.
  expect(screen.getByRole("link", { name: "All models" })).toHaveAttribute(
    "href",
    "/models?from=-7d&model=a%2Cb",
  );
});

test("upstreams and outcomes lead to the model's requests", async () => {
  open(`/models/${encodeURIComponent(NAME)}`);
  const upstreams = await screen.findByRole("region", { name: "Upstreams" });
  const href = (link: HTMLElement) => new URL(link.getAttribute("href") ?? "", "http://page");
  const local = href(await within(upstreams).findByRole("link", { name: "local" }));
  expect(local.pathname).toBe("/requests");
  expect(local.searchParams.get("upstream")).toBe("local");
  expect(decodeURIComponent(local.searchParams.get("model") ?? "")).toContain("org/qwen3 8b,");
  const ended = screen.getByRole("region", { name: "How requests ended" });
  const failed = href(await within(ended).findByRole("link", { name: "HTTP error" }));
  expect(failed.searchParams.get("status")).toBe("http_error");
  expect(within(ended).getByRole("row", { name: /^ok 10 50 %/ })).toBeVisible();
});

test("live numbers are those of the model, and its name is no filter that could be removed", async () => {
  open(`/models/${encodeURIComponent(NAME)}`);
  await screen.findByRole("heading", { level: 1, name: NAME });
  const requests = [running({ id: "1", model: NAME }), running({ id: "2", model: "other" })];
  act(() => FakeEventSource.all.at(-1)?.send("connected", { now: Date.now(), live: true, requests }));
  await waitFor(() => expect(screen.getByTitle("Requests running now")).toHaveTextContent("1"));
  expect(screen.queryByRole("list", { name: "Filters in force" })).toBeNull();
});
