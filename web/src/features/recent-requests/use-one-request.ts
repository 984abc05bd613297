// One request by its id. The contract has no such question, but an id is a
// UUIDv7: its first 48 bits are the time at which the request arrived.
import type { UsageEvent } from "../../api/types.ts";
import { useFailure, useRpc } from "../../api/use-rpc.ts";

/** Milliseconds since 1970 of a UUIDv7, or null. */
export function timeOfId(id: string): number | null {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(id)) return null;
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/** Undefined while it is looked for, null if there is none. */
export function useOneRequest(id: string): { event: UsageEvent | null | undefined; error: Error | null } {
  const at = timeOfId(id) ?? 0;
  const query = useRpc("RecentRequests", ["one", id], () => ({
    page: 1,
    pageSize: 100,
    range: { start: at - 20, end: at + 20 },
  }));
  const found = query.isPlaceholderData ? undefined : query.data?.rows.find((row) => row.eventId === id);
  const answered = query.data !== undefined && !query.isPlaceholderData;
  return { event: found ?? (answered ? null : undefined), error: useFailure(query) };
}
