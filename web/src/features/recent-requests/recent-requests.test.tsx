import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { download } from "../../lib/download.ts";
import { event, idAt, NOON, page } from "../../testing/fixtures.ts";
import { DatabaseDown, fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { COLUMNS } from "./columns.tsx";
import { RecentRequests } from "./recent-requests.tsx";
import { RequestDrawer } from "./request-drawer.tsx";
import { timeOfId } from "./use-one-request.ts";

vi.mock("../../lib/download.ts", async (original) => ({ ...(await original<object>()), download: vi.fn() }));

const all = COLUMNS.map(({ id }) => id);
const list = <RecentRequests pageSize={10} columns={all} />;

test("a row says how it ended, what it used and how that is known", async () => {
  fakeGateway({
    RecentRequests: () =>
      page([
        event({ startedAt: NOON }),
        event({
          startedAt: NOON - 1,
          outcome: "OUTCOME_HTTP_ERROR",
          status: 429,
          usageSource: "USAGE_SOURCE_NOT_REPORTED",
          promptTokens: null,
          completionTokens: null,
        }),
        event({ startedAt: NOON - 2, usageSource: "USAGE_SOURCE_ESTIMATED", promptTokens: null }),
        event({
          startedAt: NOON - 3,
          outcome: "OUTCOME_CLIENT_CLOSED",
          usageSource: "USAGE_SOURCE_UPSTREAM_PARTIAL",
        }),
      ]),
  });
  show(list);
  const [, ok, failed, estimated, cancelled] = await screen.findAllByRole("row");
  for (const text of ["ok", "812", "345", "reported", "43", "8.34 s"]) expect(ok).toHaveTextContent(text);
  for (const text of ["HTTP 429", "not reported", "–"]) expect(failed).toHaveTextContent(text);
  expect(estimated).toHaveTextContent("≈ 345");
  for (const text of ["cancelled", "≥ 812", "partial"]) expect(cancelled).toHaveTextContent(text);
});

test("pages are asked for by number, and the URL keeps them", async () => {
  const gateway = fakeGateway({ RecentRequests: () => page([event()], 25) });
  show(list);
  expect(await screen.findByText("1–10 of 25")).toBeVisible();
  expect(screen.getByRole("button", { name: "Newer requests" })).toBeDisabled();
  await userEvent.click(screen.getByRole("button", { name: "Older requests" }));
  await vi.waitFor(() => expect(gateway.asked.at(-1)?.payload).toMatchObject({ page: 2, pageSize: 10 }));
  expect(location.search).toBe("?page=2");
  await userEvent.click(screen.getByRole("button", { name: "Older requests" }));
  expect(await screen.findByText("21–25 of 25")).toBeVisible();
  expect(screen.getByRole("button", { name: "Older requests" })).toBeDisabled();
});

test("an empty range points to the last request there was", async () => {
  const last = Date.now() - 3 * 3_600_000;
  fakeGateway({
    RecentRequests: (payload) => (payload.pageSize === 1 ? page([event({ startedAt: last })]) : page([])),
  });
  show(list, "/?from=-15m");
  expect(await screen.findByText("No requests in this range")).toBeVisible();
  await userEvent.click(await screen.findByRole("button", { name: "Go there" }));
  const params = new URLSearchParams(location.search);
  expect(Date.parse(params.get("from") ?? "")).toBeLessThan(last);
  expect(Date.parse(params.get("to") ?? "")).toBeGreaterThan(last);
});

test("an error stays in the panel", async () => {
  fakeGateway({
    RecentRequests: () => {
      throw new DatabaseDown("away");
    },
  });
  show(list);
  expect(await screen.findByRole("alert")).toHaveTextContent("Could not load requests");
});

test("a request is found by its id alone", async () => {
  const wanted = event();
  const gateway = fakeGateway({ RecentRequests: () => page([event({ startedAt: NOON - 3 }), wanted]) });
  show(<RequestDrawer id={wanted.eventId} onClose={() => {}} />, `/requests/${wanted.eventId}`);
  const drawer = await screen.findByRole("dialog", { name: "Request" });
  expect(await within(drawer).findByText("1,157")).toBeVisible();
  for (const [name, value] of [
    ["Connect", "1 ms"],
    ["Until the first token", "299 ms"],
    ["Streaming", "8 s"],
  ]) {
    expect(within(drawer).getByText(name ?? "", { exact: false })).toHaveTextContent(value ?? "");
  }
  expect(gateway.asked[0]?.payload).toMatchObject({ range: { start: NOON - 20, end: NOON + 20 } });
});

test("an id of nothing is said to be none", async () => {
  fakeGateway({ RecentRequests: () => page([]) });
  show(<RequestDrawer id={idAt(NOON)} onClose={() => {}} />);
  expect(await screen.findByText("No such request")).toBeVisible();
});

test("ids hold their time", () => {
  expect(timeOfId(idAt(NOON))).toBe(NOON);
  expect(timeOfId("nonsense")).toBeNull();
});

test("an export holds exactly the columns shown, raw, with unknown left empty", async () => {
  fakeGateway({ RecentRequests: () => page([event({ completionTokens: null })]) });
  show(
    <RecentRequests columns={["startedAt", "outcome", "completionTokens"]} />,
    "/requests?tz=Asia/Kolkata",
  );
  await userEvent.click(await screen.findByRole("button", { name: "CSV" }));
  expect(download).toHaveBeenCalledWith(
    "modash-requests.csv",
    "text/csv",
    `eventId,startedAt,outcome,completionTokens\r\n${idAt(NOON)},2026-11-23T19:30:00.000+05:30,OUTCOME_OK,\r\n`,
  );
});
