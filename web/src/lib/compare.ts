// With what the numbers of a range are compared.
import { type Moments, wallOf, wallTime } from "./time-range.ts";

export type Compare = "prev" | "week" | "off";

const WEEK = 7 * 86_400_000;

/** As the URL has it; the range before where it says nothing. */
export const readCompare = (value: string | null): Compare =>
  value === "off" || value === "week" ? value : "prev";

/** Words for what it is compared with, in a sentence and beside a number. */
export const COMPARED: Record<Exclude<Compare, "off">, { words: string; short: string; name: string }> = {
  prev: { words: "the range before", short: "vs before", name: "before" },
  week: { words: "the same time last week", short: "vs last week", name: "last week" },
};

/** The range that it is compared with: as long as this one, or what clocks showed a week ago. */
export function comparedRange({ start, end }: Moments, by: Compare, zone: string | undefined): Moments {
  if (by !== "week") return { start: 2 * start - end, end: start };
  return { start: wallTime(wallOf(start, zone) - WEEK, zone), end: wallTime(wallOf(end, zone) - WEEK, zone) };
}
