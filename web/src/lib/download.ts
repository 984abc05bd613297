// Exports: exactly what is shown, raw. CSV with a head of stable names, or JSON.

export type Cell = string | number | boolean | null;

/** RFC 4180; cells that a spreadsheet would run as a formula are made plain text. */
export function toCsv(names: string[], rows: Cell[][]): string {
  const quote = (cell: Cell) => {
    const text = cell === null ? "" : String(cell);
    const plain = typeof cell === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  return [names, ...rows].map((row) => `${row.map(quote).join(",")}\r\n`).join("");
}

/** Hands a text to the browser as a file. */
export function download(name: string, type: "text/csv" | "application/json", text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
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
