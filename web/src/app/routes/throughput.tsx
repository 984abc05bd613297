// How fast: two speeds, the waits, the load and what caches saved.
import { ThroughputCharts } from "../../features/throughput-timeseries/throughput-charts.tsx";
import { CachedShare } from "../../features/usage-timeseries/cached-share.tsx";
import styles from "./page.module.css";

export default function Throughput() {
  return (
    <div className={styles.page}>
      <h1 className="hidden">Throughput</h1>
      <ThroughputCharts>
        <CachedShare />
      </ThroughputCharts>
    </div>
  );
}
