// A clock that renders: one interval for all who ask for the same pace.
import { useSyncExternalStore } from "react";
import { serverNow } from "./clock.ts";

interface Clock {
  now: number;
  listeners: Set<() => void>;
  timer: ReturnType<typeof setInterval> | undefined;
  subscribe(listener: () => void): () => void;
  get(): number;
}

const clocks = new Map<number, Clock>();

function clock(paceMs: number): Clock {
  const known = clocks.get(paceMs);
  if (known) return known;
  const made: Clock = {
    now: serverNow(),
    listeners: new Set(),
    timer: undefined,
    get: () => made.now,
    subscribe(listener) {
      made.listeners.add(listener);
      made.timer ??= setInterval(() => {
        made.now = serverNow();
        for (const each of made.listeners) each();
      }, paceMs);
      return () => {
        made.listeners.delete(listener);
        if (made.listeners.size > 0) return;
        clearInterval(made.timer);
        made.timer = undefined;
      };
    },
  };
  clocks.set(paceMs, made);
  return made;
}

/** The server's time in ms since 1970, at least every `paceMs`. */
export function useNow(paceMs: number): number {
  const { subscribe, get } = clock(paceMs);
  return useSyncExternalStore(subscribe, get);
}
