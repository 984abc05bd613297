// The only place that opens an EventSource. One tab of the browser holds the
// stream (Web Locks elect it) and passes everything on to the others by
// BroadcastChannel: over HTTP/1.1 a browser has six connections for all tabs.
import { session } from "./session.ts";
import type { LiveRequest } from "./types.ts";

/** The names of the events that /events sends. */
export type EventName = "connected" | "usage-updated" | "request-state-updated";

/** What comes with any of them; times in ms since 1970. */
export interface EventData {
  now: number;
  seq?: number;
  resumed?: boolean;
  /** Requests that run or changed; with `usage-updated`, how many were committed. */
  requests?: LiveRequest[] | number;
  /** There are more requests than these. */
  truncated?: boolean;
  /** These are all requests that run; `connected` always means that. */
  snapshot?: boolean;
  /** With `connected`: where the proxy listens, on the host of this page. */
  proxyPort?: number;
  /** With `connected`: where a trace is shown, with places for `{trace_id}` and perhaps `{span_id}`. */
  traceUrl?: string;
  /** False while analytics is away and the gateway does not know what runs; sent when it changes, and with `connected`. */
  live?: boolean;
}

/** `connecting` is the time before the first event; `lost` means that a new attempt will follow. */
export type Connection = "connecting" | "open" | "lost";

export interface Listener {
  event(name: EventName, data: EventData): void;
  connection(state: Connection): void;
}

const NAMES: EventName[] = ["connected", "usage-updated", "request-state-updated"];
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/** Opens the stream and keeps it open until the returned function is called. */
export function openEvents(listener: Listener): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pause = FIRST_PAUSE_MS;
  let lastEventId = "";
  let closed = false;

  const open = () => {
    if (closed) return;
    const query = lastEventId ? `?lastEventId=${encodeURIComponent(lastEventId)}` : "";
    source = new EventSource(`/events${query}`);
    for (const name of NAMES) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        if (event.lastEventId) lastEventId = event.lastEventId;
        pause = FIRST_PAUSE_MS;
        listener.connection("open");
        listener.event(name, JSON.parse(event.data) as EventData);
      });
    }
    source.onerror = () => {
      listener.connection("lost");
      // Any answer but 200 closes an EventSource for good: only then is it on us.
      if (source?.readyState !== EventSource.CLOSED) return;
      // It does not tell why; the session may have ended.
      void session();
      timer = setTimeout(open, pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    };
  };
  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    source?.close();
  };
}

type Shared =
  | { kind: "event"; name: EventName; data: EventData }
  | { kind: "connection"; state: Connection }
  | { kind: "hello" };

/**
 * As openEvents, with one stream for all tabs. `snapshot` is what the tab that
 * holds the stream tells one that comes later.
 */
export function shareEvents(listener: Listener, snapshot: () => [Connection, EventData]): () => void {
  if (!navigator.locks || typeof BroadcastChannel === "undefined") return openEvents(listener);
  const channel = new BroadcastChannel("modash-events");
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
      close = openEvents({
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
  navigator.locks.request("modash-events", { signal: stop.signal }, hold).catch(() => {});
  return () => {
    close();
    stop.abort();
    channel.close();
  };
}
