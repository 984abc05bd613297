// The small charts of the tiles.
import { useMemo } from "react";
import type { Trends } from "../../features/usage-summary/usage-summary-tiles.tsx";
import { addUp } from "../../features/usage-timeseries/lines.ts";
import { useUsageTimeseries } from "../../features/usage-timeseries/use-usage-timeseries.ts";
import { buckets } from "../../lib/time-range.ts";
import { useScope } from "../../lib/view.ts";

/** They are columns of the ungrouped time series, without buckets that are not whole. */
export function useTrends(): Trends | undefined {
  const { data } = useUsageTimeseries();
  const scope = useScope();
  return useMemo(() => {
    const series = data?.series[0];
    if (!data || !series) return undefined;
    const { partial } = buckets(data, scope.moments(), scope.zone);
    // Only the ends of a range cut through buckets.
    const [first, last] = [partial.indexOf(false), partial.lastIndexOf(false) + 1];
    const whole = (column: number[]) => (first < 0 ? [] : column.slice(first, last));
    return {
      requests: whole(series.requests),
      tokens: whole(addUp([series.promptTokens, series.completionTokens])),
      failed: whole(series.failedRequests),
      cost: whole(series.costNanoUsd),
    };
  }, [data, scope]);
}
