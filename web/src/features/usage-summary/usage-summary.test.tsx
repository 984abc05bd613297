import { act, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { live } from "../../api/live.ts";
import { cost, running, summary } from "../../testing/fixtures.ts";
import { DatabaseDown, fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { UsageHint } from "./usage-hint.tsx";
import { UsageSummaryTiles } from "./usage-summary-tiles.tsx";

const tiles = () => screen.findByRole("region", { name: "Summary" });

test("the tiles show the totals of the range", async () => {
  fakeGateway({ UsageSummary: () => summary({ previous: summary({ requests: 1_000 }) }) });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByText("1,234")).toBeVisible();
  const region = await tiles();
  expect(region).toHaveTextContent("1.02M");
  expect(region).toHaveTextContent("900k prompt");
  expect(region).toHaveTextContent("3 %");
  expect(region).toHaveTextContent(/up 23 %.* against the range before/);
  expect(screen.getByRole("link", { name: "Errors" })).toHaveAttribute("href", "/requests?status=error");
});

test("while it loads nothing is shown as 0", async () => {
  fakeGateway({ UsageSummary: () => new Promise(() => {}) });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await tiles()).toHaveAttribute("aria-busy", "true");
  expect(screen.queryByText("0")).not.toBeInTheDocument();
});

test("without requests there is no share of errors", async () => {
  fakeGateway({ UsageSummary: () => summary({ requests: 0, failedRequests: 0, totalTokens: 0 }) });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByTitle("0 of 0 requests")).toHaveTextContent("–");
});

test("an error says so and can be tried again", async () => {
  const gateway = fakeGateway({
    UsageSummary: () => {
      throw new DatabaseDown("the database is away");
    },
  });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByText(/the database is away/)).toBeVisible();
  // The banner of the page is the alert.
  expect(screen.queryByRole("alert")).toBeNull();
  gateway.handlers.UsageSummary = () => summary();
  await userEvent.click(screen.getByRole("button", { name: "Retry" }));
  expect(await screen.findByText("1,234")).toBeVisible();
});

test("the view's filters and range are asked for", async () => {
  const gateway = fakeGateway({ UsageSummary: () => summary() });
  show(
    <UsageSummaryTiles trends={undefined} />,
    "/?model=a&from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z&tz=Asia/Tokyo",
  );
  await screen.findByText("1,234");
  expect(gateway.asked[0]?.payload).toMatchObject({
    filter: { models: ["a"] },
    range: { start: Date.UTC(2026, 10, 1), end: Date.UTC(2026, 10, 2) },
    timeZone: "Asia/Tokyo",
    comparePrevious: true,
  });
});

test("requests without usage are told, with the setting that helps", async () => {
  fakeGateway({ UsageSummary: () => summary({ requestsWithoutUsage: 12, requestsWithEstimatedUsage: 1 }) });
  show(<UsageHint />);
  const note = await screen.findByRole("note");
  expect(note).toHaveTextContent("12 requests came without usage, 1 is estimated");
  expect(note).toHaveTextContent("MODASH_PROXY_STREAM_USAGE=inject");
});

test("where nothing succeeded, no answer is said to have reported", async () => {
  const gateway = fakeGateway({
    UsageSummary: () => summary({ requests: 2, failedRequests: 2, clientClosedRequests: 0 }),
  });
  show(<UsageHint />);
  await vi.waitFor(() => expect(gateway.asked).toHaveLength(1));
  await act(async () => {});
  expect(screen.queryByText(/reported its usage/)).toBeNull();
});

test("full reports are told as well", async () => {
  fakeGateway({ UsageSummary: () => summary() });
  show(<UsageHint />);
  expect(await screen.findByText("Every successful answer reported its usage.")).toBeVisible();
});

test("tiles lead to what is behind them in the same range, with the same filters", async () => {
  fakeGateway({ UsageSummary: () => summary() });
  show(<UsageSummaryTiles trends={undefined} />, "/?from=-7d&model=a&status=ok&page=2");
  await screen.findByText("1,234");
  for (const [name, href] of [
    ["Requests", "/requests?from=-7d&model=a&status=ok"],
    ["Errors", "/requests?from=-7d&model=a&status=error"],
    ["Tokens/s now", "/throughput?from=-7d&model=a&status=ok"],
  ] as const) {
    expect(screen.getByRole("link", { name })).toHaveAttribute("href", href);
  }
});

test("the share of errors is compared with a share", async () => {
  const previous = summary({ requests: 100, failedRequests: 1 });
  fakeGateway({ UsageSummary: () => summary({ requests: 1_000, failedRequests: 30, previous }) });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByTitle("1 % in the range before")).toHaveTextContent("up 2 points");
});

test("a range of the past has no live numbers", async () => {
  fakeGateway({ UsageSummary: () => summary() });
  show(<UsageSummaryTiles trends={undefined} />, "/?from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z");
  const region = await tiles();
  await screen.findByText("1,234");
  for (const name of ["In flight", "Tokens/s now"]) expect(region).not.toHaveTextContent(name);
  expect(region).toHaveTextContent("Tokens/s of a request41.5");
  expect(region).toHaveTextContent("First token300 ms");
});

test("the total is the sum of what the charts show, and a lower bound is marked", async () => {
  const totals = { promptTokens: 600, completionTokens: 400, totalTokens: 5_000 };
  const gateway = fakeGateway({ UsageSummary: () => summary(totals) });
  const { unmount } = show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByTitle("1,000")).toHaveTextContent(/^1,000$/);
  unmount();
  gateway.handlers.UsageSummary = () => summary({ ...totals, requestsWithoutUsage: 3 });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByTitle("At least 1,000")).toHaveTextContent(/^≥ 1,000$/);
});

test("a percentile of few values says so", async () => {
  fakeGateway({ UsageSummary: () => summary({ requests: 7 }) });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByTitle("Of 7 values only: too few to rely on")).toHaveTextContent("p95 12.4 s");
});

test("while analytics is lost, live values are dashes", async () => {
  fakeGateway({ UsageSummary: () => summary() });
  show(<UsageSummaryTiles trends={undefined} />);
  await screen.findByText("1,234");
  act(() => {
    live.connection("open");
    live.event("connected", { now: Date.now(), live: true, requests: [running()] });
  });
  expect(screen.getByTitle("Requests running now")).toHaveTextContent("1");
  act(() => live.event("request-state-updated", { now: Date.now(), live: false, requests: [] }));
  expect(screen.getByTitle("Requests running now")).toHaveTextContent("–");
  expect(screen.getByTitle(/^Decoded by all streams/)).toHaveTextContent("–");
  expect(screen.getByText("not known")).toBeVisible();
  expect(screen.queryByText(/oldest/)).toBeNull();
});

test("the same time last week is asked for, and named", async () => {
  const week = 7 * 86_400_000;
  fakeGateway({
    UsageSummary: (payload) =>
      summary({ requests: Number(payload.range?.start) < Date.UTC(2026, 9, 26) ? 500 : 1_000 }),
  });
  const start = Date.UTC(2026, 9, 26);
  const range = `from=${new Date(start).toISOString()}&to=${new Date(start + week / 7).toISOString()}`;
  show(<UsageSummaryTiles trends={undefined} />, `/?${range}&compare=week`);
  expect(await screen.findByTitle("500 in the same time last week")).toHaveTextContent(
    "↑ up 100 % vs last week",
  );
});

test("nothing is compared where that is off", async () => {
  const gateway = fakeGateway({ UsageSummary: () => summary() });
  show(<UsageSummaryTiles trends={undefined} />, "/?compare=off");
  await screen.findByText("1,234");
  expect(gateway.asked).toHaveLength(1);
  expect(gateway.asked[0]?.payload).toMatchObject({ comparePrevious: false });
  expect(screen.queryByText(/vs /)).toBeNull();
});

test("the cost is a tile once it is known of a request, and says what it lacks", async () => {
  const known = cost({ nanoUsd: 12_345_678_901, knownRequests: 97, unknownRequests: 3 });
  const gateway = fakeGateway({
    UsageSummary: () =>
      summary({
        cost: { ...known, cacheSavingNanoUsd: 420_000_000 },
        previous: summary({ cost: cost({ nanoUsd: 10_000_000_000, knownRequests: 90 }) }),
      }),
  });
  const { unmount } = show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByTitle(/^At least \$12\.345678901; the cost of 3 requests/)).toHaveTextContent(
    "≥ $12.35",
  );
  expect(screen.getByTitle("$10.00 in the range before")).toHaveTextContent("up 23 %");
  expect(screen.getByText("3 % unknown · caches saved $0.42")).toBeVisible();
  expect(screen.getByRole("link", { name: "Cost" })).toHaveAttribute("href", "/?metric=cost");
  unmount();
  // One developer with a local model: nothing is said of money.
  gateway.handlers.UsageSummary = () => summary();
  show(<UsageSummaryTiles trends={undefined} />);
  await screen.findByText("1,234");
  expect(screen.queryByText(/cost|unknown/i)).toBeNull();
});
