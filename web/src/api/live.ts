// What runs now: a small store fed by /events alone. Requests in flight are
// patched in place and never cost a query.
import { useSyncExternalStore } from "react";
import { learnClock, serverNow } from "../lib/clock.ts";
import type { Connection, EventData, EventName } from "./events.ts";
import { settings } from "./page-settings.ts";
import { shareEvents } from "./share-events.ts";
import { chosen, open } from "./transport.ts";
import type { LiveRequest, RequestState } from "./types.ts";

/** A finished request stays this long, so that its result can be read. */
export const LINGER_MS = 3_000;
/** Span over which the rate of now is averaged. */
const RATE_WINDOW_MS = 10_000;
/** One sample each second is kept for the sparklines. */
export const SAMPLES = 60;

/** A request on the page, with the moment at which it ended by the server's clock and its recent rates in tokens per second. */
export interface Row extends LiveRequest {
  endedAt: number | null;
  rates: number[];
}

export interface Live {
  connection: Connection;
  /** Whether what runs is known: it was told, and the gateway has not lost analytics since. */
  known: boolean;
  /** Port of the proxy, on the host of this page. */
  proxyPort: number;
  /** Template of links to traces. Undefined: none is set. */
  traceUrl: string | undefined;
  /** When the connection was lost, or the last event came; ms since 1970 by the server's clock. */
  since: number;
  /** Running requests and those that ended a moment ago, by id, oldest first; whatever the filter. */
  rows: Row[];
  /** Running requests that pass the filter. */
  inFlight: number;
  /** Those of them that wait for their first content. */
  waiting: number;
  /** When the oldest of them began. Null: there is none. */
  oldestAt: number | null;
  /** Content events per second of the streams that pass the filter, over the last 10 s. Null: not known, or too short. */
  tokensPerSecond: number | null;
  rateSamples: number[];
  inFlightSamples: number[];
}

export const isRunning = (state: RequestState): boolean => state === "queued" || state === "streaming";

/** Holds the state; `tick` once a second makes rates and forgets what ended. */
export class LiveStore {
  private state: Live = {
    connection: "connecting",
    known: false,
    proxyPort: settings.proxyPort ?? 4005,
    traceUrl: settings.traceUrl,
    since: Date.now(),
    rows: [],
    inFlight: 0,
    waiting: 0,
    oldestAt: null,
    tokensPerSecond: null,
    rateSamples: [],
    inFlightSamples: [],
  };
  private listeners = new Set<() => void>();
  private rows = new Map<string, Row & { seen: number }>();
  private progress: { at: number; tokens: number; of: LiveRequest }[] = [];
  /** Since when every content event has been told; null while it is not. */
  private knownSince: number | null = null;
  private passes: (request: LiveRequest) => boolean = () => true;

  get = (): Live => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** What counts from now on. The samples so far counted something else. */
  filter(passes: (request: LiveRequest) => boolean): void {
    this.passes = passes;
    this.publish({ tokensPerSecond: this.rate(Date.now()), rateSamples: [], inFlightSamples: [] });
  }

  connection(connection: Connection): void {
    if (connection === this.state.connection) return;
    this.watch(connection === "open" && this.state.known);
    this.publish({ connection, since: serverNow(), tokensPerSecond: null });
  }

  event(name: EventName, data: EventData): void {
    learnClock(data.now);
    const now = Date.now();
    const requests = Array.isArray(data.requests) ? data.requests : undefined;
    const all = name === "connected" || data.snapshot;
    if (all && requests && !data.truncated) {
      const ids = new Set(requests.map((request) => request.id));
      for (const [id, row] of this.rows) if (row.endedAt === null && !ids.has(id)) this.rows.delete(id);
    }
    for (const request of requests ?? []) this.patch(request, now, all === true);
    const known = data.live ?? (name === "connected" || this.state.known || requests !== undefined);
    const proxyPort = data.proxyPort || this.state.proxyPort;
    const traceUrl = name === "connected" ? data.traceUrl : this.state.traceUrl;
    // Totals changed and nothing that runs: there is nothing to draw.
    if (name === "usage-updated" && !requests && known === this.state.known) {
      this.state = { ...this.state, since: serverNow(), proxyPort };
      return;
    }
    if (known !== this.state.known) this.watch(known);
    this.publish({
      since: serverNow(),
      known,
      proxyPort,
      traceUrl,
      ...(known ? {} : { tokensPerSecond: null }),
    });
  }

  tick(): void {
    const now = Date.now();
    for (const [id, row] of this.rows) {
      if (row.endedAt !== null && serverNow() - row.endedAt > LINGER_MS) this.rows.delete(id);
      else if (row.state === "streaming") {
        row.rates = [...row.rates.slice(-19), row.contentEvents - row.seen];
        row.seen = row.contentEvents;
      }
    }
    this.progress = this.progress.filter((step) => now - step.at <= RATE_WINDOW_MS);
    const { rateSamples, inFlightSamples, connection, known } = this.state;
    const tokensPerSecond = this.rate(now);
    const { inFlight } = this.count();
    this.publish({
      tokensPerSecond,
      ...(tokensPerSecond === null ? {} : { rateSamples: [...rateSamples, tokensPerSecond].slice(-SAMPLES) }),
      ...(connection === "open" && known
        ? { inFlightSamples: [...inFlightSamples, inFlight].slice(-SAMPLES) }
        : {}),
    });
  }

  private watch(known: boolean): void {
    this.knownSince = known ? Date.now() : null;
    this.progress = [];
  }

  private rate(now: number): number | null {
    const span = this.knownSince === null ? 0 : Math.min(now - this.knownSince, RATE_WINDOW_MS);
    const sum = this.progress.reduce((total, step) => total + (this.passes(step.of) ? step.tokens : 0), 0);
    return span < 1_000 ? null : (sum * 1_000) / span;
  }

  private count(): Pick<Live, "inFlight" | "waiting" | "oldestAt"> {
    const counted = { inFlight: 0, waiting: 0, oldestAt: null as number | null };
    for (const row of this.rows.values()) {
      if (row.endedAt !== null || !this.passes(row)) continue;
      counted.inFlight += 1;
      if (row.state === "queued") counted.waiting += 1;
      counted.oldestAt = Math.min(row.startedAt, counted.oldestAt ?? row.startedAt);
    }
    return counted;
  }

  private patch(request: LiveRequest, now: number, snapshot: boolean): void {
    const known = this.rows.get(request.id);
    const running = isRunning(request.state);
    if (!known && !running && snapshot) return;
    // What happened before the snapshot is not of now.
    const fresh = request.contentEvents - (known?.contentEvents ?? (snapshot ? request.contentEvents : 0));
    if (fresh > 0) this.progress.push({ at: now, tokens: fresh, of: request });
    this.rows.set(request.id, {
      ...request,
      endedAt: running ? null : (known?.endedAt ?? serverNow()),
      rates: known?.rates ?? [],
      seen: known?.seen ?? request.contentEvents,
    });
  }

  private publish(change: Partial<Live>): void {
    const rows = [...this.rows.values()].sort((a, b) => a.startedAt - b.startedAt);
    this.state = { ...this.state, rows, ...this.count(), ...change };
    for (const listener of this.listeners) listener();
  }
}

export const live = new LiveStore();

/** The live state; renders on each change of it. */
export const useLive = (): Live => useSyncExternalStore(live.subscribe, live.get);

/** One value of it; renders when that value changes, which is less often. */
export const useLiveValue = <K extends keyof Live>(key: K): Live[K] =>
  useSyncExternalStore(live.subscribe, () => live.get()[key]);

/** Connects the store, calls `changed` when totals did, and returns how to stop. */
export function startLive(changed: (name: EventName) => void): () => void {
  const stop = shareEvents(
    chosen.name,
    settings.viewer,
    open,
    {
      event(name, data) {
        live.event(name, data);
        changed(name);
      },
      connection: (state) => live.connection(state),
    },
    () => {
      const { connection, known, proxyPort, traceUrl, rows } = live.get();
      const requests = rows.filter((row) => row.endedAt === null);
      return [
        connection,
        { now: serverNow(), live: known, proxyPort, requests, ...(traceUrl ? { traceUrl } : {}) },
      ];
    },
  );
  const timer = setInterval(() => live.tick(), 1_000);
  return () => {
    clearInterval(timer);
    stop();
  };
}
