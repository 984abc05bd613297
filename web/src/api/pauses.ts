// Pauses before a lost connection is tried again: they double, and differ between
// pages, so that a server that comes back is not met by all of them at once.

const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

export interface Pauses {
  /** How long to wait now, in ms; the next pause is longer. */
  take(): number;
  /** The connection stood: the next pause is the first again. */
  reset(): void;
  /** Waits for a pause, or until the signal. */
  next(stop: AbortSignal): Promise<void>;
}

export function pauses(): Pauses {
  let pause = FIRST_MS;
  const take = () => {
    const now = pause * (0.75 + Math.random() / 2);
    pause = Math.min(pause * 2, LONGEST_MS);
    return now;
  };
  return {
    take,
    reset() {
      pause = FIRST_MS;
    },
    next: (stop) =>
      new Promise((done) => {
        if (stop.aborted) return done();
        const timer = setTimeout(done, take());
        stop.addEventListener("abort", () => {
          clearTimeout(timer);
          done();
        });
      }),
  };
}
