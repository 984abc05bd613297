// How fast: two speeds, the waits, the load, what caches saved, and when it is busy.
import { RateLimits } from "../../features/rate-limits/rate-limits.tsx";
import { PromptScatter } from "../../features/recent-requests/prompt-scatter.tsx";
import { ThroughputCharts } from "../../features/throughput-timeseries/throughput-charts.tsx";
import { HeatMap } from "../../features/usage-heat-map/heat-map.tsx";
import { CachedShare } from "../../features/usage-timeseries/cached-share.tsx";
import { useOpenRequest } from "./open-request.ts";
import styles from "./page.module.css";

export default function Throughput() {
  const openRequest = useOpenRequest();
  return (
    <div className={styles.page}>
      <h1 className="hidden">Throughput</h1>
      <ThroughputCharts>
        <CachedShare />
        <PromptScatter onOpen={openRequest} />
        <HeatMap />
      </ThroughputCharts>
      <RateLimits />
    </div>
  );
}
