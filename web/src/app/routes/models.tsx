// Every model of the range side by side.
import { ModelTable } from "../../features/model-breakdown/model-table.tsx";
import styles from "./page.module.css";

export default function Models() {
  return (
    <div className={styles.page}>
      <h1 className="hidden">Models</h1>
      <ModelTable />
    </div>
  );
}
