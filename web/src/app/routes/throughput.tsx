// How fast: two speeds, the wait and the load.
import { ThroughputCharts } from "../../features/throughput-timeseries/throughput-charts.tsx";
import styles from "./page.module.css";

export default function Throughput() {
  return (
    <div className={styles.page}>
      <h1 className="hidden">Throughput</h1>
      <ThroughputCharts />
    </div>
  );
}
