import { fireEvent, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { event, NOON, page } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { PromptScatter } from "./prompt-scatter.tsx";

const rows = [
  event({ startedAt: NOON + 1, promptTokens: 9_000, firstToken: 4_000 }),
  event({ startedAt: NOON + 2, promptTokens: 100, firstToken: 200, model: "small" }),
  event({ startedAt: NOON + 3, promptTokens: null, firstToken: 200 }),
  event({ startedAt: NOON + 4, promptTokens: 100, firstToken: null }),
];

test("streams that reported both are placed, and walked by keys from the shortest prompt", async () => {
  const gateway = fakeGateway({ RecentRequests: () => page(rows) });
  const open = vi.fn();
  show(<PromptScatter onOpen={open} />, "/throughput?model=a");
  const chart = await screen.findByRole("group", { name: /^Prompt length against time to first token/ });
  expect(chart).toHaveAccessibleName(/2 requests, prompts of 100 to 9,000 tokens/);
  expect(screen.getByText("the latest 2 streams that reported both")).toBeVisible();
  chart.focus();
  await userEvent.keyboard("{ArrowRight}");
  expect(screen.getAllByText("small: 100 prompt tokens, first token after 200 ms").length).toBeGreaterThan(0);
  await userEvent.keyboard("{ArrowRight}{Enter}");
  expect(open).toHaveBeenCalledWith(expect.objectContaining({ eventId: rows[0]?.eventId }));
  expect(gateway.asked[0]?.payload).toMatchObject({ pageSize: 100, filter: { models: ["a"], stream: true } });
});

test("the same requests are there as a table", async () => {
  fakeGateway({ RecentRequests: () => page(rows) });
  const open = vi.fn();
  show(<PromptScatter onOpen={open} />);
  await userEvent.click(await screen.findByRole("button", { name: "Table" }));
  expect(within(screen.getByRole("table")).getAllByRole("row")).toHaveLength(3);
  await userEvent.click(screen.getByRole("button", { name: "small" }));
  expect(open).toHaveBeenCalledWith(expect.objectContaining({ eventId: rows[1]?.eventId }));
});

test("where nothing can be placed, it says why", async () => {
  fakeGateway({ RecentRequests: () => page([event({ promptTokens: null })]) });
  show(<PromptScatter onOpen={() => {}} />);
  expect(
    await screen.findByText("No stream of this range reported its prompt and its first token"),
  ).toBeVisible();
});

test("a drag leads to the streams with prompts of these lengths, a click opens one", async () => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      constructor(readonly seen: (entries: object[]) => void) {}
      observe() {
        this.seen([{ contentRect: { width: 500 } }]);
      }
      disconnect() {}
    },
  );
  fakeGateway({ RecentRequests: () => page(rows) });
  const open = vi.fn();
  show(<PromptScatter onOpen={open} />, "/throughput?from=-1h&model=a");
  const chart = await screen.findByRole("group", { name: /^Prompt length/ });
  const circle = await vi.waitFor(() => chart.querySelector("circle") as Element);
  const at = { clientX: Number(circle.getAttribute("cx")), clientY: Number(circle.getAttribute("cy")) };
  fireEvent.pointerDown(chart, { ...at, button: 0 });
  fireEvent.pointerUp(chart, at);
  expect(open).toHaveBeenCalledWith(expect.objectContaining({ eventId: rows[1]?.eventId }));
  // From the left end of the axis to its right one.
  fireEvent.pointerDown(chart, { clientX: 488, button: 0 });
  fireEvent.pointerMove(chart, { clientX: 56 });
  fireEvent.pointerUp(chart, { clientX: 56 });
  expect(location.pathname + location.search).toBe("/requests?from=-1h&model=a&prompt=80-11250&stream=yes");
  expect(open).toHaveBeenCalledTimes(1);
});
