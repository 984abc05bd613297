// Columns of the time series as lines of a chart: by kind of token, by success,
// or by the groups that were asked for.
import type { UsageTimeseries } from "../../api/types.ts";
import type { Line } from "../../components/plot.tsx";
import { groupColor } from "../../lib/color.ts";
import { exact } from "../../lib/format.ts";
import type { Moments } from "../../lib/time-range.ts";

/** Whole buckets, so that no bar is cut. */
export function wholeBuckets(data: UsageTimeseries): Moments {
  const first = data.bucketStarts[0] ?? 0;
  return { start: first, end: (data.bucketStarts.at(-1) ?? first) + data.bucketSeconds * 1e3 };
}

/** Sums over the columns, bucket by bucket. */
export const addUp = (columns: number[][]): number[] =>
  (columns[0] ?? []).map((_, at) => columns.reduce((sum, column) => sum + (column[at] ?? 0), 0));

/** The rest is groups without a line and, of models, requests that call none. */
const otherLabel = (groups: number): string => (groups > 0 ? `other (${exact(groups)})` : "no model");

/** The lines of a chart, from the bottom of the stack up. */
export function usageLines(data: UsageTimeseries, metric: "tokens" | "requests", group: string): Line[] {
  if (group) {
    return data.series.map((series) => ({
      label: series.other ? otherLabel(data.otherGroups) : groupLabel(series.key, group),
      color: series.other ? "--other" : statusColor(series.key, group),
      values: metric === "tokens" ? series.totalTokens : series.requests,
    }));
  }
  const all = data.series[0];
  if (!all) return [];
  if (metric === "requests") {
    const failed = all.failedRequests;
    return [
      {
        label: "succeeded",
        color: "--c1",
        values: all.requests.map((value, at) => value - (failed[at] ?? 0)),
      },
      { label: "failed", color: "--error", values: failed },
    ];
  }
  const cached = all.cachedPromptTokens;
  return [
    {
      label: "prompt",
      color: "--prompt",
      values: all.promptTokens.map((value, at) => value - (cached[at] ?? 0)),
    },
    { label: "cached prompt", color: "--cached", values: cached },
    { label: "completion", color: "--completion", values: all.completionTokens },
  ];
}

function groupLabel(key: string, group: string): string {
  if (!key) return group === "client" ? "no key" : "unnamed";
  return group === "status" ? key.replace("OUTCOME_", "").replaceAll("_", " ").toLowerCase() : key;
}

/** Errors are never shown in a categorical colour that could pass for another thing. */
function statusColor(key: string, group: string): string {
  if (group !== "status") return groupColor(`${group} ${key}`);
  if (key === "OUTCOME_OK") return "--c1";
  return key === "OUTCOME_CLIENT_CLOSED" ? "--other" : "--error";
}
