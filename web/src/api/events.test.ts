import { beforeEach, expect, test, vi } from "vitest";
import { FakeEventSource, fakeEvents } from "../testing/gateway.ts";
import { type Connection, type EventData, type EventName, openEvents } from "./events.ts";
import { shareEvents } from "./share-events.ts";

function recorder() {
  const events: [EventName, EventData][] = [];
  const states: Connection[] = [];
  return {
    events,
    states,
    event: (name: EventName, data: EventData) => void events.push([name, data]),
    connection: (state: Connection) => void states.push(state),
  };
}
const newest = () => FakeEventSource.all.at(-1) as FakeEventSource;

beforeEach(() => {
  vi.useFakeTimers();
  fakeEvents();
});

test("the three events arrive with their data", () => {
  const heard = recorder();
  openEvents(heard);
  newest().send("connected", { now: 1 });
  newest().send("usage-updated", { now: 2 });
  newest().send("request-state-updated", { now: 3, requests: [] });
  expect(heard.events.map(([name]) => name)).toEqual(["connected", "usage-updated", "request-state-updated"]);
  expect(heard.states.at(-1)).toBe("open");
});

test("a broken line is the browser's to mend", () => {
  const heard = recorder();
  openEvents(heard);
  newest().send("connected", { now: 1 });
  newest().fail(false);
  vi.advanceTimersByTime(120_000);
  expect(heard.states.at(-1)).toBe("lost");
  expect(FakeEventSource.all).toHaveLength(1);
});

test("a stream closed for good is opened anew from where it was", () => {
  const heard = recorder();
  openEvents(heard);
  newest().send("connected", { now: 1 }, "6f1c-41");
  newest().fail(true);
  vi.advanceTimersByTime(2_000);
  expect(FakeEventSource.all).toHaveLength(2);
  expect(newest().url).toBe("/events?lastEventId=6f1c-41");
  newest().send("connected", { now: 2 });
  expect(heard.states.at(-1)).toBe("open");
});

test("the pauses double up to half a minute, and start anew after a success", () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  openEvents(recorder());
  const pauses: number[] = [];
  const pause = () => {
    const before = FakeEventSource.all.length;
    newest().fail(true);
    let waited = 0;
    while (FakeEventSource.all.length === before) {
      vi.advanceTimersByTime(500);
      waited += 500;
    }
    return waited;
  };
  for (let attempt = 0; attempt < 7; attempt++) pauses.push(pause());
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  newest().send("connected", { now: 1 });
  expect(pause()).toBe(1_000);
});

test("nothing is opened after the end", () => {
  const stop = openEvents(recorder());
  newest().fail(true);
  stop();
  vi.advanceTimersByTime(60_000);
  expect(FakeEventSource.all).toHaveLength(1);
});

test("without locks every tab has a stream of its own", () => {
  const heard = recorder();
  shareEvents("events", openEvents, heard, () => ["open", { now: 0 }]);
  newest().send("connected", { now: 1 });
  expect(heard.events).toHaveLength(1);
});

test("tabs share one stream, and a later tab is told what is", async () => {
  // One lock for all, as Web Locks give it: the next holder waits for the first to let go.
  let tail: Promise<unknown> = Promise.resolve();
  const request = (_: string, __: object, hold: () => Promise<void>) => {
    tail = tail.then(hold);
    return tail;
  };
  const channels = new Set<FakeChannel>();
  class FakeChannel {
    onmessage: ((message: { data: unknown }) => void) | null = null;
    constructor() {
      channels.add(this);
    }
    postMessage(data: unknown) {
      for (const other of channels) if (other !== this) other.onmessage?.({ data: structuredClone(data) });
    }
    close() {
      channels.delete(this);
    }
  }
  vi.stubGlobal("BroadcastChannel", FakeChannel);
  vi.stubGlobal("navigator", { locks: { request } });

  const first = recorder();
  const stopFirst = shareEvents("events", openEvents, first, () => ["open", { now: 7, requests: [] }]);
  await vi.waitFor(() => expect(FakeEventSource.all).toHaveLength(1));
  newest().send("connected", { now: 1 });

  const second = recorder();
  shareEvents("events", openEvents, second, () => ["open", { now: 0 }]);
  expect(second.events).toEqual([["connected", { now: 7, requests: [] }]]);
  newest().send("usage-updated", { now: 2 });
  expect(second.events.at(-1)).toEqual(["usage-updated", { now: 2 }]);
  expect(FakeEventSource.all).toHaveLength(1);

  stopFirst();
  await vi.waitFor(() => expect(FakeEventSource.all).toHaveLength(2));
});

test("a tab that has stopped before its turn opens nothing", async () => {
  let grant: () => Promise<void> = async () => {};
  const request = (_: string, __: object, hold: () => Promise<void>) => {
    grant = hold;
    return new Promise<void>(() => {});
  };
  vi.stubGlobal("navigator", { locks: { request } });
  vi.stubGlobal(
    "BroadcastChannel",
    class {
      postMessage() {}
      close() {}
    },
  );
  const stop = shareEvents("events", openEvents, recorder(), () => ["open", { now: 0 }]);
  stop();
  await grant();
  expect(FakeEventSource.all).toHaveLength(0);
});
