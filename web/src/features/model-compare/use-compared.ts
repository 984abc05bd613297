// Both time series, grouped by the models that are side by side.
import { useRpc } from "../../api/use-rpc.ts";
import { MOST } from "../../lib/picks.ts";
import { type Scope, useScope } from "../../lib/view.ts";

const payload = (scope: Scope, models: string[]) => ({
  range: scope.range(),
  filter: { ...scope.filter, models },
  timeZone: scope.zone,
  bucketSeconds: scope.moments().bucketSeconds,
  top: MOST,
  groupBy: { dimension: "DIMENSION_MODEL" as const },
});

export function useComparedUsage(models: string[]) {
  const scope = useScope();
  return useRpc("UsageTimeseries", [...scope.key, "compared", models], () => payload(scope, models));
}

export function useComparedThroughput(models: string[]) {
  const scope = useScope();
  return useRpc("ThroughputTimeseries", [...scope.key, "compared", models], () => payload(scope, models));
}
