// The first page: what happens now and what happened in the range.
import { useMemo } from "react";
import { useLive } from "../../api/live.ts";
import { LiveRequests } from "../../features/live-requests/live-requests.tsx";
import { ModelBars } from "../../features/model-breakdown/model-bars.tsx";
import { RecentRequests } from "../../features/recent-requests/recent-requests.tsx";
import { UsageHint } from "../../features/usage-summary/usage-hint.tsx";
import { type Trends, UsageSummaryTiles } from "../../features/usage-summary/usage-summary-tiles.tsx";
import { useUsageSummary } from "../../features/usage-summary/use-usage-summary.ts";
import { UsageChart } from "../../features/usage-timeseries/usage-chart.tsx";
import { useUsageTimeseries } from "../../features/usage-timeseries/use-usage-timeseries.ts";
import { useView } from "../../lib/view.ts";
import { FirstRequest } from "../first-request.tsx";
import styles from "./overview.module.css";

const COLUMNS = [
  "startedAt",
  "status",
  "model",
  "clientKey",
  "path",
  "promptTokens",
  "completionTokens",
  "usageSource",
  "firstToken",
  "decodeTokensPerSecond",
  "duration",
];

export function Overview() {
  const trends = useTrends();
  const empty = useFreshInstall();
  return (
    <div className={styles.page}>
      <h1 className="hidden">Overview</h1>
      <UsageSummaryTiles trends={trends} />
      <UsageHint />
      {empty ? <FirstRequest /> : <UsageChart />}
      <div className={styles.halves}>
        <ModelBars />
        <LiveRequests />
      </div>
      <RecentRequests pageSize={10} columns={COLUMNS} />
    </div>
  );
}

/** The tiles' small charts are columns of the ungrouped time series. */
function useTrends(): Trends | undefined {
  const series = useUsageTimeseries().data?.series[0];
  return useMemo(
    () =>
      series && { requests: series.requests, tokens: series.totalTokens, failed: series.failedRequests },
    [series],
  );
}

/** Nothing was ever recorded as far as this page can tell: no filters, no requests in the range, none running. */
function useFreshInstall(): boolean {
  const { data } = useUsageSummary();
  const { inFlight } = useLive();
  const [view] = useView();
  const filtered = Object.values(view.filters).some((values) => values.length > 0);
  return data?.requests === 0 && !data.previous?.requests && inFlight === 0 && !filtered && view.span.to === "now";
}
