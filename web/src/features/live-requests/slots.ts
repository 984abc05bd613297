// Which line a running request is shown on. A line stays with its request until
// the request has left, so that the others never jump.
import type { Row } from "../../api/live.ts";

/**
 * The lines after a change: those gone free their line, new ones take the first
 * free. Where none is free, a running request takes the line of a result.
 */
export function assignSlots(before: (string | null)[], rows: Row[], most: number): (string | null)[] {
  const ended = new Map(rows.map((row) => [row.id, row.endedAt !== null]));
  const slots = before.map((id) => (id !== null && ended.has(id) ? id : null)).slice(0, most);
  const placed = new Set(slots);
  const waiting = rows.filter(({ id }) => !placed.has(id));
  for (const { id } of [
    ...waiting.filter((row) => !ended.get(row.id)),
    ...waiting.filter((row) => ended.get(row.id)),
  ]) {
    let at = slots.indexOf(null);
    if (at < 0 && slots.length < most) at = slots.length;
    if (at < 0 && !ended.get(id)) at = slots.findIndex((shown) => shown !== null && ended.get(shown));
    if (at < 0) break;
    slots[at] = id;
  }
  while (slots.length > 0 && slots.at(-1) === null) slots.pop();
  return slots;
}
