// The rows that are shown of a query that is asked again and again.

import type { UseQueryResult } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Answer, UsageEvent } from "../../api/types.ts";
import { endOf } from "./columns.tsx";

type Rows = Answer<"RecentRequests">;

/** More at once than these are too many to be read as they come. */
const FEW = 3;

export interface HeldRows {
  /** The last to end first, so that what is new comes on top. */
  rows: UsageEvent[];
  /** How many wait, "25+" where all of the page are new; null for none. */
  waiting: string | null;
  show: () => void;
}

/**
 * `view` names what is asked: another one is shown at once. While `inUse`, and
 * when many come at once, new rows wait until they are asked for.
 */
export function useHeldRows(query: UseQueryResult<Rows>, view: string, inUse: boolean): HeldRows {
  const [held, setHeld] = useState<{ view: string; data: Rows } | null>(null);
  const [shown, setShown] = useState<Rows | null>(null);
  const latest = query.isPlaceholderData ? undefined : query.data;
  const fresh = useMemo(() => {
    const known = new Set(held?.data.rows.map(({ eventId }) => eventId));
    return latest?.rows.filter(({ eventId }) => !known.has(eventId)).length ?? 0;
  }, [latest, held]);
  const takes =
    latest !== undefined &&
    latest !== held?.data &&
    (held?.view !== view || latest === shown || (!inUse && fresh <= FEW));
  if (takes) setHeld({ view, data: latest });
  const data = takes ? latest : (held?.data ?? query.data);
  const rows = useMemo(() => [...(data?.rows ?? [])].sort((a, b) => endOf(b) - endOf(a)), [data]);
  const waits = !takes && latest !== undefined && fresh > 0;
  return {
    rows,
    waiting: waits ? (fresh === latest.rows.length ? `${fresh}+` : String(fresh)) : null,
    show: () => setShown(latest ?? null),
  };
}
