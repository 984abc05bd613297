// Budgets with how much of each is used. Admins save one from the present filter.
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { session } from "../../api/session.ts";
import type { Budget } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { Button, Panel } from "../../components/panel.tsx";
import { dollars } from "../../lib/cost.ts";
import { count, dateTime, exact, percent } from "../../lib/format.ts";
import { BudgetForm } from "./budget-form.tsx";
import styles from "./budgets.module.css";
import { HOUR_MS, periodText, words } from "./words.ts";

/** As often as analytics computes them. */
const EVERY_MS = 10_000;

export function Budgets() {
  const { data } = useRpc("ListBudgets", [], () => ({}), { every: EVERY_MS, past: true });
  const who = useQuery({ queryKey: ["session"], queryFn: session, meta: { past: true } });
  // Absent: none; null: a new one.
  const [edited, setEdited] = useState<Budget | null>();
  const writes = who.data?.writes ?? who.data === null;
  if (!data || (!data.budgets[0] && !writes)) return null;
  return (
    <Panel
      title="Budgets"
      controls={writes ? <Button onClick={() => setEdited(null)}>Add a budget</Button> : null}
    >
      <div className={styles.list}>
        {edited === undefined ? null : (
          <BudgetForm key={edited?.budgetId ?? ""} budget={edited} onDone={() => setEdited(undefined)} />
        )}
        {data.budgets.map((budget) => (
          <Used key={budget.budgetId} budget={budget}>
            {writes ? (
              <Button quiet aria-label={`Edit ${budget.name}`} onClick={() => setEdited(budget)}>
                Edit
              </Button>
            ) : null}
          </Used>
        ))}
      </div>
    </Panel>
  );
}

function Used({ budget, children }: { budget: Budget; children: ReactNode }) {
  const { name, state, nanoUsd, rolling, calendar, timeZone } = budget;
  const shown = (value: number) => (nanoUsd ? dollars(value) : `${count(value)} tokens`);
  const { spent = 0, spentRatio = 0, unknownRequests, projected, period, problem } = state ?? {};
  // Of an unknown amount it is the least that it can be.
  const mark = unknownRequests ? "≥ " : "";
  const time = rolling ? `last ${rolling / HOUR_MS} h` : `${periodText(calendar ?? "")}, ${timeZone}`;
  const about = [time, words(budget.filter)].filter(Boolean).join(" · ");
  return (
    <section aria-label={name}>
      <div className={styles.row}>
        <strong className="cut">{name}</strong>
        {children}
      </div>
      <p className="muted cut" title={about}>
        {about}
      </p>
      {budget.webhookOrigin ? (
        <p className="muted cut" title={budget.webhookOrigin}>
          Notices at {budget.shares.join(", ")} % go to {budget.webhookOrigin}
        </p>
      ) : null}
      <progress value={spentRatio} aria-label="Used" className={spentRatio < 1 ? "" : styles.over} />
      <p>
        {mark}
        {shown(spent)} of {shown(nanoUsd ?? budget.tokens ?? 0)} · {mark}
        {percent(spentRatio)}
      </p>
      {projected == null ? null : (
        <p className="muted">
          {mark}
          {shown(projected)} projected by {dateTime(period?.end, timeZone)}
        </p>
      )}
      {mark ? <p className="muted">{exact(unknownRequests)} requests of unknown amount</p> : null}
      {budget.notices.map(({ noticeId, share, deliveredAt, nextAttemptAt, attempts, lastError }) =>
        lastError && !deliveredAt ? (
          <p key={noticeId} className={styles.late}>
            Notice of {share} % {nextAttemptAt ? "not yet delivered" : "given up"}, {attempts} attempts:{" "}
            {lastError}
          </p>
        ) : null,
      )}
      {problem ? <p className={styles.late}>Not computed: {problem}</p> : null}
    </section>
  );
}
