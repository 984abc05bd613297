// A procedure as a query that stays on screen while it is asked again, so that
// nothing blinks.
import { keepPreviousData, type UseQueryResult, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { RpcError } from "./rpc.ts";
import { call } from "./transport.ts";
import type { Answer, Payload, Procedure } from "./types.ts";

const RETRY_MS = 5_000;
/** What lies before a range that ends now moves on with it. */
const PAST_MS = 60_000;

/**
 * `payload` is made at each fetch, because a range that ends now moves on.
 * `every`: asked again after so many milliseconds, and not because of events.
 * `past`: new requests do not change the answer, so that events do not ask again.
 */
export function useRpc<P extends Procedure>(
  tag: P,
  key: unknown[],
  payload: () => Payload<P>,
  { enabled = true, every, past = false }: { enabled?: boolean; every?: number; past?: boolean } = {},
): UseQueryResult<Answer<P>> {
  return useQuery<Answer<P>>({
    queryKey: [tag, ...key],
    queryFn: ({ signal }) => call(tag, payload(), signal),
    enabled,
    meta: { past: past || every !== undefined },
    // What failed is asked again until it answers, also when no event comes.
    refetchInterval: ({ state }) => (state.error ? RETRY_MS : (every ?? (past ? PAST_MS : false))),
    placeholderData: keepPreviousData,
    // Long columns are the same as a whole or new: to look for parts that are costs more than drawing them.
    ...(tag.endsWith("Timeseries")
      ? { structuralSharing: (old: unknown, now: unknown) => (isSame(old, now) ? old : now) }
      : {}),
    retry: (failures, error) => failures < 1 && error instanceof RpcError && error.kind === "transport",
  });
}

/** A query that is asked again has no error until it fails again: what shows the error does not blink. */
export function useFailure({ data, error, errorUpdateCount }: UseQueryResult): Error | null {
  const [last, setLast] = useState(error);
  if (error && error !== last) setLast(error);
  return error ?? (data === undefined && errorUpdateCount > 0 ? last : null);
}

function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, at) => isSame(item, b[at]));
  if (!a || !b || typeof a !== "object" || typeof b !== "object") return Object.is(a, b);
  return Object.entries(a).every(([key, value]) => isSame(value, b[key as keyof typeof b]));
}
