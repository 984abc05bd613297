// Numbers, durations and times as the whole dashboard writes them. Unknown is
// a dash, never 0; exact values belong into titles and exports.

/** What stands for a value that nobody knows. */
export const UNKNOWN = "–";

type Maybe = number | null | undefined;

const grouped = new Intl.NumberFormat();
const three = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const isUnknown = (value: Maybe): value is null | undefined => value == null || !Number.isFinite(value);

/** Three significant digits, as in 41.5 and 1,240. */
const short = (value: number): string =>
  Math.abs(value) >= 1_000 ? grouped.format(Math.round(value)) : three.format(value);

/** 1,234 · 12.3k · 1.23M. */
export function count(value: Maybe): string {
  if (isUnknown(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size < 9_999.5) return size < 100 ? three.format(value) : grouped.format(Math.round(value));
  for (const [unit, name] of [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
  ] as const) {
    if (size >= unit * 0.9995) return `${three.format(value / unit)}${name}`;
  }
  return `${three.format(value / 1e3)}k`;
}

/** Every digit: 1,234,567. */
export const exact = (value: Maybe): string => (isUnknown(value) ? UNKNOWN : grouped.format(value));

/** 840 ms · 1.24 s · 2 m 05 s · 1 h 02 m. */
export function duration(ms: Maybe): string {
  if (isUnknown(ms)) return UNKNOWN;
  if (ms < 999.5) return `${ms < 10 ? three.format(ms) : Math.round(ms)} ms`;
  if (ms < 59_950) return `${three.format(ms / 1e3)} s`;
  const seconds = Math.round(ms / 1e3);
  const two = (value: number) => String(value).padStart(2, "0");
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  return `${grouped.format(Math.floor(seconds / 3_600))} h ${two(Math.floor((seconds % 3_600) / 60))} m`;
}

/** A clock that runs: 12.4 s with a steady number of digits, then as duration. */
export function clock(ms: number): string {
  return ms < 60_000 ? `${tenths.format(Math.max(0, Math.floor(ms / 100)) / 10)} s` : duration(ms);
}

/** 41.5 (tokens per second). */
export const rate = (value: Maybe): string => (isUnknown(value) ? UNKNOWN : short(value));

/** 0.3 % · <0.1 %. */
export function percent(share: Maybe): string {
  if (isUnknown(share)) return UNKNOWN;
  const value = share * 100;
  if (value > 0 && value < 0.1) return "<0.1 %";
  return `${three.format(Math.round(value * 10) / 10)} %`;
}

/** 12.3 kB. */
export function bytes(value: Maybe): string {
  if (isUnknown(value)) return UNKNOWN;
  if (value < 1_000) return `${value} B`;
  return value < 1e6 ? `${three.format(value / 1e3)} kB` : `${three.format(value / 1e6)} MB`;
}

/** +12 % with the arrow's direction; null where there is nothing to compare with. */
export function change(now: Maybe, before: Maybe): { text: string; arrow: string } | null {
  if (isUnknown(now) || isUnknown(before) || before === 0) return null;
  const share = (now - before) / before;
  const value = Math.abs(share * 100);
  if (value < 0.05) return { text: "no change", arrow: "" };
  const digits = value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
  return {
    text: value > 999 ? ">999 %" : `${grouped.format(digits)} %`,
    arrow: share > 0 ? "↑" : "↓",
  };
}

/** "0.4 points" with the arrow's direction: how a share moved. Null where there is nothing to compare with. */
export function points(now: Maybe, before: Maybe): { text: string; arrow: string } | null {
  if (isUnknown(now) || isUnknown(before)) return null;
  const moved = Math.round((now - before) * 1_000) / 10;
  if (moved === 0) return { text: "no change", arrow: "" };
  const text = `${three.format(Math.abs(moved))} ${Math.abs(moved) === 1 ? "point" : "points"}`;
  return { text, arrow: moved > 0 ? "↑" : "↓" };
}

const formats = new Map<string, Intl.DateTimeFormat>();

function cached(
  locale: string | undefined,
  zone: string | undefined,
  options: Intl.DateTimeFormatOptions,
): Intl.DateTimeFormat {
  const key = `${locale} ${zone}${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat(locale, {
      hourCycle: "h23",
      ...options,
      ...(zone ? { timeZone: zone } : {}),
    });
    formats.set(key, format);
  }
  return format;
}

/** A cached formatter in the reader's language, for a zone; `undefined` is the browser's zone. */
export const dateFormat = (
  zone: string | undefined,
  options: Intl.DateTimeFormatOptions,
): Intl.DateTimeFormat => cached(undefined, zone, options);

/**
 * The same for arithmetic: the Gregorian calendar in Latin digits whatever the
 * reader's language. Other digits are not numbers to JavaScript.
 */
export const calendarFormat = (
  zone: string | undefined,
  options: Intl.DateTimeFormatOptions,
): Intl.DateTimeFormat => cached("en-US-u-ca-gregory-nu-latn", zone, options);

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;
const DATE = { month: "short", day: "numeric" } as const;

/** 14:05:12. */
export const time = (at: Maybe, zone?: string): string =>
  isUnknown(at) ? UNKNOWN : dateFormat(zone, TIME).format(at);

/** Nov 23, 14:05:12. */
export const dateTime = (at: Maybe, zone?: string): string =>
  isUnknown(at) ? UNKNOWN : dateFormat(zone, { ...DATE, ...TIME }).format(at);

/** 12 s ago and 2 m 05 s ago for less than an hour, else the date and time; always with seconds. */
export function ago(at: Maybe, now: number, zone?: string): string {
  if (isUnknown(at)) return UNKNOWN;
  const seconds = Math.max(0, Math.round((now - at) / 1e3));
  if (seconds < 60) return `${grouped.format(seconds)} s ago`;
  return seconds < 3_600 ? `${duration(seconds * 1e3)} ago` : dateTime(at, zone);
}

/** UTC+2, UTC+5:30, and UTC for none. */
export function zoneLabel(zone: string | undefined, at: number): string {
  const part = calendarFormat(zone, { timeZoneName: "shortOffset" })
    .formatToParts(at)
    .find(({ type }) => type === "timeZoneName");
  return (part?.value ?? "UTC").replace("GMT", "UTC").replace(/^UTC[+-]0$/, "UTC");
}
