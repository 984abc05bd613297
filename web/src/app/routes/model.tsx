// One model: its totals, its speeds, where it ran, how it failed and its requests.
import { Link } from "wouter";
import { ErrorTable } from "../../features/error-breakdown/error-table.tsx";
import { RecentRequests } from "../../features/recent-requests/recent-requests.tsx";
import { ThroughputCharts } from "../../features/throughput-timeseries/throughput-charts.tsx";
import { UsageSummaryTiles } from "../../features/usage-summary/usage-summary-tiles.tsx";
import { CachedShare } from "../../features/usage-timeseries/cached-share.tsx";
import { GroupTable } from "../../features/usage-timeseries/group-table.tsx";
import { UsageChart } from "../../features/usage-timeseries/usage-chart.tsx";
import { useHref, useView } from "../../lib/view.ts";
import { useOpenRequest } from "./open-request.ts";
import styles from "./page.module.css";
import { useTrends } from "./use-trends.ts";

const COLUMNS = [
  "startedAt",
  "outcome",
  "model",
  "clientKey",
  "promptTokens",
  "completionTokens",
  "firstToken",
  "decodeTokensPerSecond",
  "duration",
  "cost",
];

export default function Model() {
  const [view] = useView();
  const trends = useTrends();
  const openRequest = useOpenRequest();
  const models = useHref(true);
  const requests = useHref();
  return (
    <div className={styles.page}>
      <div className={styles.title}>
        <Link href={models("/models")}>All models</Link>
        <h1>{view.model}</h1>
      </div>
      <UsageSummaryTiles trends={trends} />
      <UsageChart />
      <div className={styles.halves}>
        <GroupTable title="Upstreams" group="upstream" by="DIMENSION_UPSTREAM" />
        <GroupTable title="How requests ended" group="status" by="DIMENSION_OUTCOME" />
      </div>
      <ErrorTable onOpen={openRequest} />
      <ThroughputCharts>
        <CachedShare />
      </ThroughputCharts>
      <RecentRequests
        pageSize={10}
        columns={COLUMNS}
        onOpen={openRequest}
        controls={<Link href={requests("/requests")}>All of its requests</Link>}
      />
    </div>
  );
}
