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

/** Events that wait for longer than this are said to. */
const LONG_MS = 30_000;
/** A proxy that was silent for longer than this was taken away, if others report. */
const GONE_MS = 3_600_000;

/** What keeps the data from being complete, in words; null while nothing does or nobody knows. */
export function useIncomplete(): { text: string; lossy: boolean } | null {
  const { data } = useCompleteness();
  if (!data) return null;
  const { replicas } = data;
  const now = data.now ?? 0;
  const of = (state: string) => replicas.filter((row) => row.state === `COMPLETENESS_STATE_${state}`);
  if (of("LOSSY").length > 0) return { text: "Requests are missing", lossy: true };
  const silent = of("SILENT");
  const stopped = of("STOPPED").length;
  const all = silent.length + stopped === replicas.length;
  const heard = silent.filter((row) => all || now - (row.reportedAt ?? 0) < GONE_MS).length;
  if (heard > 0)
    return { text: heard > 1 ? `${heard} proxies are silent` : "A proxy is silent", lossy: false };
  if (all && stopped > 0) return { text: "No proxy runs", lossy: false };
  const waits = ({ reported }: ReplicaCompleteness) => now - (reported?.oldestUnsentAt ?? now) > LONG_MS;
  return of("WAITING").some(waits) ? { text: "Requests wait to be stored", lossy: false } : null;
}
