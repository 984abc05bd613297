import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import type { ErrorRow } from "../../api/types.ts";
import { NOON } from "../../testing/fixtures.ts";
import { DatabaseDown, fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { ErrorTable } from "./error-table.tsx";

const row = (change: Partial<ErrorRow> = {}): ErrorRow => ({
  outcome: "OUTCOME_HTTP_ERROR",
  errorType: "rate_limit_error",
  model: "qwen3-8b",
  upstream: "default",
  requests: 30,
  share: 0.75,
  firstStartedAt: NOON,
  lastStartedAt: NOON + 60_000,
  clientKeys: 2,
  sampleEventId: "019ab000-0000-7000-8000-000000000000",
  ...change,
});

test("a row says how often and whom, leads to its requests, and opens one of them", async () => {
  const other = row({
    outcome: "OUTCOME_UPSTREAM_TIMEOUT",
    errorType: null,
    model: "",
    requests: 10,
    sampleEventId: "",
  });
  fakeGateway({ ErrorBreakdown: () => ({ rows: [row(), other], total: 7, failedRequests: 40 }) });
  const open = vi.fn();
  show(<ErrorTable onOpen={open} />, "/requests?from=-1h");
  const first = within(await screen.findByRole("row", { name: /rate_limit_error/ }));
  expect(first.getByRole("cell", { name: "75 %" })).toBeVisible();
  expect(first.getByRole("link", { name: "30" })).toHaveAttribute(
    "href",
    "/requests?from=-1h&status=http_error&upstream=default&model=qwen3-8b",
  );
  const second = within(screen.getByRole("row", { name: /timed out unnamed/ }));
  expect(second.getByRole("link", { name: "10" })).toHaveAttribute(
    "href",
    "/requests?from=-1h&status=upstream_timeout&upstream=default",
  );
  // The retention dropped its requests.
  expect(second.queryByRole("button")).toBeNull();
  expect(screen.getByText("the 50 largest of 7 kinds")).toBeVisible();
  await userEvent.click(first.getByRole("button", { name: /^Open the newest/ }));
  expect(open).toHaveBeenCalledWith({ eventId: row().sampleEventId });
});

test("nothing failed, or nobody knows", async () => {
  const gateway = fakeGateway({ ErrorBreakdown: () => ({ rows: [], total: 0, failedRequests: 0 }) });
  const { unmount } = show(<ErrorTable onOpen={() => {}} />);
  expect(await screen.findByText("No request failed")).toBeVisible();
  unmount();
  gateway.handlers.ErrorBreakdown = () => {
    throw new DatabaseDown("usage data is unavailable");
  };
  show(<ErrorTable onOpen={() => {}} />);
  expect(await screen.findByText(/usage data is unavailable/)).toBeVisible();
});
