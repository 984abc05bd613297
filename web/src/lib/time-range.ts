// Time ranges: how people write them, what the URL keeps, and what a query
// asks for.
import { dateFormat } from "./format.ts";

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
  const match = /^-?(\d+(?:\.\d+)?)\s*([smhdw])/i.exec(text.trim());
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

/** "Last 24 hours", or the two ends. */
export function spanLabel(span: Span, zone: string | undefined): string {
  const preset = span.to === "now" && PRESETS.find(({ from }) => from === span.from);
  if (preset) return preset.label;
  if (span.to === "now" && spanOf(span.from)) return `Last ${span.from.slice(1)}`;
  const { start, end } = resolve(span, Date.now());
  return dateFormat(zone, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }).formatRange(
    start,
    end,
  );
}

/** Midnight in a zone of the day `days` before the one that holds `at`. */
function midnight(at: number, days: number, zone: string | undefined): number {
  const parts = dateFormat(zone, { year: "numeric", month: "numeric", day: "numeric" }).formatToParts(
    at - days * DAY,
  );
  const part = (type: string) => Number(parts.find((p) => p.type === type)?.value);
  return wallTime(Date.UTC(part("year"), part("month") - 1, part("day")), zone);
}

/** Zone's clocks minus UTC at a moment, in ms. */
export function zoneOffset(at: number, zone: string | undefined): number {
  const parts = new Map<string, number>();
  const format = dateFormat(zone, {
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  for (const { type, value } of format.formatToParts(at)) parts.set(type, Number(value));
  const get = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
  const wall = Date.UTC(get("year"), get("month") - 1, get("day"), get("hour"), get("minute"), get("second"));
  return wall - Math.floor(at / 1e3) * 1e3;
}

/** The moment at which clocks of a zone show what `wall` shows in UTC. */
export function wallTime(wall: number, zone: string | undefined): number {
  const first = wall - zoneOffset(wall, zone);
  return wall - zoneOffset(first, zone);
}

/** What a person typed: "90m", "3d", "today", "yesterday", "2026-11-01 to 2026-11-07". Null: not understood. */
export function parseSpan(text: string, zone: string | undefined, now: number): Span | null {
  const typed = text.trim().toLowerCase();
  if (typed === "today") return { from: new Date(midnight(now, 0, zone)).toISOString(), to: "now" };
  if (typed === "yesterday") {
    return absolute({ start: midnight(now, 1, zone), end: midnight(now, 0, zone) });
  }
  if (/^-?\d+(\.\d+)?\s*[smhdw]\w*$/.test(typed) && spanOf(typed) !== null) {
    return { from: `-${typed.replace(/[-\s]/g, "").replace(/([smhdw])\w*$/, "$1")}`, to: "now" };
  }
  const [first, last = "now"] = text.trim().split(/\s+(?:to|–|\.\.)\s+|\s*–\s*/);
  const start = moment(first ?? "", zone, false);
  const end = last === "now" ? now : moment(last, zone, true);
  if (start === null || end === null || start >= end) return null;
  return { from: new Date(start).toISOString(), to: last === "now" ? "now" : new Date(end).toISOString() };
}

/** "2026-11-01" or "2026-11-01 14:05" in a zone; a day as an end is its last moment. */
function moment(text: string, zone: string | undefined, end: boolean): number | null {
  if (!/^\d{4}-\d{2}-\d{2}([ t]\d{2}:\d{2}(:\d{2})?)?$/i.test(text)) return null;
  const wall = Date.parse(`${text.replace(/[ t]/i, "T")}${text.length > 10 ? "" : "T00:00"}Z`);
  if (Number.isNaN(wall)) return null;
  return wallTime(end && text.length === 10 ? wall + DAY : wall, zone);
}
