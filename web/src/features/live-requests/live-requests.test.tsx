import { act, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { live, type Row } from "../../api/live.ts";
import { running } from "../../testing/fixtures.ts";
import { show } from "../../testing/render.tsx";
import { LiveRequests } from "./live-requests.tsx";
import { assignSlots } from "./slots.ts";

const row = (id: string, endedAt: number | null = null): Row => ({ ...running({ id }), endedAt, rates: [] });

test("before there is a connection, nothing is claimed", () => {
  show(<LiveRequests />);
  expect(screen.getByText("Not known")).toBeVisible();
});

test("a request appears, streams and ends with its result", () => {
  show(<LiveRequests />);
  act(() => {
    live.connection("open");
    live.event("connected", { now: Date.now(), requests: [] });
  });
  expect(screen.getByText("Nothing is running")).toBeVisible();
  const startedAt = Date.now() - 12_340;
  act(() => live.event("request-state-updated", { now: Date.now(), requests: [running({ startedAt })] }));
  expect(screen.getByText("waiting")).toBeVisible();
  expect(screen.getByText(/^12\.\d s$/)).toBeVisible();
  const streaming = running({
    startedAt,
    state: "streaming",
    firstTokenAt: startedAt + 2_000,
    contentEvents: 400,
  });
  act(() => live.event("request-state-updated", { now: Date.now(), requests: [streaming] }));
  expect(screen.getByText("400 tok")).toBeVisible();
  expect(screen.getByText("1 running")).toBeVisible();
  const done = running({ ...streaming, state: "completed", completionTokens: 512 });
  act(() => live.event("request-state-updated", { now: Date.now(), requests: [done] }));
  expect(screen.getByText("done")).toBeVisible();
  expect(screen.getByText("512 tok")).toBeVisible();
  expect(screen.getByText("0 running")).toBeVisible();
});

test("lines keep their place when others leave", () => {
  const first = assignSlots([], [row("a"), row("b"), row("c")], 8);
  expect(first).toEqual(["a", "b", "c"]);
  const without = assignSlots(first, [row("a"), row("c")], 8);
  expect(without).toEqual(["a", null, "c"]);
  expect(assignSlots(without, [row("a"), row("c"), row("d")], 8)).toEqual(["a", "d", "c"]);
});

test("running requests come before results where places are few", () => {
  expect(assignSlots([], [row("old", 1), row("new")], 1)).toEqual(["new"]);
  expect(assignSlots(["a", "old", "b"], [row("a"), row("old", 1), row("b"), row("new")], 3)).toEqual([
    "a",
    "new",
    "b",
  ]);
  expect(assignSlots(["a"], [row("a"), row("old", 1)], 1)).toEqual(["a"]);
});

test("while analytics is lost, no request is said to run or not to", () => {
  show(<LiveRequests />);
  act(() => {
    live.connection("open");
    live.event("connected", { now: Date.now(), live: true, requests: [running()] });
  });
  expect(screen.getByText("1 running")).toBeVisible();
  act(() => live.event("request-state-updated", { now: Date.now(), live: false, requests: [] }));
  expect(screen.getByText("Not known")).toBeVisible();
  expect(screen.getByText(/^Analytics is not reachable/)).toBeVisible();
  expect(screen.queryByText("waiting")).toBeNull();
});

test("a model's name narrows the view to it", async () => {
  show(<LiveRequests />, "/?from=-1h");
  act(() => {
    live.connection("open");
    live.event("connected", { now: Date.now(), live: true, requests: [running({ model: "a,b" })] });
  });
  await userEvent.click(screen.getByRole("button", { name: "a,b" }));
  expect(new URLSearchParams(location.search).get("model")).toBe("a%2Cb");
  act(() => live.event("connected", { now: Date.now(), live: true, requests: [] }));
});

test("a list of few lines keeps its height and says how many more run", () => {
  show(<LiveRequests lines={2} />);
  const requests = ["1", "2", "3"].map((id) => running({ id }));
  act(() => {
    live.connection("open");
    live.event("connected", { now: Date.now(), live: true, requests });
  });
  expect(screen.getByText("3 running, 1 more not shown")).toBeVisible();
  const height = screen.getByRole("list").style.minHeight;
  act(() => live.event("connected", { now: Date.now(), live: true, requests: [] }));
  expect(screen.getByText("Nothing is running").parentElement?.style.minHeight).toBe(height);
});
