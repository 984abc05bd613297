// Which line a running request is shown on. A line stays with its request until
// the request has left, so that the others never jump.
import type { Row } from "../../api/live.ts";

/** The lines after a change: those gone free their line, new ones take the first free. */
export function assignSlots(before: (string | null)[], rows: Row[], most: number): (string | null)[] {
  const present = new Set(rows.map((row) => row.id));
  const slots = before.map((id) => (id !== null && present.has(id) ? id : null)).slice(0, most);
  const placed = new Set(slots);
  // Those that still run come first: a result must not keep a running request off the page.
  const waiting = rows
    .filter((row) => !placed.has(row.id))
    .sort((a, b) => Number(a.endedAt !== null) - Number(b.endedAt !== null));
  for (const row of waiting) {
    let at = slots.indexOf(null);
    if (at < 0) at = slots.length;
    if (at >= most) break;
    slots[at] = row.id;
  }
  while (slots.length > 0 && slots.at(-1) === null) slots.pop();
  return slots;
}
