// Fewer points where several share a pixel, so that a chart costs as much as it is
// wide and not as much as it has values.

/** Neighbours that are drawn as one: `count` values in at most `places` groups. */
export const groupSize = (count: number, places: number): number =>
  Math.max(1, Math.ceil(count / Math.max(places, 1)));

/** The index of the greatest value of each group, so that no spike is lost; -1 where nothing is known. */
export function peaks(values: (number | null)[], size: number): number[] {
  const found: number[] = [];
  for (let from = 0; from < values.length; from += size) {
    let best = -1;
    for (let at = from; at < Math.min(from + size, values.length); at += 1) {
      const value = values[at];
      if (value != null && (best < 0 || value > (values[best] ?? 0))) best = at;
    }
    found.push(best);
  }
  return found;
}

/** The least and the greatest value of each group, in the order in which they came: two for each group. */
export function extremes(values: (number | null)[], size: number): (number | null)[] {
  const found: (number | null)[] = [];
  for (let from = 0; from < values.length; from += size) {
    let [least, most] = [-1, -1];
    for (let at = from; at < Math.min(from + size, values.length); at += 1) {
      const value = values[at];
      if (value == null) continue;
      if (least < 0 || value < (values[least] ?? 0)) least = at;
      if (most < 0 || value > (values[most] ?? 0)) most = at;
    }
    const pair = least < most ? [least, most] : [most, least];
    found.push(...pair.map((at) => values[at] ?? null));
  }
  return found;
}
