import { beforeEach, expect, test, vi } from "vitest";
import { FakeEventSource, fakeEvents } from "../testing/gateway.ts";
import { type Connection, type EventData, type EventName, openEvents } from "./events.ts";
import { browser } from "./session.ts";
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
  shareEvents("rpc", undefined, openEvents, heard, () => ["open", { now: 0 }]);
  newest().send("connected", { now: 1 });
  expect(heard.events).toHaveLength(1);
});

/** Locks and channels as the tabs of one browser have them. */
function fakeTabs() {
  // The next holder of a lock waits for the one before to let go.
  const tails = new Map<string, Promise<unknown>>();
  const request = (name: string, _: object, hold: () => Promise<void>) => {
    const tail = (tails.get(name) ?? Promise.resolve()).then(hold);
    tails.set(name, tail);
    return tail;
  };
  const channels = new Set<FakeChannel>();
  class FakeChannel {
    onmessage: ((message: { data: unknown }) => void) | null = null;
    name: string;
    constructor(name: string) {
      this.name = name;
      channels.add(this);
    }
    postMessage(data: unknown) {
      for (const other of channels)
        if (other !== this && other.name === this.name) other.onmessage?.({ data: structuredClone(data) });
    }
    close() {
      channels.delete(this);
    }
  }
  vi.stubGlobal("BroadcastChannel", FakeChannel);
  vi.stubGlobal("navigator", { locks: { request } });
}

test("tabs share one stream, and a later tab is told what is", async () => {
  fakeTabs();
  const first = recorder();
  const stopFirst = shareEvents("rpc", undefined, openEvents, first, () => [
    "open",
    { now: 7, requests: [] },
  ]);
  await vi.waitFor(() => expect(FakeEventSource.all).toHaveLength(1));
  newest().send("connected", { now: 1 });

  const second = recorder();
  shareEvents("rpc", undefined, openEvents, second, () => ["open", { now: 0 }]);
  expect(second.events).toEqual([["connected", { now: 7, requests: [] }]]);
  newest().send("usage-updated", { now: 2 });
  expect(second.events.at(-1)).toEqual(["usage-updated", { now: 2 }]);
  expect(FakeEventSource.all).toHaveLength(1);

  stopFirst();
  await vi.waitFor(() => expect(FakeEventSource.all).toHaveLength(2));
});

test("tabs of another session have a stream of their own and hear nothing of this one", async () => {
  fakeTabs();
  const open = () => ["open", { now: 0 }] as [Connection, EventData];
  const [mine, theirs] = [recorder(), recorder()];
  shareEvents("rpc", "mine", openEvents, mine, open);
  await vi.waitFor(() => expect(FakeEventSource.all).toHaveLength(1));
  newest().send("connected", { now: 1, viewer: "mine" });
  shareEvents("rpc", "theirs", openEvents, theirs, open);
  await vi.waitFor(() => expect(FakeEventSource.all).toHaveLength(2));
  FakeEventSource.all[0]?.send("request-state-updated", { now: 2, requests: [] });
  expect(theirs.events).toEqual([]);
  expect(mine.events.map(([name]) => name)).toEqual(["connected", "request-state-updated"]);
});

test("a tab whose stream has become that of another session passes nothing on and loads anew", async () => {
  fakeTabs();
  const reload = vi.spyOn(browser, "reload").mockImplementation(() => {});
  const [holding, listening] = [recorder(), recorder()];
  shareEvents("rpc", "mine", openEvents, holding, () => ["lost", { now: 0 }]);
  await vi.waitFor(() => expect(FakeEventSource.all).toHaveLength(1));
  shareEvents("rpc", "mine", openEvents, listening, () => ["lost", { now: 0 }]);
  newest().send("connected", { now: 1, viewer: "theirs" });
  newest().send("request-state-updated", { now: 2, requests: [] });
  expect(reload).toHaveBeenCalledOnce();
  expect(holding.events).toEqual([]);
  expect(listening.events).toEqual([]);
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
  const stop = shareEvents("rpc", undefined, openEvents, recorder(), () => ["open", { now: 0 }]);
  stop();
  await grant();
  expect(FakeEventSource.all).toHaveLength(0);
});
