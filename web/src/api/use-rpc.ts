// A procedure as a query that stays on screen while it is asked again, so that
// nothing blinks.
import { keepPreviousData, type UseQueryResult, useQuery } from "@tanstack/react-query";
import { RpcError } from "./rpc.ts";
import { call } from "./transport.ts";
import type { Answer, Payload, Procedure } from "./types.ts";

const RETRY_MS = 5_000;
/** What lies before a range that ends now moves on with it. */
const PAST_MS = 60_000;

/**
 * `payload` is made at each fetch, because a range that ends now moves on.
 * `every`: asked again after so many milliseconds, also when no event says so.
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
    meta: { past },
    // What failed is asked again until it answers, also when no event comes.
    refetchInterval: ({ state }) => (state.error ? RETRY_MS : (every ?? (past ? PAST_MS : false))),
    placeholderData: keepPreviousData,
    retry: (failures, error) => failures < 1 && error instanceof RpcError && error.kind === "transport",
  });
}
