// Time ranges: how people write them, what the URL keeps, and what a query
// asks for.
import { serverNow } from "./clock.ts";
import { calendarFormat, dateFormat } from "./format.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** As in the URL: both ends are ISO times, or a span before now such as "-24h" with "now". */
export interface Span {
  from: string;
  to: string;
}

/** Moments in ms since 1970. */
export interface Moments {
  start: number;
  end: number;
}

export const DEFAULT_SPAN: Span = { from: "-24h", to: "now" };

export const PRESETS: { from: string; label: string }[] = [
  { from: "-5m", label: "Last 5 minutes" },
  { from: "-15m", label: "Last 15 minutes" },
  { from: "-1h", label: "Last hour" },
  { from: "-6h", label: "Last 6 hours" },
  { from: "-24h", label: "Last 24 hours" },
  { from: "-7d", label: "Last 7 days" },
  { from: "-30d", label: "Last 30 days" },
  { from: "-90d", label: "Last 90 days" },
];

const UNITS: Record<string, number> = { s: 1_000, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };

/** Milliseconds of "-24h", or null. */
export function spanOf(text: string): number | null {
  const match = /^-?(\d+(?:\.\d+)?)\s*([smhdw])$/i.exec(text.trim());
  const unit = match && UNITS[match[2]!.toLowerCase()];
  const value = match && unit ? Number(match[1]) * unit : 0;
  return value >= 1_000 && value <= 400 * DAY ? value : null;
}

/** Both ends, with `now` for a range that ends now. A broken URL gives the default. */
export function resolve({ from, to }: Span, now: number): Moments {
  const end = to === "now" ? now : Date.parse(to);
  const span = spanOf(from);
  const start = span === null ? Date.parse(from) : end - span;
  if (Number.isFinite(start) && Number.isFinite(end) && start < end) return { start, end };
  return { start: now - DAY, end: now };
}

export const absolute = ({ start, end }: Moments): Span => ({
  from: new Date(start).toISOString(),
  to: new Date(end).toISOString(),
});

/** Bucket widths that divide days, so that neighbours line up whatever the range. */
const WIDTHS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800,
];

/** The narrowest width in seconds that gives at most `most` buckets. */
export const bucketSeconds = ({ start, end }: Moments, most = 120): number =>
  WIDTHS.find((width) => (end - start) / 1e3 / width <= most) ?? 604_800;

const SPAN_NAMES: Record<string, string> = { s: "second", m: "minute", h: "hour", d: "day", w: "week" };

/** "Last 24 hours", or the two ends. */
export function spanLabel(span: Span, zone: string | undefined): string {
  const preset = span.to === "now" && PRESETS.find(({ from }) => from === span.from);
  if (preset) return preset.label;
  if (span.to === "now" && spanOf(span.from)) {
    const [, number, unit] = /(\d[\d.]*)\s*(.)/.exec(span.from) ?? [];
    return `Last ${number} ${SPAN_NAMES[unit?.toLowerCase() ?? ""]}${number === "1" ? "" : "s"}`;
  }
  const now = serverNow();
  const { start, end } = resolve(span, now);
  if (span.to === "now") return `Since ${momentLabel(start, zone, now)}`;
  return rangeLabel(start, end, zone, now);
}

const TO_MINUTE = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" } as const;
const TO_DAY = { month: "short", day: "numeric" } as const;
/** A year is named where it is not this one. */
const yearOf = (zone: string | undefined, now: number, ...moments: number[]) => {
  const year = (at: number) => new Date(wallOf(at, zone)).getUTCFullYear();
  return moments.some((at) => year(at) !== year(now)) ? ({ year: "numeric" } as const) : {};
};
const momentLabel = (at: number, zone: string | undefined, now: number): string =>
  dateFormat(zone, { ...TO_MINUTE, ...yearOf(zone, now, at) }).format(at);

/** Whole days without their midnights: "Nov 23", "Nov 23 – 29"; else with hours and minutes. */
export function rangeLabel(start: number, end: number, zone: string | undefined, now: number): string {
  const whole = wallOf(start, zone) % DAY === 0 && wallOf(end, zone) % DAY === 0;
  const year = yearOf(zone, now, start, end - 1);
  if (whole) return dateFormat(zone, { ...TO_DAY, ...year }).formatRange(start, end - 1);
  const fine = end - start < MINUTE ? ({ second: "2-digit" } as const) : {};
  return dateFormat(zone, { ...TO_MINUTE, ...year, ...fine }).formatRange(start, end);
}

/** What the zone's clocks show at a moment, as the moment at which UTC's would. */
export function wallOf(at: number, zone: string | undefined): number {
  const parts = new Map<string, number>();
  const format = calendarFormat(zone, {
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  for (const { type, value } of format.formatToParts(at)) parts.set(type, Number(value));
  const get = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
  return (
    Date.UTC(get("year"), get("month") - 1, get("day"), get("hour"), get("minute"), get("second")) +
    (at - Math.floor(at / 1e3) * 1e3)
  );
}

/** Zone's clocks minus UTC at a moment, in ms. */
export const zoneOffset = (at: number, zone: string | undefined): number => wallOf(at, zone) - at;

/** The moment at which clocks of a zone show what `wall` shows in UTC. */
export function wallTime(wall: number, zone: string | undefined): number {
  const first = wall - zoneOffset(wall, zone);
  return wall - zoneOffset(first, zone);
}

/** The columns of a chart over time, ms since 1970. */
export interface Buckets {
  starts: number[];
  ends: number[];
  /** The range covers it in part only, so that its sums say less than those beside it. */
  partial: boolean[];
  /** From the start of the first to the end of the last, so that no bar is cut. */
  range: Moments;
}

/**
 * A bucket ends where the next one starts: on days on which clocks change, those
 * of hours and days are longer or shorter than `bucketSeconds`.
 */
export function buckets(
  { bucketStarts: starts, bucketSeconds }: { bucketStarts: number[]; bucketSeconds: number },
  asked: Moments,
  zone: string | undefined,
): Buckets {
  const width = bucketSeconds * 1e3;
  const first = starts[0] ?? asked.start;
  const last = starts.at(-1) ?? first;
  const end = Math.max(width > HOUR ? wallTime(wallOf(last, zone) + width, zone) : last + width, last + 1e3);
  const ends = starts.map((_, at) => starts[at + 1] ?? end);
  // The ends of a live range move on while the answer is on its way.
  const slack = Math.min(2e3, width / 2);
  const cuts = (at: number, start: number, end: number) => start < at - slack && end > at + slack;
  const partial = starts.map((start, at) => {
    const end = ends[at] ?? start;
    return cuts(asked.start, start, end) || cuts(asked.end, start, end);
  });
  return { starts, ends, partial, range: { start: first, end } };
}

/**
 * Without the values of buckets that the range covers in part: they would draw a
 * line down at its ends. Where nothing is left of it, they are all that is known.
 */
export function wholeOnly(values: (number | null)[], partial: boolean[]): (number | null)[] {
  const whole = values.map((value, at) => (partial[at] ? null : value));
  return whole.some((value) => value) ? whole : values;
}
