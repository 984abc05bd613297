// Requests by client, user, upstream, tag and more.
import { BreakdownTable } from "../../features/breakdown/breakdown-table.tsx";
import styles from "./page.module.css";

export default function Breakdown() {
  return (
    <div className={styles.page}>
      <h1 className="hidden">Breakdown</h1>
      <BreakdownTable />
    </div>
  );
}
