import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { cost, sessionRow } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { SessionTable } from "./session-table.tsx";

const answer = (...rows: ReturnType<typeof sessionRow>[]) => ({
  rows,
  total: rows.length,
  page: 1,
  pageSize: 50,
});

test("a session has its sums, and its name leads to it", async () => {
  fakeGateway({
    Sessions: () =>
      answer(
        sessionRow({ failedRequests: 1, cost: cost({ nanoUsd: 70_000_000, knownRequests: 3 }) }),
        sessionRow({ session: "a.b/c, d" }),
      ),
  });
  show(<SessionTable />, "/sessions?from=-7d&page=2");
  const row = await screen.findByRole("row", { name: /^refactor/ });
  for (const text of ["1 m 00 s", "1 m 30 s", "10k", "50 %", "$0.07"])
    expect(within(row).getByText(text)).toBeVisible();
  expect(within(row).getByRole("link", { name: "1" })).toHaveAttribute(
    "href",
    "/requests?from=-7d&session=refactor&status=error",
  );
  expect(screen.getByRole("link", { name: "a.b/c, d" })).toHaveAttribute(
    "href",
    "/sessions?from=-7d&open=a.b%2Fc%2C+d",
  );
});

test("the server orders; filters that sums of sessions do not know are left out and named", async () => {
  const gateway = fakeGateway({ Sessions: () => answer(sessionRow()) });
  show(<SessionTable />, "/sessions?model=a&status=error&not.session=b&not.client=c");
  await screen.findByRole("row", { name: /^refactor/ });
  expect(screen.getByText("not filtered by status, not.session")).toBeVisible();
  expect(gateway.asked[0]?.payload).toMatchObject({
    order: "SESSION_ORDER_LAST_SEEN",
    filter: { models: ["a"], exclude: { clientKeys: ["c"] } },
  });
  expect(JSON.stringify(gateway.asked[0]?.payload)).not.toMatch(/outcomes|sessions/);
  // Without a known cost there is no column to order by.
  expect(screen.queryByRole("button", { name: "Cost" })).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Model time" }));
  await vi.waitFor(() =>
    expect(gateway.asked.at(-1)?.payload).toMatchObject({ order: "SESSION_ORDER_MODEL_TIME" }),
  );
});

test("where there are none, it says what a session is", async () => {
  fakeGateway({ Sessions: () => answer() });
  show(<SessionTable />, "/sessions");
  expect(await screen.findByText("No sessions in this range")).toBeVisible();
  expect(screen.getByText(/x-modash-session/)).toBeVisible();
});
