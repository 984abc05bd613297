// Where axes have their marks: round values, and times that are round on the
// clocks of the zone.
import { dateFormat } from "./format.ts";
import { type Moments, zoneOffset } from "./time-range.ts";

export interface TimeMark {
  at: number;
  label: string;
  /** A day begins here. */
  day: boolean;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14, 28].map((n) => n * DAY),
];

/** At most `most` marks in the range. */
export function timeMarks({ start, end }: Moments, most: number, zone: string | undefined): TimeMark[] {
  const step = STEPS.find((candidate) => (end - start) / candidate <= most) ?? 56 * DAY;
  const day = dateFormat(zone, { month: "short", day: "numeric" });
  const time = dateFormat(zone, {
    hour: "2-digit",
    minute: "2-digit",
    ...(step < MINUTE ? { second: "2-digit" as const } : {}),
  });
  return wallMarks({ start, end }, step, zone).map(({ at, wall }) => {
    const begins = wall % DAY === 0;
    return { at, label: (begins ? day : time).format(at), day: begins };
  });
}

/** The moments at which the zone's clocks show a multiple of `step`. */
function wallMarks(
  { start, end }: Moments,
  step: number,
  zone: string | undefined,
): { at: number; wall: number }[] {
  const offset = zoneOffset(start, zone);
  const marks: { at: number; wall: number }[] = [];
  for (let wall = Math.ceil((start + offset) / step) * step; ; wall += step) {
    // Clocks may be put forward or back within the range.
    const at = wall - zoneOffset(wall - offset, zone);
    if (at > end) return marks;
    if (at >= start) marks.push({ at, wall });
  }
}

/** Every midnight of the range; none where days are too many to tell apart. */
export const midnights = (range: Moments, zone: string | undefined): number[] =>
  range.end - range.start > 32 * DAY ? [] : wallMarks(range, DAY, zone).map(({ at }) => at);

/** Round values from 0 up to `max`, about `most` of them. */
export function valueMarks(max: number, most: number): number[] {
  if (!(max > 0)) return [0];
  const power = 10 ** Math.floor(Math.log10(max / (most + 0.5)));
  const step = ([1, 2, 5].find((n) => max / (n * power) <= most + 0.5) ?? 10) * power;
  return Array.from({ length: Math.floor(max / step + 1e-9) + 1 }, (_, at) => at * step);
}

/** Powers of ten, and what lies between them where they are few. */
export function logMarks(min: number, max: number): number[] {
  const marks: number[] = [];
  const decades = Math.log10(max / min);
  for (let power = 10 ** Math.floor(Math.log10(min)); power <= max; power *= 10) {
    for (const n of decades > 2.5 ? [1] : [1, 2, 5])
      if (n * power >= min && n * power <= max) marks.push(n * power);
  }
  return marks;
}
