// Ranges as people write them: "90m", "last week", "Nov 27", "14:00 to 15:00".
// What is not understood in full is refused: a range that was misread shows
// numbers that are wrong without looking so.
import { absolute, type Span, spanOf, wallOf, wallTime } from "./time-range.ts";

const DAY = 86_400_000;
const UNITS = /^(s|m|h|d|w)$|^(sec|min|hr|second|minute|hour|day|week)s?$/;
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const FULL_MONTHS =
  /^(january|february|march|april|may|june|july|august|sept(ember)?|october|november|december)$/;
const WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/** A range by the clocks of the zone: each end as the moment at which UTC's clocks show the same. */
interface Walls {
  start: number;
  end: number;
}

/** Null: not understood. `now` in ms since 1970. */
export function parseSpan(text: string, zone: string | undefined, now: number): Span | null {
  const typed = text.trim().toLowerCase().replace(/\s+/g, " ");
  const wall = wallOf(now, zone);
  const before = spanBefore(typed.replace(/^(the )?(last|past) /, ""), typed);
  if (before) return { from: before, to: "now" };
  const months = /^-?(\d{1,2}) ?(?:mo|months?)$/.exec(typed.replace(/^(the )?(last|past) /, ""));
  if (months) return sinceWall(monthsBefore(wall, Number(months[1])), zone, now);
  const walls = named(typed, wall);
  if (walls) return finish(walls, zone, now);
  const since = /^since (.+)$/.exec(typed);
  if (since) {
    const start = moment(since[1] ?? "", wall, null);
    return start && sinceWall(start.start, zone, now);
  }
  const ends = split(typed);
  if (!ends) {
    const day = moment(typed, wall, null);
    return day && day.end > day.start ? finish(day, zone, now) : null;
  }
  const start = moment(ends[0], wall, null);
  if (!start) return null;
  if (ends[1] === "now") return sinceWall(start.start, zone, now);
  const end = moment(ends[1], wall, start);
  if (!end) return null;
  let [from, to] = [start.start, end.end];
  if (start.timeOnly && end.timeOnly) {
    // "22:00 to 02:00" passes midnight, and hours that are still to come are yesterday's.
    if (to <= from) to += DAY;
    while (from > wall) [from, to] = [from - DAY, to - DAY];
  }
  const moments = { start: wallTime(from, zone), end: wallTime(to, zone) };
  return moments.start < moments.end && moments.start < now ? absolute(moments) : null;
}

/** "-90m" of "90m", "2 hours" and "last hour". A bare "day" is of no length. */
function spanBefore(rest: string, typed: string): string | null {
  const match = /^-?(\d+(?:\.\d+)?)? ?([a-z]+)$/.exec(rest);
  if (!match?.[2] || !UNITS.test(match[2])) return null;
  // "last week" and "last month" are those of the calendar.
  if (!match[1] && (rest === typed || typed === "last week")) return null;
  const span = `-${match[1] ?? 1}${match[2][0]}`;
  return spanOf(span) === null ? null : span;
}

function monthsBefore(wall: number, months: number): number {
  const at = new Date(wall);
  const day = at.getUTCDate();
  at.setUTCDate(1);
  at.setUTCMonth(at.getUTCMonth() - months);
  const days = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 0)).getUTCDate();
  at.setUTCDate(Math.min(day, days));
  return at.getTime();
}

/** This and last week and month, by the calendar; weeks begin on Monday. */
function named(typed: string, wall: number): Walls | null {
  const today = Math.floor(wall / DAY) * DAY;
  const at = new Date(today);
  const monday = today - ((at.getUTCDay() + 6) % 7) * DAY;
  const month = (by: number) => Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + by, 1);
  switch (typed) {
    case "this week":
      return { start: monday, end: monday + 7 * DAY };
    case "last week":
      return { start: monday - 7 * DAY, end: monday };
    case "this month":
      return { start: month(0), end: month(1) };
    case "last month":
      return { start: month(-1), end: month(0) };
    default:
      return null;
  }
}

/** The two ends of a text that has two. A hyphen parts them between spaces or times. */
function split(typed: string): [string, string] | null {
  const parts = typed.replace(/^from /, "").split(/ (?:to|until|till) | ?(?:–|—|\.\.\.?|…) ?| - /);
  if (parts.length === 1) {
    const times = /^(.*\d:\d\d)-(\d.*)$/.exec(typed);
    return times?.[1] && times[2] ? [times[1], times[2]] : null;
  }
  return parts.length === 2 && parts[0] && parts[1] ? [parts[0], parts[1]] : null;
}

interface Moment extends Walls {
  /** Midnight of its day. */
  day: number;
  timeOnly: boolean;
}

/** A day, a time, or both. A day alone lasts until its end; `after` is the start of the range whose end this is. */
function moment(text: string, wall: number, after: Moment | null): Moment | null {
  const match = /^(.*?)(?:(?:^|[ t]|, ?|(?: at ))(\d{1,2}):(\d{2})(?::(\d{2}))?)?$/.exec(text);
  const [, dayText = "", hour, minute, second] = match ?? [];
  const today = Math.floor(wall / DAY) * DAY;
  const day = dayText ? dayOf(dayText.trim(), today) : (after?.day ?? today);
  if (day === null) return null;
  if (hour === undefined) return dayText ? { start: day, end: day + DAY, day, timeOnly: false } : null;
  const time = Number(hour) * 3_600_000 + Number(minute) * 60_000 + Number(second ?? 0) * 1e3;
  if (Number(hour) > 24 || Number(minute) > 59 || Number(second ?? 0) > 59 || time > DAY) return null;
  return { start: day + time, end: day + time, day, timeOnly: !dayText };
}

/** Midnight of "2026-11-27", "Nov 27", "27 November 2026", "yesterday" or "monday"; without a year the last such day. */
function dayOf(text: string, today: number): number | null {
  if (text === "today") return today;
  if (text === "yesterday") return today - DAY;
  const weekday = WEEKDAYS.findIndex(
    (name) => name === text || (name.slice(0, 3) === text && text.length === 3),
  );
  if (weekday >= 0) return today - ((new Date(today).getUTCDay() - weekday + 7) % 7) * DAY;
  const iso = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (iso) return date(Number(iso[1]), Number(iso[2]) - 1, Number(iso[3]));
  const words =
    /^(?<month>[a-z]+\.?) (?<day>\d{1,2})(?:st|nd|rd|th)?(?:,? (?<year>\d{4}))?$/.exec(text) ??
    /^(?<day>\d{1,2})(?:st|nd|rd|th|\.)? (?<month>[a-z]+\.?)(?:,? (?<year>\d{4}))?$/.exec(text);
  const name = words?.groups?.month?.replace(".", "") ?? "";
  const month = name.length === 3 || FULL_MONTHS.test(name) ? MONTHS.indexOf(name.slice(0, 3)) : -1;
  if (!words?.groups || month < 0) return null;
  const day = Number(words.groups.day);
  if (words.groups.year) return date(Number(words.groups.year), month, day);
  const year = new Date(today).getUTCFullYear();
  const found = date(year, month, day);
  return found !== null && found > today ? date(year - 1, month, day) : found;
}

/** Midnight of a day that exists. */
function date(year: number, month: number, day: number): number | null {
  const at = Date.UTC(year, month, day);
  const back = new Date(at);
  return year >= 2000 && back.getUTCMonth() === month && back.getUTCDate() === day ? at : null;
}

function sinceWall(start: number, zone: string | undefined, now: number): Span | null {
  const at = wallTime(start, zone);
  return at < now ? { from: new Date(at).toISOString(), to: "now" } : null;
}

/** A day, week or month: the present one ends now, one to come is refused. */
function finish({ start, end }: Walls, zone: string | undefined, now: number): Span | null {
  const moments = { start: wallTime(start, zone), end: wallTime(end, zone) };
  return moments.end > now ? sinceWall(start, zone, now) : absolute(moments);
}
