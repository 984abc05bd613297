// Tokens or requests over time: by kind of token, or split by a dimension.
import { useState } from "react";
import type { Dimension, UsageTimeseries } from "../../api/types.ts";
import { Button, Empty, Panel, QueryState, Segments, Select } from "../../components/panel.tsx";
import type { Line } from "../../components/plot.ts";
import { TimeChart } from "../../components/time-chart.tsx";
import { groupColor } from "../../lib/color.ts";
import { count } from "../../lib/format.ts";
import { absolute } from "../../lib/time-range.ts";
import { useScope, useView } from "../../lib/view.ts";
import { useUsageTimeseries } from "./use-usage-timeseries.ts";

const HEIGHT = 260;
const METRICS = [
  ["tokens", "Tokens"],
  ["requests", "Requests"],
] as const;
const GROUPS = [
  ["", "All together"],
  ["model", "By model"],
  ["status", "By status"],
  ["client", "By client"],
  ["upstream", "By upstream"],
] as const;
const DIMENSIONS: Record<string, Dimension> = {
  model: "DIMENSION_MODEL",
  status: "DIMENSION_OUTCOME",
  client: "DIMENSION_CLIENT_KEY",
  upstream: "DIMENSION_UPSTREAM",
};

export function UsageChart() {
  const [view, setView] = useView();
  const scope = useScope();
  const [asTable, setAsTable] = useState(false);
  const metric = view.get("metric") === "requests" ? "requests" : "tokens";
  const group = view.get("group") ?? "";
  const query = useUsageTimeseries(DIMENSIONS[group]);
  return (
    <Panel
      title={metric === "tokens" ? "Tokens over time" : "Requests over time"}
      busy={query.isFetching && query.isPlaceholderData}
      controls={
        <>
          <Segments
            label="Value"
            value={metric}
            options={METRICS}
            onChange={(value) => setView({ metric: value === "tokens" ? null : value }, true)}
          />
          <Select
            label="Split"
            value={group in DIMENSIONS ? group : ""}
            options={GROUPS}
            onChange={(value) => setView({ group: value }, true)}
          />
          <Button quiet aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            {asTable ? "Chart" : "Table"}
          </Button>
        </>
      }
    >
      <QueryState query={query} what="usage over time" height={HEIGHT + 32}>
        {(data) => {
          const lines = toLines(data, metric, group in DIMENSIONS ? group : "");
          if (!data.series.some((series) => series.requests.some((value) => value > 0))) {
            return <Empty title="No requests in this range" height={HEIGHT + 32} />;
          }
          return (
            <TimeChart
              name={metric === "tokens" ? "Tokens over time" : "Requests over time"}
              kind="bars"
              height={HEIGHT}
              starts={data.bucketStarts}
              bucketSeconds={data.bucketSeconds}
              lines={lines}
              errors={addUp(data.series.map((series) => series.failedRequests))}
              range={chartRange(data, scope.moments())}
              zone={view.zone}
              format={count}
              asTable={asTable}
              restLabel="Whole range"
              atRest={lines.map((line) => count(line.values.reduce<number>((sum, value) => sum + (value ?? 0), 0)))}
              onZoom={(start, end) => setView({ ...absolute({ start, end }) })}
            />
          );
        }}
      </QueryState>
    </Panel>
  );
}

/** Whole buckets, so that no bar is cut. */
function chartRange(data: UsageTimeseries, asked: { start: number; end: number }) {
  const first = data.bucketStarts[0] ?? asked.start;
  const last = data.bucketStarts.at(-1) ?? asked.end;
  return { start: first, end: last + data.bucketSeconds * 1e3 };
}

const addUp = (columns: number[][]): number[] =>
  (columns[0] ?? []).map((_, at) => columns.reduce((sum, column) => sum + (column[at] ?? 0), 0));

function toLines(data: UsageTimeseries, metric: "tokens" | "requests", group: string): Line[] {
  if (group) {
    return data.series.map((series) => ({
      label: series.other ? "other" : groupLabel(series.key, group),
      color: series.other ? "--other" : statusColor(series.key, group),
      values: metric === "tokens" ? series.totalTokens : series.requests,
    }));
  }
  const all = data.series[0];
  if (!all) return [];
  if (metric === "requests") {
    const failed = all.failedRequests;
    return [
      { label: "succeeded", color: "--c1", values: all.requests.map((value, at) => value - (failed[at] ?? 0)) },
      { label: "failed", color: "--error", values: failed },
    ];
  }
  const cached = all.cachedPromptTokens;
  return [
    { label: "prompt", color: "--prompt", values: all.promptTokens.map((value, at) => value - (cached[at] ?? 0)) },
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
