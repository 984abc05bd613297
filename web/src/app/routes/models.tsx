// Every model of the range, and some of them side by side.

import { ModelTable } from "../../features/model-breakdown/model-table.tsx";
import { ModelCompare } from "../../features/model-compare/model-compare.tsx";
import { LEAST, usePicks } from "../../lib/picks.ts";
import styles from "./page.module.css";

export default function Models() {
  const { picks } = usePicks();
  return (
    <div className={styles.page}>
      <h1 className="hidden">Models</h1>
      {picks.length >= LEAST ? <ModelCompare /> : null}
      <ModelTable />
    </div>
  );
}
