import { useRpc } from "../../api/use-rpc.ts";
import { useScope } from "../../lib/view.ts";

/** Speeds, waiting times and concurrency of the view over time. */
export function useThroughputTimeseries() {
  const scope = useScope();
  return useRpc("ThroughputTimeseries", scope.key, () => ({
    range: scope.range(),
    filter: scope.filter,
    timeZone: scope.zone,
    bucketSeconds: scope.moments().bucketSeconds,
  }));
}
