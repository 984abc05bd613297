import { beforeEach, expect, test, vi } from "vitest";
import { serverNow } from "../lib/clock.ts";
import { running } from "../testing/fixtures.ts";
import { LINGER_MS, LiveStore } from "./live.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
const update = (store: LiveStore, ...requests: ReturnType<typeof running>[]) =>
  store.event("request-state-updated", { now: Date.now(), requests });

test("a snapshot replaces what ran before", () => {
  const store = new LiveStore();
  update(store, running({ id: "old" }));
  store.event("connected", { now: Date.now(), requests: [running({ id: "new" })] });
  expect(store.get().rows.map(({ id }) => id)).toEqual(["new"]);
});

test("a request is patched in place", () => {
  const store = new LiveStore();
  update(store, running({ id: "a", contentEvents: 0 }));
  update(store, running({ id: "a", state: "streaming", contentEvents: 12 }));
  expect(store.get().rows).toHaveLength(1);
  expect(store.get().rows[0]).toMatchObject({ state: "streaming", contentEvents: 12 });
  expect(store.get().inFlight).toBe(1);
});

test("a finished request stays three seconds, no longer in flight", () => {
  const store = new LiveStore();
  update(store, running({ id: "a" }));
  update(store, running({ id: "a", state: "completed" }));
  expect(store.get().inFlight).toBe(0);
  vi.advanceTimersByTime(LINGER_MS - 100);
  store.tick();
  expect(store.get().rows).toHaveLength(1);
  vi.advanceTimersByTime(200);
  store.tick();
  expect(store.get().rows).toHaveLength(0);
});

test("the rate of now counts what came, not what a snapshot found", () => {
  const store = new LiveStore();
  store.connection("open");
  store.event("connected", {
    now: Date.now(),
    requests: [running({ id: "a", state: "streaming", contentEvents: 500 })],
  });
  vi.advanceTimersByTime(5_000);
  update(store, running({ id: "a", state: "streaming", contentEvents: 600 }));
  store.tick();
  expect(store.get().tokensPerSecond).toBe(20);
  vi.advanceTimersByTime(10_001);
  store.tick();
  expect(store.get().tokensPerSecond).toBe(0);
});

test("without a connection the rate of now is unknown", () => {
  const store = new LiveStore();
  store.tick();
  expect(store.get()).toMatchObject({ tokensPerSecond: null, known: false });
});

test("the server's clock counts", () => {
  const store = new LiveStore();
  store.event("connected", { now: Date.now() + 5_000, requests: [] });
  expect(serverNow() - Date.now()).toBe(5_000);
  store.event("connected", { now: Date.now(), requests: [] });
  expect(serverNow() - Date.now()).toBe(0);
});

test("a snapshot within the stream ends what it does not name", () => {
  const store = new LiveStore();
  update(store, running({ id: "lost" }));
  store.event("request-state-updated", { now: Date.now(), snapshot: true, requests: [running({ id: "a" })] });
  expect(store.get().rows.map(({ id }) => id)).toEqual(["a"]);
});

test("a list that was cut ends nothing", () => {
  const store = new LiveStore();
  update(store, running({ id: "a" }));
  store.event("connected", { now: Date.now(), truncated: true, requests: [running({ id: "b" })] });
  expect(store.get().inFlight).toBe(2);
});

test("a gateway that does not know what runs is not taken for an idle one", () => {
  const store = new LiveStore();
  store.event("connected", { now: Date.now(), live: false, requests: [] });
  expect(store.get().known).toBe(false);
  store.event("request-state-updated", { now: Date.now(), snapshot: true, requests: [] });
  expect(store.get().known).toBe(true);
});

test("what runs is not known while the gateway has lost analytics", () => {
  const store = new LiveStore();
  store.event("connected", { now: Date.now(), live: true, requests: [running({ id: "a" })] });
  expect(store.get().known).toBe(true);
  store.event("request-state-updated", { now: Date.now(), live: false, requests: [] });
  expect(store.get()).toMatchObject({ known: false, inFlight: 1 });
  store.event("request-state-updated", { now: Date.now(), live: true, snapshot: true, requests: [] });
  expect(store.get()).toMatchObject({ known: true, inFlight: 0 });
});

test("while analytics is lost there is no rate, and it begins anew with its return", () => {
  const store = new LiveStore();
  store.connection("open");
  store.event("connected", {
    now: Date.now(),
    live: true,
    requests: [running({ id: "a", state: "streaming" })],
  });
  vi.advanceTimersByTime(5_000);
  update(store, running({ id: "a", state: "streaming", contentEvents: 100 }));
  store.tick();
  expect(store.get().tokensPerSecond).toBe(20);
  store.event("request-state-updated", { now: Date.now(), live: false, requests: [] });
  expect(store.get().tokensPerSecond).toBeNull();
  vi.advanceTimersByTime(2_000);
  store.tick();
  expect(store.get().tokensPerSecond).toBeNull();
  expect(store.get().inFlightSamples).toHaveLength(1);
});

test("the live numbers count what passes the filter", () => {
  const store = new LiveStore();
  store.connection("open");
  store.event("connected", { now: Date.now(), live: true, requests: [] });
  const streaming = (id: string, model: string, contentEvents: number) =>
    running({ id, model, state: "streaming", contentEvents });
  update(store, streaming("a", "small", 0), streaming("b", "large", 0));
  vi.advanceTimersByTime(2_000);
  update(store, streaming("a", "small", 40), streaming("b", "large", 10));
  store.tick();
  expect(store.get()).toMatchObject({ inFlight: 2, tokensPerSecond: 25 });
  store.filter((request) => request.model === "large");
  expect(store.get()).toMatchObject({ inFlight: 1, tokensPerSecond: 5, rateSamples: [] });
  expect(store.get().rows).toHaveLength(2);
});

test("totals that changed draw nothing of what runs, and are heard of all the same", () => {
  const store = new LiveStore();
  store.event("connected", { now: Date.now(), requests: [] });
  const drawn = vi.fn();
  store.subscribe(drawn);
  vi.advanceTimersByTime(5_000);
  store.event("usage-updated", { now: Date.now() });
  expect(drawn).not.toHaveBeenCalled();
  expect(store.get().since).toBe(serverNow());
  update(store, running({ id: "a" }));
  expect(drawn).toHaveBeenCalledTimes(1);
});
