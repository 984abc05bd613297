// Turns events into refetches: totals that changed mark every query stale, those
// on screen are asked again at most twice a second, and none while nobody looks.
import type { QueryClient } from "@tanstack/react-query";

const GATE_MS = 1_000;
/** How soon it is looked again whether all have answered. */
const BUSY_MS = 100;

export interface Refresher {
  /** Totals changed. */
  changed(): void;
  /** A connection stands (anew): ranges of the past are asked for by the server's clock as well. */
  connected(): void;
  /** While paused, changes only wait. */
  pause(paused: boolean): void;
  /** Watches the tab; returns how to stop. */
  start(): () => void;
}

export function refresher(client: QueryClient): Refresher {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pending = false;
  let paused = false;
  let everything = false;
  let ranAt = -Infinity;

  const run = () => {
    timer = undefined;
    if (!pending || paused || document.hidden) return;
    pending = false;
    // What is being fetched may lack the newest rows: it is asked again after it answered.
    if (client.isFetching() > 0) {
      pending = true;
      timer = setTimeout(run, BUSY_MS);
      return;
    }
    ranAt = performance.now();
    const all = everything;
    everything = false;
    void client.invalidateQueries({ predicate: ({ meta }) => all || meta?.past !== true });
  };
  const schedule = () => {
    timer ??= setTimeout(run, Math.max(0, ranAt + GATE_MS - performance.now()));
  };
  return {
    changed() {
      pending = true;
      schedule();
    },
    connected() {
      everything = true;
      pending = true;
      schedule();
    },
    pause(value) {
      paused = value;
      schedule();
    },
    start() {
      document.addEventListener("visibilitychange", schedule);
      return () => {
        clearTimeout(timer);
        timer = undefined;
        document.removeEventListener("visibilitychange", schedule);
      };
    },
  };
}
