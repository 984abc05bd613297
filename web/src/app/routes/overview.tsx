// The first page: what happens now and what happened in the range.
import { lazy, Suspense } from "react";
import type { Filter, UsageEvent } from "../../api/types.ts";
import { Skeleton } from "../../components/panel.tsx";
import { LiveRequests } from "../../features/live-requests/live-requests.tsx";
import { ModelBars } from "../../features/model-breakdown/model-bars.tsx";
import { useLastRequest } from "../../features/recent-requests/last-request.tsx";
import { UsageHint } from "../../features/usage-summary/usage-hint.tsx";
import { UsageSummaryTiles } from "../../features/usage-summary/usage-summary-tiles.tsx";
import { useUsageSummary } from "../../features/usage-summary/use-usage-summary.ts";
import { UsageChart } from "../../features/usage-timeseries/usage-chart.tsx";
import { isLowerBound } from "../../lib/usage.ts";
import { useView } from "../../lib/view.ts";
import { useOpenRequest } from "./open-request.ts";
import styles from "./page.module.css";
import { useTrends } from "./use-trends.ts";

const FirstRun = lazy(() => import("../first-run/first-run.tsx"));
// Below what fits on a screen.
const RecentRequests = lazy(async () => ({
  default: (await import("../../features/recent-requests/recent-requests.tsx")).RecentRequests,
}));

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
  "cost",
];

const SUCCESS: Filter = { outcomes: ["OUTCOME_OK"] };

export function Overview() {
  const trends = useTrends();
  const first = useFirstRun();
  const openRequest = useOpenRequest();
  const { data: totals } = useUsageSummary();
  return (
    <div className={styles.page}>
      <h1 className="hidden">Overview</h1>
      <UsageSummaryTiles trends={trends} />
      <UsageHint />
      {first === undefined ? (
        <>
          <UsageChart lowerBound={totals !== undefined && isLowerBound(totals)} />
          <div className={styles.halves}>
            <ModelBars />
            <LiveRequests />
          </div>
        </>
      ) : (
        <>
          <Suspense fallback={<Skeleton height={430} what="how to begin" />}>
            <FirstRun last={first} />
          </Suspense>
          <LiveRequests />
        </>
      )}
      {first === null ? null : (
        <Suspense fallback={<div style={{ minHeight: 440 }} />}>
          <RecentRequests pageSize={10} columns={COLUMNS} onOpen={openRequest} />
        </Suspense>
      )}
    </div>
  );
}

/**
 * Until a request has succeeded, whatever the range: the newest one, which failed,
 * or null if there was none. Undefined: unknown, or one has succeeded.
 */
function useFirstRun(): UsageEvent | null | undefined {
  const { data } = useUsageSummary();
  const [view] = useView();
  const filtered = Object.values(view.filters).some((values) => values.length > 0);
  const none =
    data !== undefined && data.requests <= data.failedRequests + data.clientClosedRequests && !filtered;
  const last = useLastRequest(none, {});
  const success = useLastRequest(none && last !== null, SUCCESS);
  return last === null || success === null ? last : undefined;
}
