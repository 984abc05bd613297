// Tokens or requests over time: by kind of token, or split by a dimension.
import { useMemo, useState } from "react";
import type { Dimension, UsageTimeseries } from "../../api/types.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Button, Empty, Panel, QueryState, Segments, Select } from "../../components/panel.tsx";
import { TimeChart } from "../../components/time-chart.tsx";
import { COMPARED } from "../../lib/compare.ts";
import { count } from "../../lib/format.ts";
import { buckets } from "../../lib/time-range.ts";
import { boundMark } from "../../lib/usage.ts";
import { type Scope, useScope, useView } from "../../lib/view.ts";
import { addUp, usageLines } from "./lines.ts";
import { useComparedValues, useUsageTimeseries } from "./use-usage-timeseries.ts";

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

/** What is drawn of an answer, null where nothing was; made once for it. */
function draw(data: UsageTimeseries, metric: "tokens" | "requests", group: string, scope: Scope) {
  if (!data.series.some((series) => series.requests.some((value) => value > 0))) return null;
  return {
    buckets: buckets(data, scope.moments(), scope.zone),
    lines: usageLines(data, metric, group),
    errors: addUp(data.series.map((series) => series.failedRequests)),
  };
}

/** `lowerBound`: some requests did not report all of their tokens. */
export function UsageChart({ lowerBound = false }: { lowerBound?: boolean }) {
  const [view, setView] = useView();
  const scope = useScope();
  const [asTable, setAsTable] = useState(false);
  const metric = view.get("metric") === "requests" ? "requests" : "tokens";
  const group = view.get("group") ?? "";
  const query = useUsageTimeseries(DIMENSIONS[group]);
  const compared = useComparedValues(query.data, metric);
  const drawn = useMemo(
    () => (query.data ? draw(query.data, metric, group in DIMENSIONS ? group : "", scope) : null),
    [query.data, metric, group, scope],
  );
  const ghost = useMemo(
    () =>
      compared && view.compare !== "off"
        ? { label: COMPARED[view.compare].name, color: "--muted", dash: "4 3", values: compared }
        : null,
    [compared, view.compare],
  );
  const title = metric === "tokens" ? "Tokens over time" : "Requests over time";
  const chart = drawn && {
    name: title,
    kind: "bars" as const,
    ...drawn,
    ...(ghost ? { ghost } : {}),
    zone: scope.zone,
    format: count,
  };
  return (
    <Panel
      title={title}
      busy={query.isPlaceholderData && query.isFetching}
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
          <ExportMenu what={title.toLowerCase()} chart={chart} />
        </>
      }
    >
      <QueryState query={query} what="usage over time" height={HEIGHT + 32}>
        {() => {
          if (!chart) return <Empty title="No requests in this range" height={HEIGHT + 32} />;
          const { lines } = chart;
          if (metric === "tokens" && lines.every(({ values }) => values.every((value) => !value))) {
            return (
              <Empty title="No tokens were reported in this range" height={HEIGHT + 32}>
                <Button onClick={() => setView({ metric: "requests" }, true)}>Show requests</Button>
              </Empty>
            );
          }
          return (
            <TimeChart
              {...chart}
              height={HEIGHT}
              asTable={asTable}
              restLabel="Whole range"
              atRest={lines.map(
                (line) =>
                  `${boundMark(0, lowerBound && metric === "tokens")}${count(line.values.reduce<number>((sum, value) => sum + (value ?? 0), 0))}`,
              )}
            />
          );
        }}
      </QueryState>
    </Panel>
  );
}
