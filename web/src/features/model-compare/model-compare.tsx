// Two to four models side by side: small charts on equal axes, a row for each measure.
import { useMemo, useState } from "react";
import { Link } from "wouter";
import type { ThroughputTimeseries, UsageTimeseries } from "../../api/types.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Button, Panel, QueryState } from "../../components/panel.tsx";
import type { Line } from "../../components/plot.tsx";
import { TimeChart } from "../../components/time-chart.tsx";
import { count, duration, rate } from "../../lib/format.ts";
import { usePicks } from "../../lib/picks.ts";
import { type Buckets, buckets, wholeOnly } from "../../lib/time-range.ts";
import { modelPath, type Scope, useHref, useScope } from "../../lib/view.ts";
import styles from "./model-compare.module.css";
import { useComparedThroughput, useComparedUsage } from "./use-compared.ts";

const HEIGHT = 150;

type Usage = UsageTimeseries["series"][number];
type Speeds = ThroughputTimeseries["series"][number];

interface Measure<Series> {
  title: string;
  kind: "bars" | "lines";
  band?: [number, number];
  lines(series: Series): Line[];
  format(value: number | null): string;
}

const SPEEDS: Measure<Speeds>[] = [
  {
    title: "Decode, tokens per second",
    kind: "lines",
    band: [0, 1],
    lines: (series) => [
      { label: "p95", color: "--c2", values: series.decodeP95, thin: true, of: series.requestsWithDecode },
      { label: "p5", color: "--c2", values: series.decodeP5, thin: true, of: series.requestsWithDecode },
      { label: "median", color: "--c2", values: series.decodeP50 },
    ],
    format: rate,
  },
  {
    title: "Time to first token",
    kind: "lines",
    lines: (series) => [
      { label: "median", color: "--c1", values: series.timeToFirstTokenMsP50 },
      {
        label: "p95",
        color: "--c2",
        values: series.timeToFirstTokenMsP95,
        dash: "6 3",
        of: series.requestsWithFirstToken,
      },
    ],
    format: duration,
  },
];

const USAGE: Measure<Usage>[] = [
  {
    title: "Tokens",
    kind: "bars",
    lines: (series) => [
      {
        label: "prompt",
        color: "--prompt",
        values: series.promptTokens.map((value, at) => value - (series.cachedPromptTokens[at] ?? 0)),
      },
      { label: "cached prompt", color: "--cached", values: series.cachedPromptTokens },
      { label: "completion", color: "--completion", values: series.completionTokens },
    ],
    format: count,
  },
  {
    title: "Requests",
    kind: "bars",
    lines: (series) => [
      {
        label: "succeeded",
        color: "--c1",
        values: series.requests.map((value, at) => value - (series.failedRequests[at] ?? 0)),
      },
      { label: "failed", color: "--error", values: series.failedRequests },
    ],
    format: count,
  },
];

export function ModelCompare() {
  const { picks, clear } = usePicks();
  const scope = useScope();
  const href = useHref();
  const usage = useComparedUsage(picks);
  const speeds = useComparedThroughput(picks);
  const cursor = useState<number | null>(null);
  return (
    <Panel
      title="Side by side"
      note="equal axes in each row"
      busy={usage.isPlaceholderData && usage.isFetching}
      controls={
        <Button quiet onClick={clear}>
          Close
        </Button>
      }
    >
      <div
        className={styles.models}
        style={{ gridTemplateColumns: `repeat(${picks.length}, minmax(0, 1fr))` }}
      >
        {picks.map((model) => (
          <h3 key={model} className="cut">
            <Link href={href(modelPath(model))}>{model}</Link>
          </h3>
        ))}
      </div>
      <QueryState query={speeds} what="speeds side by side" height={2 * HEIGHT}>
        {(data) =>
          SPEEDS.map((measure) => <Row key={measure.title} {...{ measure, data, picks, scope, cursor }} />)
        }
      </QueryState>
      <QueryState query={usage} what="usage side by side" height={2 * HEIGHT}>
        {(data) =>
          USAGE.map((measure) => <Row key={measure.title} {...{ measure, data, picks, scope, cursor }} />)
        }
      </QueryState>
    </Panel>
  );
}

/** The lines of each model; null where it has nothing in the range. */
function draw<Series extends { key: string; other?: boolean; requests: number[] }>(
  measure: Measure<Series>,
  series: Series[],
  picks: string[],
  columns: Buckets,
): (Line[] | null)[] {
  return picks.map((model) => {
    const own = series.find(({ key, other }) => key === model && !other);
    if (!own?.requests.some((value) => value > 0)) return null;
    const lines = measure.lines(own);
    if (measure.kind === "bars") return lines;
    const whole = lines.map((line) => ({ ...line, values: wholeOnly(line.values, columns.partial) }));
    return whole.some(({ values }) => values.some((value) => value !== null)) ? whole : null;
  });
}

const sumOf = (values: (number | null)[]): number =>
  values.reduce<number>((sum, value) => sum + (value ?? 0), 0);

/** The greatest value that any of the charts draws. */
function greatest(kind: "bars" | "lines", drawn: (Line[] | null)[]): number {
  const tops = drawn.flatMap((lines) => {
    if (!lines) return [];
    if (kind === "lines") return lines.flatMap(({ values }) => values.map((value) => value ?? 0));
    return (lines[0]?.values ?? []).map((_, at) =>
      lines.reduce((sum, { values }) => sum + (values[at] ?? 0), 0),
    );
  });
  return tops.reduce((most, value) => Math.max(most, value), 0);
}

function Row<Series extends { key: string; other?: boolean; requests: number[] }>(props: {
  measure: Measure<Series>;
  data: { bucketStarts: number[]; bucketSeconds: number; series: Series[] };
  picks: string[];
  scope: Scope;
  cursor: [number | null, (index: number | null) => void];
}) {
  const { measure, data, picks, scope } = props;
  const { columns, drawn, reach } = useMemo(() => {
    const columns = buckets(data, scope.moments(), scope.zone);
    const drawn = draw(measure, data.series, picks, columns);
    return { columns, drawn, reach: [greatest(measure.kind, drawn)] };
  }, [measure, data, picks, scope]);
  return (
    <section className={styles.row} aria-label={`${measure.title} side by side`}>
      <h3>{measure.title}</h3>
      <div
        className={styles.charts}
        style={{ gridTemplateColumns: `repeat(${picks.length}, minmax(0, 1fr))` }}
      >
        {picks.map((model, at) => {
          const lines = drawn[at];
          if (!lines) {
            return (
              <p key={model} className={styles.none} style={{ minHeight: HEIGHT }}>
                {model}: nothing in this range
              </p>
            );
          }
          const chart = {
            name: `${measure.title} of ${model}`,
            kind: measure.kind,
            buckets: columns,
            lines,
            ...(measure.band ? { band: measure.band } : {}),
            zone: scope.zone,
            format: measure.format,
            reach,
          };
          return (
            <div key={model} className={styles.chart}>
              <span className={styles.head}>
                <span className={`cut ${styles.name}`}>{model}</span>
                <ExportMenu what={chart.name.toLowerCase()} chart={chart} />
              </span>
              <TimeChart
                {...chart}
                height={HEIGHT}
                cursor={props.cursor}
                within={{ model: [model] }}
                {...(measure.kind === "bars"
                  ? { atRest: lines.map(({ values }) => count(sumOf(values))) }
                  : {})}
              />
            </div>
          );
        })}
      </div>
    </section>
  );
}
