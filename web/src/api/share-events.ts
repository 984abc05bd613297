// One tab of the browser holds the stream (Web Locks elect it) and passes everything on
// to the others by BroadcastChannel: over HTTP/1.1 a browser has six connections for all
// tabs.
import type { Connection, EventData, EventName, Listener } from "./events.ts";

type Shared =
  | { kind: "event"; name: EventName; data: EventData }
  | { kind: "connection"; state: Connection }
  | { kind: "hello" };

/**
 * Opens the stream of a transport, one for all tabs that use it. `snapshot` is what the
 * tab that holds the stream tells one that comes later.
 */
export function shareEvents(
  name: string,
  open: (listener: Listener) => () => void,
  listener: Listener,
  snapshot: () => [Connection, EventData],
): () => void {
  if (!navigator.locks || typeof BroadcastChannel === "undefined") return open(listener);
  const channel = new BroadcastChannel(name);
  const stop = new AbortController();
  let holding = false;
  let close = () => {};

  channel.onmessage = ({ data }: MessageEvent<Shared>) => {
    if (data.kind === "hello") {
      if (!holding) return;
      const [state, connected] = snapshot();
      channel.postMessage({ kind: "connection", state } satisfies Shared);
      if (state === "open")
        channel.postMessage({ kind: "event", name: "connected", data: connected } satisfies Shared);
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
          channel.postMessage({ kind: "event", name, data } satisfies Shared);
        },
        connection(state) {
          listener.connection(state);
          channel.postMessage({ kind: "connection", state } satisfies Shared);
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
