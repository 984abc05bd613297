import { useMemo } from "react";
import type { Dimension, UsageTimeseries } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { comparedRange } from "../../lib/compare.ts";
import { buckets, wholeOnly } from "../../lib/time-range.ts";
import { useScope, useView } from "../../lib/view.ts";
import { columnOf, type Metric } from "./lines.ts";

/** Groups that a chart can tell apart. */
const FEW = 5;

/** Requests and tokens of the view over time; `group` splits them into the `top` largest groups and the rest. */
export function useUsageTimeseries(group?: Dimension, top = FEW) {
  const scope = useScope();
  return useRpc("UsageTimeseries", [...scope.key, group ?? null, top], () => ({
    range: scope.range(),
    filter: scope.filter,
    timeZone: scope.zone,
    bucketSeconds: scope.moments().bucketSeconds,
    top,
    ...(group ? { groupBy: { dimension: group } } : {}),
  }));
}

/**
 * Sums of what the view is compared with, moved onto the buckets of `data`; null
 * where it has none. Undefined while unknown and where nothing is compared.
 */
export function useComparedValues(
  data: UsageTimeseries | undefined,
  metric: Metric,
): (number | null)[] | undefined {
  const scope = useScope();
  const [view] = useView();
  const query = useRpc(
    "UsageTimeseries",
    [...scope.key, view.compare],
    () => ({
      range: comparedRange(scope.moments(), view.compare, scope.zone),
      filter: scope.filter,
      timeZone: scope.zone,
      bucketSeconds: scope.moments().bucketSeconds,
      top: 5,
    }),
    { enabled: view.compare !== "off", past: true },
  );
  const before = query.data;
  const { compare } = view;
  return useMemo(() => {
    const series = before?.series[0];
    if (!data || !series || compare === "off" || before.bucketSeconds !== data.bucketSeconds)
      return undefined;
    const asked = comparedRange(scope.moments(), compare, scope.zone);
    const shift = scope.moments().start - asked.start;
    const values = wholeOnly(columnOf(series, metric), buckets(before, asked, scope.zone).partial);
    // A line along the bottom says nothing.
    if (!values.some((value) => value)) return undefined;
    const half = (data.bucketSeconds * 1e3) / 2;
    // Both are in order, so that one walk over them is enough.
    let at = 0;
    return data.bucketStarts.map((start) => {
      while ((before.bucketStarts[at] ?? Infinity) + shift < start - half) at += 1;
      return Math.abs((before.bucketStarts[at] ?? Infinity) + shift - start) <= half
        ? (values[at] ?? null)
        : null;
    });
  }, [before, data, compare, metric, scope]);
}
