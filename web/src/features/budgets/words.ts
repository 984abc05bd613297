// Words of budgets.
export const HOUR_MS = 3_600_000;

/** "CALENDAR_PERIOD_DAY" as "day". */
export const periodText = (period: string) => period.slice("CALENDAR_PERIOD_".length).toLowerCase();

/** "models: a, b · tags: team=search", and what is excluded. */
export function words(filter: object | null, not = ""): string {
  const parts = Object.entries(filter ?? {}).map(([key, value]) => {
    if (key === "exclude") return words(value, "not ");
    const values = Array.isArray(value)
      ? value
      : typeof value === "object"
        ? Object.entries(value ?? {}).map((pair) => pair.join("="))
        : [value];
    return values[0] === undefined ? "" : `${not}${key}: ${values.join(", ")}`;
  });
  return parts.filter(Boolean).join(" · ");
}
