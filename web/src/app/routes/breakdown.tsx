// Requests by client, user, upstream, tag and more; budgets and how much of them is used.
import { BreakdownTable } from "../../features/breakdown/breakdown-table.tsx";
import { Budgets } from "../../features/budgets/budgets.tsx";
import styles from "./page.module.css";

export default function Breakdown() {
  return (
    <div className={styles.page}>
      <h1 className="hidden">Breakdown</h1>
      <Budgets />
      <BreakdownTable />
    </div>
  );
}
