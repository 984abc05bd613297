// A procedure as a query that stays on screen while it is asked again, so that
// nothing blinks.
import { keepPreviousData, type UseQueryResult, useQuery } from "@tanstack/react-query";
import { RpcError, rpc } from "./rpc.ts";
import type { Answer, Payload, Procedure } from "./types.ts";

const RETRY_MS = 5_000;

/**
 * `payload` is made at each fetch, because a range that ends now moves on.
 * `every`: asked again after so many milliseconds, also when no event says so.
 */
export function useRpc<P extends Procedure>(
  tag: P,
  key: unknown[],
  payload: () => Payload<P>,
  enabled = true,
  every?: number,
): UseQueryResult<Answer<P>> {
  return useQuery<Answer<P>>({
    queryKey: [tag, ...key],
    queryFn: ({ signal }) => rpc(tag, payload(), signal),
    enabled,
    // What failed is asked again until it answers, also when no event comes.
    refetchInterval: ({ state }) => (state.error ? RETRY_MS : (every ?? false)),
    placeholderData: keepPreviousData,
    retry: (failures, error) => failures < 1 && error instanceof RpcError && error.kind === "transport",
  });
}
