import type { ReplicaCompleteness } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";

/** Proxies report once a second. */
const EVERY_MS = 5_000;

/** The account of each proxy. */
export const useCompleteness = () => useRpc("Completeness", [], () => ({}), { every: EVERY_MS });

/** In words, for all of them. */
export function summary(rows: ReplicaCompleteness[]): string {
  const of = (state: ReplicaCompleteness["state"]) => rows.filter((row) => row.state === state).length;
  const lossy = of("COMPLETENESS_STATE_LOSSY");
  const waiting = of("COMPLETENESS_STATE_WAITING");
  if (lossy) return `requests are missing from ${lossy} of ${rows.length}`;
  if (waiting) return `${waiting} of ${rows.length} catching up`;
  return rows.length > 0 ? "nothing lost" : "";
}

/** Proxies from which requests are missing; 0 while unknown. */
export function useLossyProxies(): number {
  const { data } = useCompleteness();
  return data?.replicas.filter(({ state }) => state === "COMPLETENESS_STATE_LOSSY").length ?? 0;
}
