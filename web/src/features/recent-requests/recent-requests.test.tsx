import { useIsFetching } from "@tanstack/react-query";
import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { live } from "../../api/live.ts";
import { catchDownloads, openPopover } from "../../testing/browser.ts";
import { event, idAt, NOON, page } from "../../testing/fixtures.ts";
import { DatabaseDown, fakeGateway } from "../../testing/gateway.ts";
import { show, testClient } from "../../testing/render.tsx";
import ColumnChoices from "./column-choices.tsx";
import { COLUMNS } from "./columns.tsx";
import { RecentRequests } from "./recent-requests.tsx";
import { RequestDrawer } from "./request-drawer.tsx";
import { timeOfId } from "./use-one-request.ts";

const changed = vi.fn();
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

/** Rows that started one after another, so many ms before noon; each ran for a second. */
const ran = (...before: number[]) =>
  page(before.map((ms) => event({ startedAt: NOON - ms, duration: 1_000 })));
const opened = <RecentRequests pageSize={10} columns={all} onOpen={() => {}} />;
const times = () => screen.getAllByRole("button", { name: /ago|Nov/ }).length;

test("what ended last is on top, whenever it started", async () => {
  const long = event({ startedAt: NOON - 60_000, duration: 90_000, model: "slow" });
  fakeGateway({ RecentRequests: () => page([event({ model: "quick", duration: 10 }), long]) });
  show(list);
  await screen.findByText("slow");
  const [, first, second] = screen.getAllByRole("row");
  expect(first).toHaveTextContent("slow");
  expect(second).toHaveTextContent("quick");
});

test("a few new rows come by themselves, many wait behind a button", async () => {
  const gateway = fakeGateway({ RecentRequests: () => ran(100, 200) });
  const client = testClient();
  show(opened, "/", client);
  await screen.findAllByRole("button", { name: /ago|Nov/ });
  gateway.handlers.RecentRequests = () => ran(90, 100, 200);
  await client.invalidateQueries();
  await vi.waitFor(() => expect(times()).toBe(3));
  gateway.handlers.RecentRequests = () => ran(10, 20, 30, 40, 90, 100, 200);
  await client.invalidateQueries();
  const newer = await screen.findByRole("button", { name: "4 new" });
  expect(times()).toBe(3);
  await userEvent.click(newer);
  expect(times()).toBe(7);
  expect(screen.queryByRole("button", { name: /new$/ })).toBeNull();
});

test("rows do not move under the pointer", async () => {
  const gateway = fakeGateway({ RecentRequests: () => ran(100, 200) });
  const client = testClient();
  show(opened, "/", client);
  await userEvent.hover((await screen.findAllByRole("row"))[1] as HTMLElement);
  gateway.handlers.RecentRequests = () => ran(90, 100, 200);
  await client.invalidateQueries();
  expect(await screen.findByRole("button", { name: "1 new" })).toBeVisible();
  expect(times()).toBe(2);
  await userEvent.unhover(screen.getByRole("region", { name: "List of requests" }));
  await vi.waitFor(() => expect(times()).toBe(3));
});

test("rows that stay are not drawn anew", async () => {
  const gateway = fakeGateway({ RecentRequests: () => ran(100, 200) });
  const client = testClient();
  const draws = vi.spyOn(COLUMNS[2] as (typeof COLUMNS)[number], "cell");
  show(opened, "/", client);
  await screen.findAllByRole("button", { name: /ago|Nov/ });
  draws.mockClear();
  gateway.handlers.RecentRequests = () => ran(90, 100, 200);
  await client.invalidateQueries();
  await vi.waitFor(() => expect(times()).toBe(3));
  expect(draws).toHaveBeenCalledTimes(1);
});

test("the time of every row has seconds", async () => {
  fakeGateway({ RecentRequests: () => page([event({ startedAt: NOON + 3, duration: 0 })]) });
  show(opened, "/?tz=UTC");
  expect(await screen.findByRole("button", { name: /:\d\d$|ago$/ })).toHaveTextContent(/14:00:00|\d s ago/);
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
  expect(await screen.findByText("Could not load requests")).toBeVisible();
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

test("images, audio and spoken characters of a request are told, where there are any", async () => {
  const wanted = event({
    imagePromptTokens: 258,
    imageCompletionTokens: 1_290,
    audioPromptTokens: 0,
    images: 2,
    characters: 1_200,
  });
  fakeGateway({ RecentRequests: () => page([wanted]) });
  show(<RequestDrawer id={wanted.eventId} onClose={() => {}} />, `/requests/${wanted.eventId}`);
  const tokens = (await screen.findByText("Characters spoken")).closest("section");
  expect(tokens).toHaveTextContent("of which images258");
  expect(tokens).toHaveTextContent("of which images1,290");
  expect(tokens).toHaveTextContent("Images made2");
  expect(tokens).toHaveTextContent("Characters spoken1,200");
  expect(tokens).not.toHaveTextContent("audio");
});

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

test("a request leads to its trace, and to the others of it", async () => {
  const user = userEvent.setup();
  live.event("connected", { now: NOON, traceUrl: "https://traces.example.com/t/{trace_id}?s={span_id}" });
  const wanted = event({ traceId: TRACE, spanId: null, parentSpanId: "00f067aa0ba902b7" });
  fakeGateway({ RecentRequests: () => page([wanted]) });
  show(<RequestDrawer id={wanted.eventId} onClose={() => {}} />, `/requests/${wanted.eventId}`);
  const link = await screen.findByRole("link", { name: "Open trace" });
  expect(link).toHaveAttribute("href", `https://traces.example.com/t/${TRACE}?s=00f067aa0ba902b7`);
  expect(link).toHaveAttribute("target", "_blank");
  expect(link.getAttribute("rel")).toContain("noopener");
  await user.click(screen.getByRole("button", { name: `Copy ${TRACE}` }));
  expect(await navigator.clipboard.readText()).toBe(TRACE);
  await user.click(screen.getByRole("button", { name: TRACE }));
  expect(location.search).toBe(`?trace=${TRACE}`);
});

test("without a template there is no link, and without a trace no id", async () => {
  live.event("connected", { now: NOON });
  const [traced, other] = [event({ traceId: TRACE }), event({ traceId: null })];
  fakeGateway({ RecentRequests: () => page([traced]) });
  const { unmount } = show(<RequestDrawer id={traced.eventId} onClose={() => {}} />);
  expect(await screen.findByRole("button", { name: TRACE })).toBeVisible();
  expect(screen.queryByRole("link")).toBeNull();
  unmount();
  fakeGateway({ RecentRequests: () => page([other]) });
  show(<RequestDrawer id={other.eventId} onClose={() => {}} />);
  expect((await screen.findByText("Trace")).nextSibling).toHaveTextContent("–");
});

test("an id of nothing is said to be none", async () => {
  fakeGateway({ RecentRequests: () => page([]) });
  show(<RequestDrawer id={idAt(NOON)} onClose={() => {}} />);
  expect(await screen.findByText("No such request")).toBeVisible();
});

test("a request that could not be loaded says so while it is asked for again", async () => {
  const gateway = fakeGateway({
    RecentRequests: () => {
      throw new DatabaseDown("The database does not answer.");
    },
  });
  const Asking = () => (useIsFetching({ queryKey: ["RecentRequests"] }) > 0 ? <p>asking</p> : <p>at rest</p>);
  const client = testClient();
  const drawer = <RequestDrawer key="drawer" id={idAt(NOON)} onClose={() => {}} />;
  show([drawer, <Asking key="asking" />], "/requests", client);
  expect(await screen.findByText("Could not load the request")).toBeVisible();
  await screen.findByText("at rest");
  gateway.handlers.RecentRequests = () => new Promise(() => {});
  void client.invalidateQueries();
  await screen.findByText("asking");
  expect(screen.getByText("Could not load the request")).toBeVisible();
});

test("ids hold their time", () => {
  expect(timeOfId(idAt(NOON))).toBe(NOON);
  expect(timeOfId("nonsense")).toBeNull();
});

test("an export holds exactly the columns shown, raw, with unknown left empty", async () => {
  const files = catchDownloads();
  fakeGateway({ RecentRequests: () => page([event({ completionTokens: null })]) });
  show(
    <RecentRequests columns={["startedAt", "outcome", "completionTokens"]} />,
    "/requests?tz=Asia/Kolkata&model=qwen3-8b&from=2026-11-23T13:00:00Z&to=2026-11-23T15:00:00Z",
  );
  openPopover(await screen.findByRole("button", { name: "Export requests" }));
  await userEvent.click(await screen.findByRole("button", { name: "CSV", hidden: true }));
  expect(await files.get("modash-requests_2026-11-23T18-30_2026-11-23T20-30_model-qwen3-8b.csv")).toBe(
    `eventId,startedAt,outcome,completionTokens\r\n${idAt(NOON)},2026-11-23T19:30:00.000+05:30,OUTCOME_OK,\r\n`,
  );
});

test("columns are chosen and ordered, and the URL keeps them", async () => {
  fakeGateway({ RecentRequests: () => page([event()]) });
  const usual = ["startedAt", "model", "duration"];
  const { unmount } = show(<RecentRequests columns={usual} />, "/requests?cols=duration,model,odd");
  const heads = () => screen.getAllByRole("columnheader").map((head) => head.textContent);
  await screen.findByRole("columnheader", { name: "Model" });
  expect(heads()).toEqual(["Duration", "Model"]);
  unmount();
  show(<ColumnChoices shown={["duration", "model"]} onChange={changed} />);
  await userEvent.click(screen.getByRole("button", { name: "Model to the left" }));
  expect(changed).toHaveBeenLastCalledWith(["model", "duration"]);
  await userEvent.click(screen.getByRole("checkbox", { name: "Status" }));
  expect(changed).toHaveBeenLastCalledWith(["duration", "model", "outcome"]);
  await userEvent.click(screen.getByRole("checkbox", { name: "Duration" }));
  expect(changed).toHaveBeenLastCalledWith(["model"]);
  await userEvent.click(screen.getByRole("button", { name: "The usual columns" }));
  expect(changed).toHaveBeenLastCalledWith(null);
});
