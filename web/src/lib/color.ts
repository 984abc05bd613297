// Colours of groups: a name keeps its colour for as long as the page is open,
// wherever it appears.
const COLORS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
const taken = new Map<string, string>();

/** A custom property for a group, by a hash of its name; the next free one if that is taken. */
export function groupColor(key: string): string {
  const known = taken.get(key);
  if (known) return known;
  let hash = 0;
  for (const letter of key) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  const used = new Set(taken.values());
  const free = COLORS.map((_, at) => COLORS[(hash + at) % COLORS.length] ?? "--c1");
  const color = free.find((candidate) => !used.has(candidate)) ?? free[0] ?? "--c1";
  taken.set(key, color);
  return color;
}
