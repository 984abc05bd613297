// The first page: what happens now and what happened in the range.
import { useMemo } from "react";
import { useLocation } from "wouter";
import { LiveRequests } from "../../features/live-requests/live-requests.tsx";
import { ModelBars } from "../../features/model-breakdown/model-bars.tsx";
import { useLastRequest } from "../../features/recent-requests/last-request.tsx";
import { RecentRequests } from "../../features/recent-requests/recent-requests.tsx";
import { UsageHint } from "../../features/usage-summary/usage-hint.tsx";
import { type Trends, UsageSummaryTiles } from "../../features/usage-summary/usage-summary-tiles.tsx";
import { useUsageSummary } from "../../features/usage-summary/use-usage-summary.ts";
import { UsageChart } from "../../features/usage-timeseries/usage-chart.tsx";
import { useUsageTimeseries } from "../../features/usage-timeseries/use-usage-timeseries.ts";
import { useView } from "../../lib/view.ts";
import { FirstRequest } from "../first-request.tsx";
import styles from "./page.module.css";

const COLUMNS = [
  "startedAt",
  "outcome",
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
  const fresh = useFreshInstall();
  const [, navigate] = useLocation();
  return (
    <div className={styles.page}>
      <h1 className="hidden">Overview</h1>
      <UsageSummaryTiles trends={trends} />
      <UsageHint />
      {fresh ? (
        <>
          <FirstRequest />
          <LiveRequests />
        </>
      ) : (
        <>
          <UsageChart />
          <div className={styles.halves}>
            <ModelBars />
            <LiveRequests />
          </div>
          <RecentRequests
            pageSize={10}
            columns={COLUMNS}
            onOpen={(event) => navigate(`/requests/${event.eventId}${location.search}`)}
          />
        </>
      )}
    </div>
  );
}

/** The tiles' small charts are columns of the ungrouped time series, without the bucket that still fills. */
function useTrends(): Trends | undefined {
  const { data } = useUsageTimeseries();
  return useMemo(() => {
    const series = data?.series[0];
    if (!data || !series) return undefined;
    const end = (data.bucketStarts.at(-1) ?? 0) + data.bucketSeconds * 1e3;
    const whole = (column: number[]) => (end > Date.now() ? column.slice(0, -1) : column);
    return {
      requests: whole(series.requests),
      tokens: whole(series.totalTokens),
      failed: whole(series.failedRequests),
    };
  }, [data]);
}

/** Nothing was ever recorded. */
function useFreshInstall(): boolean {
  const { data } = useUsageSummary();
  const [view] = useView();
  const filtered = Object.values(view.filters).some((values) => values.length > 0);
  return useLastRequest(data?.requests === 0 && !filtered) === null;
}
