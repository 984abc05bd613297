// The only place that opens an EventSource.
import { pauses } from "./pauses.ts";
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
  /** With `connected`: whose stream it is, as the page's settings name its viewer. */
  viewer?: string;
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

/** Opens the stream and keeps it open until the returned function is called. */
export function openEvents(listener: Listener): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pause = pauses();
  let lastEventId = "";
  let closed = false;

  const open = () => {
    if (closed) return;
    const query = lastEventId ? `?lastEventId=${encodeURIComponent(lastEventId)}` : "";
    source = new EventSource(`/events${query}`);
    for (const name of NAMES) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        if (event.lastEventId) lastEventId = event.lastEventId;
        pause.reset();
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
      timer = setTimeout(open, pause.take());
    };
  };
  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    source?.close();
  };
}
