import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import type { UsageEvent } from "../../api/types.ts";
import { event, NOON, sessionRow } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show, testClient } from "../../testing/render.tsx";
import { SessionView } from "./session-view.tsx";
import { scaled, within as windowWithin } from "./waterfall.tsx";

const requests = (): UsageEvent[] => [
  event({ startedAt: NOON, duration: 4_000, firstToken: 500, cachedPromptTokens: 406 }),
  event({
    startedAt: NOON + 5_000,
    duration: 300,
    firstToken: null,
    outcome: "OUTCOME_HTTP_ERROR",
    status: 529,
    promptTokens: null,
    completionTokens: null,
  }),
  event({ startedAt: NOON + 7_000, duration: 2_000 }),
];
const answer = (events = requests(), change = {}) => ({
  session: sessionRow({ requests: events.length, failedRequests: 1, ...change }),
  requests: events,
  page: 1,
  pageSize: 500,
});
const chart = () => screen.findByRole("group", { name: /^Requests of the session\./ });
const opened = vi.fn();
const view = <SessionView session="refactor" onOpen={opened} />;

test("a session is summed up in words, for those who cannot see its waterfall", async () => {
  fakeGateway({ Session: () => answer() });
  show(view, "/sessions?open=refactor&tz=UTC");
  expect(await chart()).toHaveAccessibleName("Requests of the session. 3 in one lane, 1 failed, 1 retried.");
  expect(screen.getByText("2.7 s of it without a request")).toBeInTheDocument();
  expect(screen.getByText("150 % of the wall time")).toBeInTheDocument();
  // Of unknown costs nothing is said, and nothing is drawn.
  expect(screen.queryByText(/cost/i)).toBeNull();
});

test("keys walk through the requests and read them out, and Enter opens one", async () => {
  fakeGateway({ Session: () => answer() });
  show(view, "/sessions?open=refactor&tz=UTC");
  (await chart()).focus();
  await userEvent.keyboard("{ArrowRight}");
  expect(
    screen.getAllByText(
      "1 of 3 · 14:00:00 · qwen3-8b · ok · 4 s, first token after 500 ms · 812 prompt, 50 % cached · 345 completion",
    ),
  ).not.toHaveLength(0);
  await userEvent.keyboard("{End}");
  expect(screen.getAllByText(/^3 of 3 .* · retry of 2$/)).not.toHaveLength(0);
  await userEvent.keyboard("{Enter}");
  expect(opened).toHaveBeenLastCalledWith(expect.objectContaining({ startedAt: NOON + 7_000 }));
  expect(screen.getByRole("button", { name: "All" })).toBeDisabled();
  await userEvent.keyboard("+");
  expect(screen.getByRole("button", { name: "All" })).toBeEnabled();
  await userEvent.keyboard("0");
  expect(screen.getByRole("button", { name: "All" })).toBeDisabled();
});

test("its requests are a table as well", async () => {
  fakeGateway({ Session: () => answer() });
  show(view, "/sessions?open=refactor&tz=UTC");
  await chart();
  const [table] = screen.getAllByRole("button", { name: "Table" });
  if (table) await userEvent.click(table);
  const rows = within(screen.getByRole("region", { name: /as a table$/ })).getAllByRole("row");
  expect(rows).toHaveLength(4);
  expect(rows[3]).toHaveTextContent(/^3 · 14:00:071qwen3-8bok, retry of 2/);
  await userEvent.click(screen.getByRole("button", { name: "2 · 14:00:05" }));
  expect(opened).toHaveBeenLastCalledWith(expect.objectContaining({ status: 529 }));
});

test("a session that runs grows, and one that is over is not asked for with every event", async () => {
  const now = Date.now();
  let events = requests();
  const gateway = fakeGateway({ Session: () => answer(events, { lastEndedAt: now }) });
  const client = testClient();
  show(view, "/sessions?open=refactor", client);
  await chart();
  events = [...events, event({ startedAt: NOON + 20_000 })];
  const notPast = { predicate: ({ meta }: { meta?: { past?: boolean } | undefined }) => meta?.past !== true };
  await client.invalidateQueries(notPast);
  expect(await screen.findByRole("group", { name: /^Requests of the session\. 4 in/ })).toBeInTheDocument();
  gateway.handlers.Session = () => answer(events, { lastEndedAt: now - 2 * 3_600_000 });
  await client.invalidateQueries(notPast);
  await vi.waitFor(() =>
    expect(
      client
        .getQueryCache()
        .getAll()
        .some(({ meta }) => meta?.past),
    ).toBe(true),
  );
});

test("of many requests 500 are a page, and a session that is not there is said", async () => {
  const gateway = fakeGateway({ Session: () => answer(requests(), { requests: 1_203 }) });
  const { unmount } = show(view, "/sessions?open=refactor&page=2");
  expect(await screen.findByText("501–1,000 of 1,203")).toBeVisible();
  expect(gateway.asked[0]?.payload).toEqual({ session: "refactor", page: 2, pageSize: 500 });
  unmount();
  gateway.handlers.Session = () => ({ session: null, requests: [], page: 1, pageSize: 500 });
  show(view, "/sessions?open=refactor");
  expect(await screen.findByText("No such session")).toBeVisible();
});

test("a window stays within the session, and is no narrower than can be told apart", () => {
  const whole = { start: 0, end: 1_000 };
  expect(scaled(whole, 0.5)).toEqual({ start: 250, end: 750 });
  expect(scaled(whole, 0.5, 0)).toEqual({ start: 0, end: 500 });
  expect(windowWithin({ start: 900, end: 1_300 }, whole)).toEqual({ start: 600, end: 1_000 });
  expect(windowWithin({ start: -500, end: 5_000 }, whole)).toEqual(whole);
  expect(windowWithin({ start: 500, end: 501 }, whole)).toEqual({ start: 490.5, end: 510.5 });
});
