// The server's clock, which may differ by minutes from this machine's. Events and
// ranges are of the server, so that everything on the page reads this clock.

/** Differences below this are the network's delay and no fault of a clock. */
const NOISE_MS = 1_000;
let offset = 0;

/** Takes the server's time of now; returns the server's clock minus this machine's, in ms. */
export function learnClock(server: number): number {
  const seen = server - Date.now();
  if (Math.abs(seen - offset) > NOISE_MS) offset = Math.abs(seen) > NOISE_MS ? seen : 0;
  return offset;
}

/** The server's time in ms since 1970; this machine's until the server has said its own. */
export const serverNow = (): number => Date.now() + offset;
