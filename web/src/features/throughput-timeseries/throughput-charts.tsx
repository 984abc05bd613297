// Two honest speeds, the waits before and between tokens and the load behind them:
// charts with one cursor.
import { type ReactNode, useMemo, useState } from "react";
import type { ThroughputTimeseries } from "../../api/types.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Button, Empty, Panel, QueryState } from "../../components/panel.tsx";
import type { Line } from "../../components/plot.tsx";
import { TimeChart } from "../../components/time-chart.tsx";
import { count, duration, percent, rate } from "../../lib/format.ts";
import { buckets, wholeOnly } from "../../lib/time-range.ts";
import { type Scope, useScope, useView } from "../../lib/view.ts";
import styles from "./throughput-charts.module.css";
import { useThroughputTimeseries } from "./use-throughput-timeseries.ts";

type Series = ThroughputTimeseries["series"][number];

const HEIGHT = 232;
/** Legend above and the meaning below. */
const REST = 68;

interface Chart {
  title: string;
  unit: string;
  /** What counts and what is left out. */
  meaning: string;
  /** The requests that could be measured; all of them if there is no such thing. */
  measured?: (series: Series) => number[];
  lines(series: Series): Line[];
  band?: [number, number];
  format(value: number | null): string;
  latency?: boolean;
}

/** Tokens per second where any were reported: requests without usage decoded something, not 0. */
function reported(series: Series): (number | null)[] {
  const { tokensPerSecond, requests } = series;
  if (!tokensPerSecond.some((value) => value)) return tokensPerSecond.map(() => null);
  return tokensPerSecond.map((value, at) => (value || !requests[at] ? value : null));
}

const CHARTS: Chart[] = [
  {
    title: "Decode",
    unit: "tokens per second",
    meaning:
      "Completion tokens after the first, divided by the time from the first to the last of them: streams with at least two content events, or what the upstream reported. The band holds nine in ten requests. All together: completion tokens of the requests that began in a bucket, divided by its width.",
    measured: (series) => series.requestsWithDecode,
    band: [0, 1],
    lines: (series) => [
      { label: "p95", color: "--c2", values: series.decodeP95, thin: true, of: series.requestsWithDecode },
      { label: "p5", color: "--c2", values: series.decodeP5, thin: true, of: series.requestsWithDecode },
      { label: "median", color: "--c2", values: series.decodeP50 },
      { label: "all together", color: "--c1", values: reported(series), dash: "5 4" },
    ],
    format: rate,
  },
  {
    title: "Prefill",
    unit: "tokens per second",
    meaning:
      "Uncached prompt tokens divided by the time to the first token, which holds the upstream's queue as well; or what the upstream reported. Requests that reported no prompt tokens are left out.",
    measured: (series) => series.requestsWithPrefill,
    lines: (series) => [{ label: "median", color: "--c1", values: series.prefillP50 }],
    format: rate,
  },
  {
    title: "Time to first token",
    unit: "from the request's arrival",
    meaning:
      "From the arrival of the request to the first generated content. Streams only: other answers come at once.",
    measured: (series) => series.requestsWithFirstToken,
    lines: (series) => [
      { label: "median", color: "--c1", values: series.timeToFirstTokenMsP50 },
      {
        label: "p95",
        color: "--c2",
        values: series.timeToFirstTokenMsP95,
        dash: "6 3",
        of: series.requestsWithFirstToken,
      },
      {
        label: "p99",
        color: "--c3",
        values: series.timeToFirstTokenMsP99,
        dash: "2 4",
        of: series.requestsWithFirstToken,
      },
    ],
    format: duration,
    latency: true,
  },
  {
    title: "Time between tokens",
    unit: "gaps within a stream",
    meaning:
      "The time from one content event of a stream to the next, over all streams. A stream that stalls shows here and hardly in its decode rate.",
    measured: (series) => series.requestsWithDecode,
    lines: (series) => [
      { label: "median", color: "--c1", values: series.tokenGapMsP50 },
      {
        label: "p99",
        color: "--c3",
        values: series.tokenGapMsP99,
        dash: "2 4",
        of: series.requestsWithDecode,
      },
    ],
    format: duration,
    latency: true,
  },
  {
    title: "Concurrency",
    unit: "requests in flight",
    meaning:
      "Requests that ran at the same time: the mean over each bucket, and the most at any moment of it.",
    lines: (series) => [
      { label: "mean", color: "--c1", values: series.concurrencyMean },
      { label: "most", color: "--c2", values: series.concurrencyMax, dash: "6 3" },
    ],
    format: (value) => count(value === null ? null : Math.round(value * 100) / 100),
  },
];

/** `children`: charts of other numbers beside these. */
export function ThroughputCharts({ children }: { children?: ReactNode }) {
  const query = useThroughputTimeseries();
  const cursor = useState<number | null>(null);
  return (
    <div className={styles.grid}>
      {CHARTS.map((chart) => (
        <ChartPanel key={chart.title} chart={chart} query={query} cursor={cursor} />
      ))}
      {children}
    </div>
  );
}

/** What is drawn of an answer; made once, however often the cursor moves. */
function draw(chart: Chart, data: ThroughputTimeseries, scope: Scope) {
  const series = data.series[0];
  const ran = series?.requests.some((value) => value > 0) || series?.concurrencyMax.some((value) => value);
  const columns = buckets(data, scope.moments(), scope.zone);
  const lines = (series && ran ? chart.lines(series) : []).map((line) => ({
    ...line,
    values: wholeOnly(line.values, columns.partial),
  }));
  return { series, ran, columns, lines };
}

function ChartPanel(props: {
  chart: Chart;
  query: ReturnType<typeof useThroughputTimeseries>;
  cursor: [number | null, (index: number | null) => void];
}) {
  const { chart, query } = props;
  const [view, setView] = useView();
  const scope = useScope();
  const [asTable, setAsTable] = useState(false);
  const drawn = useMemo(() => query.data && draw(chart, query.data, scope), [chart, query.data, scope]);
  const log = chart.latency === true && view.get("scale") === "log";
  const shown =
    drawn?.series && drawn.lines.some((line) => line.values.some((value) => value !== null))
      ? {
          name: `${chart.title}, ${chart.unit}`,
          kind: "lines" as const,
          buckets: drawn.columns,
          lines: drawn.lines,
          ...(chart.band ? { band: chart.band } : {}),
          zone: scope.zone,
          log,
          format: chart.format,
        }
      : null;
  return (
    <Panel
      title={chart.title}
      note={chart.unit}
      busy={query.isPlaceholderData && query.isFetching}
      controls={
        <>
          {chart.latency ? (
            <Button quiet aria-pressed={log} onClick={() => setView({ scale: log ? null : "log" }, true)}>
              Log scale
            </Button>
          ) : null}
          <Button quiet aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            {asTable ? "Chart" : "Table"}
          </Button>
          <ExportMenu what={chart.title.toLowerCase()} chart={shown} />
        </>
      }
    >
      <QueryState query={query} what={chart.title.toLowerCase()} height={HEIGHT + REST}>
        {() => {
          if (!drawn) return null;
          const { series, ran } = drawn;
          if (!series || !shown) {
            return (
              <Empty
                title={ran ? "Nothing could be measured in this range" : "No requests in this range"}
                height={HEIGHT + REST}
              />
            );
          }
          return (
            <>
              <TimeChart {...shown} height={HEIGHT} asTable={asTable} cursor={props.cursor} />
              <details className={styles.meaning}>
                <summary>
                  {chart.measured
                    ? measuredShare(chart.measured(series), series.requests)
                    : "What this shows"}
                </summary>
                <p>{chart.meaning}</p>
              </details>
            </>
          );
        }}
      </QueryState>
    </Panel>
  );
}

/** How many of the requests the lines speak for. */
function measuredShare(measured: number[], all: number[]): string {
  const add = (values: number[]) => values.reduce((sum, value) => sum + value, 0);
  const total = add(all);
  return total === 0
    ? "No requests"
    : `From ${count(add(measured))} of ${count(total)} requests (${percent(add(measured) / total)})`;
}
