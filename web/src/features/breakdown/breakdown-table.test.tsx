import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import type { Answer } from "../../api/types.ts";
import { catchDownloads, openPopover } from "../../testing/browser.ts";
import { breakdownRow, cost } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { BreakdownTable } from "./breakdown-table.tsx";

const answer = (...rows: Answer<"Breakdown">["rows"]): Answer<"Breakdown"> => ({
  rows,
  total: rows.length,
  other: null,
  page: 1,
  pageSize: 50,
});

test("clients are what requests are broken down by at first, and the address says by what else", async () => {
  const gateway = fakeGateway({
    Breakdown: () => answer(breakdownRow({ key: "9f2c41aa07be6d13" }), breakdownRow({ key: "" })),
  });
  show(<BreakdownTable />, "/breakdown?from=-7d");
  expect(await screen.findByRole("button", { name: "9f2c41aa07be6d13" })).toBeVisible();
  expect(screen.getByText("no key")).toBeVisible();
  expect(gateway.asked[0]?.payload).toMatchObject({
    groupBy: { dimension: "DIMENSION_CLIENT_KEY" },
    order: "BREAKDOWN_ORDER_REQUESTS",
    page: 1,
  });
  await userEvent.selectOptions(screen.getByLabelText("By"), "Upstream");
  expect(location.search).toBe("?from=-7d&by=upstream");
  await vi.waitFor(() =>
    expect(gateway.asked.at(-1)?.payload).toMatchObject({ groupBy: { dimension: "DIMENSION_UPSTREAM" } }),
  );
});

test("a row narrows the view, and its numbers lead to its requests", async () => {
  fakeGateway({ Breakdown: () => answer(breakdownRow({ key: "OPERATION_COUNT_TOKENS" })) });
  show(<BreakdownTable />, "/breakdown?by=operation");
  const row = await screen.findByRole("row", { name: /^count_tokens/ });
  expect(within(row).getByRole("link", { name: "100" })).toHaveAttribute(
    "href",
    "/requests?operation=count_tokens",
  );
  expect(within(row).getByRole("link", { name: "1 %" })).toHaveAttribute(
    "href",
    "/requests?operation=count_tokens&status=error",
  );
  await userEvent.click(within(row).getByRole("button"));
  expect(location.search).toBe("?by=operation&operation=count_tokens");
});

test("a session leads to its page, and what no filter can say leads nowhere", async () => {
  const gateway = fakeGateway({ Breakdown: () => answer(breakdownRow({ key: "a b" })) });
  const { unmount } = show(<BreakdownTable />, "/breakdown?by=session");
  expect(await screen.findByRole("link", { name: "a b" })).toHaveAttribute("href", "/sessions?open=a+b");
  unmount();
  gateway.handlers.Breakdown = () => answer(breakdownRow({ key: "openai-python" }));
  show(<BreakdownTable />, "/breakdown?by=agent");
  const row = await screen.findByRole("row", { name: /^openai-python/ });
  expect(within(row).queryAllByRole("link")).toEqual([]);
});

test("a tag is asked for once it is named", async () => {
  const gateway = fakeGateway({ Breakdown: () => answer(breakdownRow({ key: "search" })) });
  show(<BreakdownTable />, "/breakdown?by=tag:");
  expect(await screen.findByText("Which tag?")).toBeVisible();
  expect(gateway.asked).toHaveLength(0);
  await userEvent.type(screen.getByLabelText("Name of the tag"), "team{Enter}");
  const row = await screen.findByRole("row", { name: /^search/ });
  expect(gateway.asked.at(-1)?.payload).toMatchObject({ groupBy: { tag: "team" } });
  expect(within(row).getByRole("link", { name: "100" })).toHaveAttribute(
    "href",
    "/requests?tag=team%3Asearch",
  );
});

test("the server orders and pages, and a changed order starts at the first page", async () => {
  const gateway = fakeGateway({ Breakdown: () => ({ ...answer(breakdownRow()), total: 120, page: 2 }) });
  show(<BreakdownTable />, "/breakdown?page=2");
  expect(await screen.findByText("51–100 of 120")).toBeVisible();
  expect(screen.queryByRole("button", { name: "Cached" })).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Errors" }));
  expect(location.search).toBe("?order=errors");
  await vi.waitFor(() =>
    expect(gateway.asked.at(-1)?.payload).toMatchObject({ order: "BREAKDOWN_ORDER_ERROR_SHARE", page: 1 }),
  );
  expect(screen.getByRole("columnheader", { name: /Errors/ })).toHaveAttribute("aria-sort", "descending");
});

test("all others are the last row, and an export has costs exactly and in dollars", async () => {
  const files = catchDownloads();
  const priced = cost({ nanoUsd: 1_000_000_001, knownRequests: 9, unknownRequests: 1 });
  fakeGateway({
    Breakdown: () => ({
      ...answer(breakdownRow({ key: "a", cost: priced })),
      total: 51,
      other: breakdownRow({ key: "", lastSeenAt: null }),
    }),
  });
  show(<BreakdownTable />, "/breakdown?by=upstream");
  const rows = await screen.findAllByRole("row");
  expect(rows.at(-1)).toHaveTextContent(/^all others/);
  expect(screen.getByText("≥ $1.00")).toBeVisible();
  openPopover(screen.getByRole("button", { name: "Export breakdown by upstream" }));
  await userEvent.click(await screen.findByRole("button", { name: "CSV", hidden: true }));
  const [text] = await Promise.all(files.values());
  expect(text).toMatch(
    /^upstream,requests,share,.*,costNanoUsd,costUsd,cacheSavingNanoUsd,requestsOfUnknownCost/,
  );
  expect(text).toMatch(/,1000000001,1\.000000001,0,1,/);
});
