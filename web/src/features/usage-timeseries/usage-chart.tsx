// Tokens, requests or their cost over time: by kind of token, or split by a dimension.
import { useMemo, useState } from "react";
import type { Dimension, UsageTimeseries } from "../../api/types.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Button, Empty, Panel, QueryState, Segments, Select } from "../../components/panel.tsx";
import { TimeChart } from "../../components/time-chart.tsx";
import { COMPARED } from "../../lib/compare.ts";
import { money, rateWords, SET_PRICE } from "../../lib/cost.ts";
import { count } from "../../lib/format.ts";
import { type Names, useNames } from "../../lib/names.tsx";
import { buckets } from "../../lib/time-range.ts";
import { boundMark } from "../../lib/usage.ts";
import { type Scope, useScope, useView } from "../../lib/view.ts";
import { addUp, type Metric, usageLines } from "./lines.ts";
import { useComparedValues, useUsageTimeseries } from "./use-usage-timeseries.ts";

const HEIGHT = 260;
const METRICS = [
  ["tokens", "Tokens"],
  ["requests", "Requests"],
  ["cost", "Cost"],
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

const TITLES = {
  tokens: "Tokens over time",
  requests: "Requests over time",
  cost: "Cost over time",
};
/** Ticks of the cost: where it lacks requests. */
const UNKNOWN_COST = { label: "unknown cost", color: "--warn" };

/** What is drawn of an answer, null where nothing was; made once for it. */
function draw(data: UsageTimeseries, metric: Metric, group: string, scope: Scope, names: Names) {
  if (!data.series.some((series) => series.requests.some((value) => value > 0))) return null;
  return {
    buckets: buckets(data, scope.moments(), scope.zone),
    lines: usageLines(data, metric, group, names),
    errors: addUp(
      data.series.map(({ failedRequests, unknownCostRequests }) =>
        metric === "cost" ? unknownCostRequests : failedRequests,
      ),
    ),
    ...(metric === "cost" ? { tick: UNKNOWN_COST, money: true } : {}),
  };
}

/** `lowerBound`: some requests did not report all of their tokens. */
export function UsageChart({ lowerBound = false }: { lowerBound?: boolean }) {
  const [view, setView] = useView();
  const scope = useScope();
  const names = useNames();
  const [asTable, setAsTable] = useState(false);
  const asked = view.get("metric");
  const metric = asked === "requests" || asked === "cost" ? asked : "tokens";
  const group = view.get("group") ?? "";
  const query = useUsageTimeseries(DIMENSIONS[group]);
  const compared = useComparedValues(query.data, metric);
  const drawn = useMemo(
    () => (query.data ? draw(query.data, metric, group in DIMENSIONS ? group : "", scope, names) : null),
    [query.data, metric, group, scope, names],
  );
  const ghost = useMemo(
    () =>
      compared && view.compare !== "off"
        ? { label: COMPARED[view.compare].name, color: "--muted", dash: "4 3", values: compared }
        : null,
    [compared, view.compare],
  );
  const title = TITLES[metric];
  const chart = drawn && {
    name: title,
    kind: "bars" as const,
    ...drawn,
    ...(ghost ? { ghost } : {}),
    zone: scope.zone,
    format: metric === "cost" ? money : count,
  };
  return (
    <Panel
      title={title}
      note={metric === "cost" ? rateWords() : ""}
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
          const { lines, errors, format } = chart;
          if (metric === "tokens" && lines.every(({ values }) => values.every((value) => !value))) {
            return (
              <Empty title="No tokens were reported in this range" height={HEIGHT + 32}>
                <Button onClick={() => setView({ metric: "requests" }, true)}>Show requests</Button>
              </Empty>
            );
          }
          // A known cost of 0 is drawn as nothing; what is unknown is said.
          if (
            metric === "cost" &&
            errors.some(Boolean) &&
            lines.every(({ values }) => values.every((value) => !value))
          ) {
            return (
              <Empty title="No cost is known in this range" height={HEIGHT + 32}>
                The models have no price, or the answers carried no usage. {SET_PRICE}
              </Empty>
            );
          }
          return (
            <TimeChart
              {...chart}
              height={HEIGHT}
              asTable={asTable}
              restLabel="Whole range"
              atRest={lines.map(({ values, lower = lowerBound && metric === "tokens" }) => {
                const sum = values.some((value) => value !== null)
                  ? values.reduce<number>((sum, value) => sum + (value ?? 0), 0)
                  : null;
                return `${boundMark(sum, lower)}${format(sum)}`;
              })}
            />
          );
        }}
      </QueryState>
    </Panel>
  );
}
