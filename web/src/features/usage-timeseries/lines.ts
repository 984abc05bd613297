// Columns of the time series as lines of a chart: by kind of token, by success, the
// cost, or by the groups that were asked for.
import type { Outcome, UsageTimeseries } from "../../api/types.ts";
import type { Line } from "../../components/plot.tsx";
import { groupColor } from "../../lib/color.ts";
import { exact } from "../../lib/format.ts";
import type { Names } from "../../lib/names.tsx";
import { outcomeWords } from "../../lib/outcome.ts";
import { type FilterKey, statusOf } from "../../lib/view.ts";

/** What the chart shows. */
export type Metric = "tokens" | "requests" | "cost";

/** A series by what is shown. Where all costs of a bucket are unknown, so is their sum. */
export const columnOf = (series: UsageTimeseries["series"][number], metric: Metric): (number | null)[] =>
  metric === "tokens"
    ? addUp([series.promptTokens, series.completionTokens])
    : metric === "cost"
      ? series.costNanoUsd.map((cost, at) => (cost || !series.unknownCostRequests[at] ? cost : null))
      : series.requests;

const lacks = ({ unknownCostRequests }: UsageTimeseries["series"][number], metric: Metric) =>
  metric === "cost" ? { lower: unknownCostRequests.some(Boolean) } : {};

/** Sums over the columns, bucket by bucket. */
export const addUp = (columns: number[][]): number[] =>
  (columns[0] ?? []).map((_, at) => columns.reduce((sum, column) => sum + (column[at] ?? 0), 0));

/** The rest is groups without a line and, of models, requests that call none. */
export const otherLabel = (groups: number, group: string): string =>
  groups > 0 ? `other (${exact(groups)})` : group === "model" ? "no model" : "other";

/** The lines of a chart, from the bottom of the stack up. */
export function usageLines(
  data: UsageTimeseries,
  metric: Metric,
  group: string,
  names: Names = new Map(),
): Line[] {
  if (group) {
    return data.series.map((series) => ({
      ...(series.other
        ? { label: otherLabel(data.otherGroups, group) }
        : namedLabel(series.key, group, names)),
      color: series.other ? "--other" : colorOf(series.key, group),
      ...filterOf(series, group),
      values: columnOf(series, metric),
      ...lacks(series, metric),
    }));
  }
  const all = data.series[0];
  if (!all) return [];
  if (metric === "cost")
    return [{ label: "cost", color: "--cost", values: columnOf(all, metric), ...lacks(all, metric) }];
  if (metric === "requests") {
    const failed = all.failedRequests;
    return [
      {
        label: "succeeded",
        color: "--c1",
        values: all.requests.map((value, at) => value - (failed[at] ?? 0)),
      },
      { label: "failed", color: "--error", values: failed, filter: ["status", "error"] },
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

/** A name may stand for several keys, and labels must differ. */
function namedLabel(key: string, group: string, names: Names): Pick<Line, "label" | "column"> {
  const name = names.get(`${group} ${key}`);
  return name
    ? { label: `${name} · ${key.slice(0, 8)}`, column: `${name} (${key})` }
    : { label: groupLabel(key, group) };
}

/** What a group's name narrows the view to; the rest is no one thing. */
export function filterOf(
  { key, other }: { key: string; other: boolean },
  group: string,
): { filter?: [FilterKey, string] } {
  const value = group === "status" ? statusOf(key as Outcome) : key;
  return other || !value ? {} : { filter: [group as FilterKey, value] };
}

/** Outcomes have the words of the table of requests. */
export function groupLabel(key: string, group: string): string {
  if (group === "status") return outcomeWords({ outcome: key as Outcome, status: null }).text;
  return key || (group === "client" ? "no key" : "unnamed");
}

/** Shades of red and rust: errors never have a colour that could pass for another thing, and each its own. */
const STATUS_COLORS: Partial<Record<Outcome, string>> = {
  OUTCOME_OK: "--c1",
  OUTCOME_CLIENT_CLOSED: "--cancelled",
  OUTCOME_HTTP_ERROR: "--error",
  OUTCOME_STREAM_ERROR: "--e2",
  OUTCOME_UPSTREAM_TIMEOUT: "--e3",
  OUTCOME_UPSTREAM_UNREACHABLE: "--e4",
  OUTCOME_TRUNCATED: "--e5",
  OUTCOME_EMPTY: "--e6",
  OUTCOME_INTERRUPTED: "--e7",
};

const colorOf = (key: string, group: string): string =>
  group === "status" ? (STATUS_COLORS[key as Outcome] ?? "--other") : groupColor(`${group} ${key}`);
