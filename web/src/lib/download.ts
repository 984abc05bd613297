// Exports: exactly what is shown, raw. CSV with a head of stable names, or JSON.
import { type Moments, zoneOffset } from "./time-range.ts";
import { FILTER_KEYS, type View } from "./view.ts";

/** A Date is a moment, written with the offset of the view's zone. Null is unknown. */
export type Cell = string | number | boolean | Date | null;

/** What a table or a chart shows: stable names, and rows of as many cells. */
export interface Sheet {
  names: string[];
  rows: Cell[][];
}

/** A moment in ms since 1970 as a cell. */
export const momentCell = (at: number | null): Cell => (at === null ? null : new Date(at));

/** What spreadsheets take for the beginning of a formula, wide forms as well. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

/** RFC 4180; cells that a spreadsheet would run as a formula are made plain text. */
export function toCsv({ names, rows }: Sheet, zone?: string): string {
  const quote = (cell: Cell) => {
    const value = plain(cell, zone);
    const text = value === null ? "" : String(value);
    const safe = typeof cell === "string" && FORMULA.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return [names, ...rows].map((row) => `${row.map(quote).join(",")}\r\n`).join("");
}

/** An array with one object for each row. */
export function toJson({ names, rows }: Sheet, zone?: string): string {
  const objects = rows.map((row) =>
    Object.fromEntries(names.map((name, at) => [name, plain(row[at] ?? null, zone)])),
  );
  return `${JSON.stringify(objects, null, 2)}\n`;
}

const plain = (cell: Cell, zone: string | undefined): string | number | boolean | null =>
  cell instanceof Date ? isoWithOffset(cell.getTime(), zoneOffset(cell.getTime(), zone)) : cell;

/** Hands a file to the browser. */
export function download(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}

/** Of the filters' part: file systems allow 255 bytes in all. */
const LONGEST = 80;

/** "modash-models_2026-11-28T14-00_2026-11-29T14-00_model-qwen3-8b": what, the range on the zone's clocks, the filters. */
export function fileName(
  what: string,
  filters: View["filters"],
  range: Moments | null,
  zone?: string,
): string {
  const slug = (text: string) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}.]+/gu, "-")
      .replaceAll(/^[-.]+|[-.]+$/g, "");
  const minute = (at: number) => isoWithOffset(at, zoneOffset(at, zone)).slice(0, 16).replace(":", "-");
  const chosen = FILTER_KEYS.filter((key) => filters[key].length > 0).map((key) =>
    slug(`${key}-${filters[key].join("+")}`),
  );
  const narrowed = chosen.join("_").slice(0, LONGEST);
  return [`modash-${slug(what)}`, ...(range ? [minute(range.start), minute(range.end)] : []), narrowed]
    .filter(Boolean)
    .join("_");
}

/** 2026-11-23T14:05:12.123+02:00: a moment with the offset of a zone, `offsetMs` from UTC. */
export function isoWithOffset(at: number, offsetMs: number): string {
  const minutes = Math.round(offsetMs / 60_000);
  const two = (value: number) => String(value).padStart(2, "0");
  const sign = minutes < 0 ? "-" : "+";
  const size = Math.abs(minutes);
  const wall = new Date(at + minutes * 60_000).toISOString().slice(0, -1);
  return `${wall}${sign}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
