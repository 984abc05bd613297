// Usage by hour of the day and day of the week: what an hour of each took on average.
import type { UsageTimeseries } from "../../api/types.ts";
import { type Moments, wallOf } from "../../lib/time-range.ts";

export const DAYS = 7;
export const HOURS = 24;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** 5 January 1970 was a Monday. */
const MONDAY = 4;

/** One hour of one day of the week. */
export interface Cell {
  /** 0 is Monday. */
  day: number;
  hour: number;
  sum: number;
  /** How much time of the range fell on it. */
  hours: number;
  /** What an hour of it took on average; null where the range has none. */
  mean: number | null;
  /** The latest time in the range. */
  last: Moments | null;
}

/**
 * Cells by day and hour. An hour that clocks repeat counts as two, one that they skip as
 * none, and one that the range covers in part as that part.
 */
export function heat(
  data: UsageTimeseries,
  metric: "tokens" | "requests",
  asked: Moments,
  zone: string | undefined,
): Cell[] {
  const cells = Array.from({ length: DAYS * HOURS }, (_, at): Cell => {
    return { day: Math.floor(at / HOURS), hour: at % HOURS, sum: 0, hours: 0, mean: null, last: null };
  });
  const series = data.series[0];
  data.bucketStarts.forEach((bucket, at) => {
    const next = data.bucketStarts[at + 1] ?? bucket + data.bucketSeconds * 1e3;
    const [start, end] = [Math.max(bucket, asked.start), Math.min(next, asked.end)];
    if (!series || end <= start) return;
    // By its middle: a change of clocks by half an hour leaves that day's buckets between hours.
    const wall = wallOf((bucket + next) / 2, zone);
    const day = (Math.floor(wall / DAY_MS) - MONDAY) % DAYS;
    const hour = Math.floor((wall % DAY_MS) / HOUR_MS);
    const cell = cells[((day + DAYS) % DAYS) * HOURS + hour];
    if (!cell) return;
    const tokens = (series.promptTokens[at] ?? 0) + (series.completionTokens[at] ?? 0);
    cell.sum += metric === "tokens" ? tokens : (series.requests[at] ?? 0);
    cell.hours += (end - start) / HOUR_MS;
    cell.mean = cell.sum / cell.hours;
    cell.last = { start, end };
  });
  return cells;
}
