// Where axes have their marks: round values, and times that are round on the
// clocks of the zone.
import { dateFormat } from "./format.ts";
import { type Moments, wallOf, wallTime } from "./time-range.ts";

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
  ...[1, 2, 7, 14].map((n) => n * DAY),
];
/** Beyond two weeks marks are at the beginnings of months. */
const MONTH_STEPS = [1, 2, 3, 6];
/** A Monday: weeks are counted from it. */
const MONDAY = 4 * DAY;

/** At most `most` marks in the range, and one more at a change of clocks. */
export function timeMarks(range: Moments, most: number, zone: string | undefined): TimeMark[] {
  const step = STEPS.find((candidate) => (range.end - range.start) / candidate <= most);
  if (!step) return monthMarks(range, most, zone);
  const day = dateFormat(zone, { month: "short", day: "numeric" });
  const time = dateFormat(zone, {
    hour: "2-digit",
    minute: "2-digit",
    ...(step < MINUTE ? { second: "2-digit" as const } : {}),
  });
  return wallMarks(range, step, zone).map(({ at, wall }) => {
    const begins = wall % DAY === 0;
    // Among hours a day stands out; where every mark is a day, the month's first does.
    const stands = step < DAY ? begins : new Date(wall).getUTCDate() === 1;
    return { at, label: (begins ? day : time).format(at), day: begins && stands };
  });
}

/** "Nov", and the year where it begins. */
function monthMarks(range: Moments, most: number, zone: string | undefined): TimeMark[] {
  const months = (range.end - range.start) / (30 * DAY);
  const step = MONTH_STEPS.find((candidate) => months / candidate <= most) ?? 12;
  const first = new Date(wallOf(range.start, zone));
  const marks: TimeMark[] = [];
  for (let month = Math.floor(first.getUTCMonth() / step) * step; ; month += step) {
    const wall = Date.UTC(first.getUTCFullYear(), month, 1);
    const at = wallTime(wall, zone);
    if (at > range.end) return marks;
    const january = new Date(wall).getUTCMonth() === 0;
    const format = dateFormat(zone, january ? { year: "numeric" } : { month: "short" });
    if (at >= range.start) marks.push({ at, label: format.format(at), day: january });
  }
}

/** The moments at which the zone's clocks show a multiple of `step`. */
function wallMarks(
  { start, end }: Moments,
  step: number,
  zone: string | undefined,
): { at: number; wall: number }[] {
  const phase = step % (7 * DAY) === 0 ? MONDAY : 0;
  const marks: { at: number; wall: number }[] = [];
  for (let wall = Math.ceil((wallOf(start, zone) - phase) / step) * step + phase; ; wall += step) {
    // Clocks may be put forward or back within the range.
    const at = wallTime(wall, zone);
    if (at > end) return marks;
    if (at >= start) marks.push({ at, wall });
  }
}

/** Every midnight of the range; none where days are too many to tell apart. */
export const midnights = (range: Moments, zone: string | undefined): number[] =>
  range.end - range.start > 32 * DAY ? [] : wallMarks(range, DAY, zone).map(({ at }) => at);

/** Round values from 0 up to `max`, about `most` of them; no parts of one where `whole`. */
export function valueMarks(max: number, most: number, whole = false): number[] {
  if (!(max > 0)) return [0];
  const power = 10 ** Math.floor(Math.log10(max / (most + 0.5)));
  const step = ([1, 2, 5].find((n) => max / (n * power) <= most + 0.5) ?? 10) * power;
  if (whole && step < 1) return valueMarks(max, max);
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
