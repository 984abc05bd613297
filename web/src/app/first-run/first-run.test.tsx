import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { settings } from "../../api/page-settings.ts";
import type { UsageEvent } from "../../api/types.ts";
import { event, modelRow, NOON, page, replica, summary, timeseries } from "../../testing/fixtures.ts";
import { FakeEventSource, type FakeGateway, fakeEvents, fakeGateway } from "../../testing/gateway.ts";
import { testClient } from "../../testing/render.tsx";
import { App } from "../app.tsx";

let gateway: FakeGateway;
/** What was ever recorded. */
let events: UsageEvent[];

beforeEach(() => {
  fakeEvents();
  events = [];
  const failed = () => events.filter(({ outcome }) => outcome !== "OUTCOME_OK").length;
  gateway = fakeGateway({
    UsageSummary: () =>
      summary({ requests: events.length, failedRequests: failed(), clientClosedRequests: 0, totalTokens: 0 }),
    UsageTimeseries: () => timeseries(),
    Completeness: () => ({ now: Date.now(), replicas: [replica()] }),
    ModelBreakdown: () => ({ rows: [modelRow()], total: 1, other: null }),
    RecentRequests: ({ filter }) =>
      page(events.filter(({ outcome }) => !filter?.outcomes || filter.outcomes.includes(outcome))),
  });
});

const open = () => render(<App client={testClient()} />);
const recorded = (change: Partial<UsageEvent>) => {
  events = [event({ startedAt: NOON + events.length, ...change }), ...events];
  act(() => FakeEventSource.all.at(-1)?.send("usage-updated", { now: Date.now(), requests: events.length }));
};

test("a fresh installation shows where the proxy listens, where it forwards to and a line to send", async () => {
  open();
  const panel = await screen.findByRole("region", { name: "Waiting for the first request" });
  expect(within(panel).getByText(/^curl http:\/\/localhost:4005\/v1\/chat\/completions/)).toBeVisible();
  expect(panel).toHaveTextContent("Forwards tothe address in UPSTREAM_URL");
  expect(panel).toHaveTextContent("Last answernone yet");
  await waitFor(() => expect(panel).toHaveTextContent("the proxy runs and reports to analytics"));
  expect(screen.queryByRole("region", { name: "Recent requests" })).toBeNull();
});

test("where the gateway knows where the proxy forwards to, the page shows the address", async () => {
  settings.upstream = "http://127.0.0.1:1234/";
  try {
    open();
    const panel = await screen.findByRole("region", { name: "Waiting for the first request" });
    expect(panel).toHaveTextContent("Forwards tohttp://127.0.0.1:1234/, set by UPSTREAM_URL");
    recorded({ outcome: "OUTCOME_UPSTREAM_UNREACHABLE", status: 502 });
    const failed = await screen.findByRole("region", { name: "No request has succeeded yet" });
    expect(failed).toHaveTextContent("Forwards tohttp://127.0.0.1:1234/, set by UPSTREAM_URL");
  } finally {
    delete settings.upstream;
  }
});

test("where no proxy reports, the page says what to start", async () => {
  gateway.handlers.Completeness = () => ({ now: Date.now(), replicas: [] });
  open();
  expect(await screen.findByText(/^no proxy reports to analytics: start modash-proxy/)).toBeVisible();
});

test("each client has its line with the proxy's address, and the copy is that line", async () => {
  const user = userEvent.setup();
  open();
  act(() =>
    FakeEventSource.all.at(-1)?.send("connected", { now: Date.now(), proxyPort: 4100, requests: [] }),
  );
  const choices = await screen.findByRole("group", { name: "Client or server" });
  const line = async (name: string, text: string | RegExp, upstream?: string) => {
    await user.click(within(choices).getByRole("button", { name }));
    expect(screen.getByText(text)).toBeVisible();
    if (upstream) expect(screen.getByText(`UPSTREAM_URL=${upstream}`)).toBeVisible();
  };
  await line("OpenAI, Python", /base_url="http:\/\/localhost:4100\/v1"/, "https://api.openai.com");
  await line("OpenAI, JavaScript", /baseURL: "http:\/\/localhost:4100\/v1"/, "https://api.openai.com");
  await line("Anthropic, Python", /base_url="http:\/\/localhost:4100"\)/, "https://api.anthropic.com");
  await line("Anthropic, JavaScript", /baseURL: "http:\/\/localhost:4100" }/, "https://api.anthropic.com");
  await line("Codex", /wire_api = "responses"/, "https://api.openai.com");
  await line("LM Studio", /^curl http:\/\/localhost:4100/, "http://127.0.0.1:1234");
  await line("Ollama", /^OLLAMA_HOST=http:\/\/localhost:4100 ollama run/, "http://127.0.0.1:11434");
  await line("llama.cpp", /^curl http:\/\/localhost:4100/, "http://127.0.0.1:8080");
  await line("vLLM", /^curl http:\/\/localhost:4100/, "http://127.0.0.1:8000");
  await line("Claude Code", "ANTHROPIC_BASE_URL=http://localhost:4100 claude", "https://api.anthropic.com");
  await user.click(screen.getByRole("button", { name: "Copy: In a shell" }));
  expect(await navigator.clipboard.readText()).toBe("ANTHROPIC_BASE_URL=http://localhost:4100 claude");
});

test("a first request that fails is explained with the setting, and the first success is the dashboard", async () => {
  open();
  await screen.findByRole("region", { name: "Waiting for the first request" });
  recorded({ outcome: "OUTCOME_UPSTREAM_UNREACHABLE", status: 502 });
  const panel = await screen.findByRole("region", { name: "No request has succeeded yet" });
  expect(panel).toHaveTextContent("could not connect to the upstream default");
  expect(panel).toHaveTextContent("Last answerunreachable");
  expect(await screen.findByRole("region", { name: "Recent requests" })).toBeVisible();
  recorded({ outcome: "OUTCOME_UPSTREAM_UNREACHABLE", upstream: "openai" });
  await waitFor(() => expect(panel).toHaveTextContent("openai in MODASH_PROXY_UPSTREAMS"));
  recorded({});
  expect(await screen.findByRole("group", { name: /^Tokens over time/ })).toBeVisible();
  expect(screen.queryByRole("region", { name: "No request has succeeded yet" })).toBeNull();
});

test("failures of the range alone are no first run where a request has succeeded before", async () => {
  const old = event();
  gateway.handlers.UsageSummary = () => summary({ requests: 1, failedRequests: 1, clientClosedRequests: 0 });
  events = [event({ outcome: "OUTCOME_HTTP_ERROR", status: 500, startedAt: NOON + 1 }), old];
  open();
  expect(await screen.findByRole("group", { name: /^Tokens over time/ })).toBeVisible();
  await waitFor(() =>
    expect(gateway.asked.some(({ payload }) => JSON.stringify(payload.filter)?.includes("OUTCOME_OK"))).toBe(
      true,
    ),
  );
  expect(screen.queryByRole("region", { name: "No request has succeeded yet" })).toBeNull();
});
