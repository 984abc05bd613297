// One tab of the browser holds the stream (Web Locks elect it) and passes everything on
// to the others by BroadcastChannel: over HTTP/1.1 a browser has six connections for all
// tabs. Only tabs of the same viewer share one: another may see other requests.
import type { Connection, EventData, EventName, Listener } from "./events.ts";
import { browser } from "./session.ts";

type Shared =
  | { kind: "event"; name: EventName; data: EventData }
  | { kind: "connection"; state: Connection }
  | { kind: "hello" };

/**
 * Opens the stream of a transport, one for all tabs of a viewer that use it. `snapshot` is
 * what the tab that holds the stream tells one that comes later.
 */
export function shareEvents(
  transport: string,
  viewer: string | undefined,
  openAny: (listener: Listener) => () => void,
  listener: Listener,
  snapshot: () => [Connection, EventData],
): () => void {
  const open = (heard: Listener) => openAny(ofViewer(viewer, heard));
  if (!navigator.locks || typeof BroadcastChannel === "undefined") return open(listener);
  const name = `modash-events-${transport}-${viewer ?? ""}`;
  const channel = new BroadcastChannel(name);
  const stop = new AbortController();
  let holding = false;
  /** There are other tabs, or were: one alone talks to nobody. */
  let others = false;
  let told: Connection | undefined;
  let close = () => {};
  const tell = (shared: Shared) => {
    if (others) channel.postMessage(shared);
  };

  channel.onmessage = ({ data }: MessageEvent<Shared>) => {
    others = true;
    if (data.kind === "hello") {
      if (!holding) return;
      const [state, connected] = snapshot();
      tell({ kind: "connection", state });
      if (state === "open") tell({ kind: "event", name: "connected", data: connected });
    } else if (holding) return;
    else if (data.kind === "event") listener.event(data.name, data.data);
    else listener.connection(data.state);
  };
  channel.postMessage({ kind: "hello" } satisfies Shared);

  const hold = () =>
    new Promise<void>((release) => {
      // The lock may be granted at the moment of the stop.
      if (stop.signal.aborted) return release();
      holding = true;
      close = open({
        event(name, data) {
          listener.event(name, data);
          tell({ kind: "event", name, data });
        },
        connection(state) {
          listener.connection(state);
          // It is said with every event.
          if (state !== told) tell({ kind: "connection", state });
          told = state;
        },
      });
      stop.signal.addEventListener("abort", () => release());
    });
  navigator.locks.request(name, { signal: stop.signal }, hold).catch(() => {});
  return () => {
    close();
    stop.abort();
    channel.close();
  };
}

/** Hears the streams of one viewer only. That of another, who signed in meanwhile, loads the page anew. */
function ofViewer(viewer: string | undefined, listener: Listener): Listener {
  let other = false;
  return {
    event(name, data) {
      if (name === "connected") {
        const { viewer: now } = data;
        other = viewer !== undefined && now !== undefined && now !== viewer;
        if (other) browser.reload();
      }
      if (!other) listener.event(name, data);
    },
    connection(state) {
      if (!other) listener.connection(state);
    },
  };
}
