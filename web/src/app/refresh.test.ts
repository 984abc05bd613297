import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { beforeEach, expect, test, vi } from "vitest";
import { refresher } from "./refresh.ts";

const client = new QueryClient();
const hide = (hidden: boolean) => {
  vi.spyOn(document, "hidden", "get").mockReturnValue(hidden);
  document.dispatchEvent(new Event("visibilitychange"));
};

beforeEach(() => {
  vi.useFakeTimers();
});

test("many changes within a second are one refetch", () => {
  const invalidate = vi.spyOn(client, "invalidateQueries");
  const refresh = refresher(client);
  const stop = refresh.start();
  for (let change = 0; change < 10; change++) refresh.changed();
  vi.advanceTimersByTime(2_000);
  expect(invalidate).toHaveBeenCalledTimes(1);
  stop();
});

test("a change after a quiet time is asked for at once, and the next one a second later", () => {
  const invalidate = vi.spyOn(client, "invalidateQueries");
  const refresh = refresher(client);
  refresh.changed();
  vi.advanceTimersByTime(0);
  expect(invalidate).toHaveBeenCalledTimes(1);
  refresh.changed();
  vi.advanceTimersByTime(999);
  expect(invalidate).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(1);
  expect(invalidate).toHaveBeenCalledTimes(2);
  vi.advanceTimersByTime(10_000);
  expect(invalidate).toHaveBeenCalledTimes(2);
});

test("nothing is fetched while the tab is hidden, and once on return", () => {
  const invalidate = vi.spyOn(client, "invalidateQueries");
  const refresh = refresher(client);
  const stop = refresh.start();
  hide(true);
  refresh.changed();
  vi.advanceTimersByTime(60_000);
  expect(invalidate).not.toHaveBeenCalled();
  hide(false);
  vi.advanceTimersByTime(1_000);
  expect(invalidate).toHaveBeenCalledTimes(1);
  stop();
});

test("while paused, changes wait", () => {
  const invalidate = vi.spyOn(client, "invalidateQueries");
  const refresh = refresher(client);
  const stop = refresh.start();
  refresh.pause(true);
  refresh.changed();
  vi.advanceTimersByTime(5_000);
  expect(invalidate).not.toHaveBeenCalled();
  refresh.pause(false);
  vi.advanceTimersByTime(1_000);
  expect(invalidate).toHaveBeenCalledTimes(1);
  stop();
});

test("a change during a fetch is asked for after it", () => {
  const invalidate = vi.spyOn(client, "invalidateQueries");
  const fetching = vi.spyOn(client, "isFetching").mockReturnValue(1);
  const refresh = refresher(client);
  const stop = refresh.start();
  refresh.changed();
  vi.advanceTimersByTime(3_000);
  expect(invalidate).not.toHaveBeenCalled();
  fetching.mockReturnValue(0);
  vi.advanceTimersByTime(1_000);
  expect(invalidate).toHaveBeenCalledTimes(1);
  stop();
});

test("what lies in the past is not asked for again at each change, but by a new connection", async () => {
  const asked = { past: vi.fn(async () => 0), present: vi.fn(async () => 0) };
  const observers = Object.entries(asked).map(([key, queryFn]) =>
    new QueryObserver(client, {
      queryKey: [key],
      queryFn,
      meta: { past: key === "past" },
      staleTime: Number.POSITIVE_INFINITY,
      networkMode: "always",
    }).subscribe(() => {}),
  );
  await vi.advanceTimersByTimeAsync(100);
  const refresh = refresher(client);
  const stop = refresh.start();
  refresh.changed();
  await vi.advanceTimersByTimeAsync(1_000);
  expect([asked.past, asked.present].map((ask) => ask.mock.calls.length)).toEqual([1, 2]);
  refresh.connected();
  await vi.advanceTimersByTimeAsync(1_000);
  expect([asked.past, asked.present].map((ask) => ask.mock.calls.length)).toEqual([2, 3]);
  stop();
  for (const unsubscribe of observers) unsubscribe();
});
