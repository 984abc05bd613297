import type { Dimension } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { useScope } from "../../lib/view.ts";

/** Requests and tokens of the view over time; `group` splits them. */
export function useUsageTimeseries(group?: Dimension) {
  const scope = useScope();
  return useRpc("UsageTimeseries", [...scope.key, group ?? null], () => ({
    range: scope.range(),
    filter: scope.filter,
    timeZone: scope.zone,
    bucketSeconds: scope.moments().bucketSeconds,
    top: 5,
    ...(group ? { groupBy: { dimension: group } } : {}),
  }));
}
